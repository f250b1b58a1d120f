"""Runs the plugin as the gateway does: `mozaiks plugin test PATH`."""

from pathlib import Path

from mozaiks.testing import run_plugin

PLUGIN = Path(__file__).parent.parent


async def test_it_greets_whoever_asks(gateway):
    answer = await run_plugin(PLUGIN, "greet", user_id="ann")
    assert answer == {"message": "Hello, ann!"}


async def test_it_knows_no_other_action(gateway):
    answer = await run_plugin(PLUGIN, "dance", user_id="ann")
    assert answer["error_code"] == "VALIDATION_ERROR"
