"""The test double itself, with a plugin that needs no database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.event_bus import event_bus
from mozaiks.testing import TestGateway, load_plugin, run_plugin

LOGIC = """
from bson import ObjectId
from core.event_bus import event_bus, on_event
from core.notifications_manager import notifications_manager
from core.settings_manager import settings_manager
from core.websocket_manager import websocket_manager
from .helper import LIMIT

heard = []

@on_event("sample:*")
async def hear(data):
    heard.append(data)

async def execute(data):
    if data["action"] == "who":
        return {"user": data["user_id"], "app": data["app_id"], "context": data["_context"]}
    if data["action"] == "publish":
        event_bus.publish("sample:done", {"id": ObjectId("65f000000000000000000000")})
        return {"heard": len(heard), "limit": LIMIT}
    if data["action"] == "push":
        return {"reached": await websocket_manager.send_to_user("ann", {"type": "x"})}
    if data["action"] == "notify":
        made = await notifications_manager.create_notification("ann", "t", "T", "M")
        await notifications_manager.mark_notification_read("ann", made["id"])
        return {"unread": await notifications_manager.get_user_notifications("ann", True)}
    if data["action"] == "save":
        await settings_manager.save_plugin_settings("ann", "sample", {"a": None})
        return await settings_manager.get_plugin_settings("ann", "sample")
    return data["action"]
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    plugin = tmp_path / "sample"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("")
    (plugin / "helper.py").write_text("LIMIT = 3\n")
    (plugin / "logic.py").write_text(LOGIC)
    return plugin


async def test_identity_is_injected_and_cannot_be_faked(gateway: TestGateway, sample: Path) -> None:
    faked: dict[str, Any] = {"_context": {"roles": ["admin"]}, "_entitlements": 1}
    answer = await run_plugin(sample, "who", user_id="ann", app_id="shop", roles=["r"], **faked)
    assert (answer["user"], answer["app"]) == ("ann", "shop")
    assert answer["context"]["roles"] == ["r"]
    assert set(answer["context"]) == {
        "app_id",
        "user_id",
        "username",
        "roles",
        "is_superadmin",
        "request_id",
    }


async def test_what_a_plugin_does_is_recorded(gateway: TestGateway, sample: Path) -> None:
    assert await run_plugin(sample, "publish") == {"heard": 0, "limit": 3}
    assert (await run_plugin(sample, "publish"))["heard"] == 1
    assert gateway.events.published("sample:*") == [{"id": "65f000000000000000000000"}] * 2

    gateway.websocket.connect("ann")
    assert (await run_plugin(sample, "push")) == {"reached": 1}
    assert gateway.websocket.sent_to("ann") == [{"type": "x"}]
    assert (await run_plugin(sample, "notify")) == {"unread": []}
    assert (await run_plugin(sample, "save")) == {"a": None}
    assert gateway.events.published("settings_updated")[0]["plugin"] == "sample"


async def test_a_subscriber_that_raises_is_recorded(gateway: TestGateway) -> None:
    @event_bus.subscribe("a:b")
    def broken(data: object) -> None:
        raise ValueError("no")

    event_bus.publish("a:b", {})
    await gateway.settle()
    assert isinstance(gateway.events.failures[0].error, ValueError)
    assert event_bus.get_stats()["delivery_failures"] == 1
    assert event_bus.get_history("a:b")[0]["data"] == {}


async def test_results_must_be_dicts(gateway: TestGateway, sample: Path) -> None:
    with pytest.raises(TypeError, match="returned str"):
        await run_plugin(sample, "text")


async def test_two_loads_share_nothing(gateway: TestGateway, sample: Path) -> None:
    first, second = load_plugin(sample), load_plugin(sample)
    assert first.module is not second.module
    with pytest.raises(FileNotFoundError):
        load_plugin(sample.parent)
