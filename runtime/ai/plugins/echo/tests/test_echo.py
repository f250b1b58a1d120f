"""Runs the plugin as the gateway does."""

from __future__ import annotations

from pathlib import Path

from mozaiks.testing import TestGateway, run_plugin

ECHO = Path(__file__).parent.parent


async def test_gives_back_what_was_sent_with_the_callers_identity(gateway: TestGateway) -> None:
    answer = await run_plugin(ECHO, "shout", user_id="ann", app_id="shop", words=["a", 1, None])
    assert (answer["action"], answer["words"]) == ("shout", ["a", 1, None])
    assert (answer["user_id"], answer["app_id"]) == ("ann", "shop")
    assert answer["_context"]["user_id"] == "ann"
