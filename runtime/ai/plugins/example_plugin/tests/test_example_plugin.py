"""Takes the plugin through its life as the gateway does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from mozaiks.testing import LivePlugin, TestGateway, start_plugin

EXAMPLE = Path(__file__).parent.parent


@pytest_asyncio.fixture
async def plugin(gateway: TestGateway) -> AsyncIterator[LivePlugin]:
    async with start_plugin(EXAMPLE) as started:
        yield started


async def test_routes_answer_without_a_token_and_are_counted(plugin: LivePlugin) -> None:
    hello = await plugin.request("GET", "/hello")
    assert hello.body["message"] == "Hello from the example plugin!"
    echo = await plugin.request("POST", "/echo", json={"test": "data", "user_id": "forged"})
    assert echo.body == {"success": True, "echo": {"test": "data"}}
    stats = await plugin.request("GET", "/stats")
    assert (stats.body["requests"], stats.body["version"]) == (3, "1.0.0")


async def test_a_ping_is_answered_on_its_own_socket(plugin: LivePlugin) -> None:
    for count in (1, 2):
        pong = {"type": "example_pong", "pings": count, "data": "x"}
        assert await plugin.message("example_ping", {"data": "x"}, user_id="ann") == [pong]


async def test_the_job_keeps_count(plugin: LivePlugin, gateway: TestGateway) -> None:
    ((spec, _),) = gateway.registered["job"]
    assert (spec["name"], spec["cron"]) == ("heartbeat", "*/5 * * * *")
    await plugin.run_job("heartbeat")
    stats = (await plugin.request("GET", "/stats")).body
    assert stats["runs"] == 1
    assert stats["last_run"].endswith("+00:00")


async def test_an_echo_is_told_to_who_listens(plugin: LivePlugin, gateway: TestGateway) -> None:
    await plugin.request("POST", "/echo", json={"b": 1, "a": 2})
    assert gateway.events.published("example_plugin:echoed") == [{"keys": ["a", "b"]}]
    assert gateway.events.failures == []


async def test_configuration_decides(gateway: TestGateway) -> None:
    config = {"greeting": "Hi", "count_requests": False}
    async with start_plugin(EXAMPLE, config=config) as plugin:
        assert (await plugin.request("GET", "/hello")).body["message"] == "Hi"
        assert (await plugin.request("GET", "/stats")).body["requests"] == 0


async def test_what_it_keeps_while_enabled_goes(gateway: TestGateway) -> None:
    async with start_plugin(EXAMPLE) as plugin:
        assert "enabled_at" in plugin.stored
        assert await plugin.call("check_health") == {"healthy": True, "requests": 0}
    assert "enabled_at" not in plugin.stored
