"""Runs the plugin as the gateway does."""

from __future__ import annotations

from pathlib import Path

from mozaiks.testing import TestGateway, run_plugin

HELLO = Path(__file__).parent.parent


async def test_greets_by_name_where_there_is_one(gateway: TestGateway) -> None:
    answer = await run_plugin(HELLO, user_id="u1", username="Ada")
    assert answer == {"message": "Hello, Ada!", "plugin": "hello"}
    answer = await run_plugin(HELLO, user_id="u1", username=None)
    assert answer["message"] == "Hello, u1!"
