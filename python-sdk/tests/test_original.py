"""What plugins of the original platform import and call: it works or says what to use."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from typing import Any

import pytest

from core.event_bus import event_bus
from core.notifications import (
    broadcast_service,
    digest_scheduler,
    in_app_channel,
    web_push_channel,
)
from core.notifications_manager import notifications_manager
from core.settings_manager import settings_manager
from core.websocket_manager import websocket_manager
from mozaiks import HostError, _original
from mozaiks.notifications import Preferences
from mozaiks.testing import TestGateway
from tests.fake_host import FakeHost

PACKAGES = _original.PACKAGES


async def test_publishing_may_be_awaited_and_need_not_be(host: FakeHost) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await event_bus.publish("notes:created", {"id": 1})
        event_bus.publish("notes:created", {"id": 2})
        await asyncio.gather(*(event_bus.publish("notes:created", {"id": n}) for n in (3, 4)))
    assert [data["id"] for _, data in host.events] == [1, 2, 3, 4]
    with pytest.raises(TypeError):
        await event_bus.publish("notes:created", "text")


async def test_history_by_name(gateway: TestGateway) -> None:
    for n in range(3):
        event_bus.publish("notes:created", {"n": n})
    event_bus.publish("notes:deleted", {"n": 3})
    history = event_bus.get_event_history("notes:created", limit=2)
    assert [each["data"]["n"] for each in history["notes:created"]] == [1, 2]
    assert event_bus.get_event_history("notes:none") == {"notes:none": []}
    assert {name: len(all_) for name, all_ in event_bus.get_event_history().items()} == {
        "notes:created": 3,
        "notes:deleted": 1,
    }


async def test_connections_by_user(gateway: TestGateway) -> None:
    active = websocket_manager.active_connections
    assert "ann" not in active
    assert not active
    for user_id in ("ann", "ann", "bob"):
        gateway.websocket.connect(user_id)
    assert "ann" in active
    assert sorted(active) == ["ann", "bob"]
    assert len(active) == 2
    assert active.get("eve", []) == []
    for connection in active.get("ann", []):
        await connection.send_json({"type": "x"})
    assert gateway.websocket.sent_to("ann") == [{"type": "x"}]
    with pytest.raises(TypeError):
        active["ann"] = []  # type: ignore[index]


async def test_preferences_answer_to_their_old_names(host: FakeHost) -> None:
    host.answer = {
        "channels": {"in_app": True, "email": False, "push": True},
        "types": {"task_due": {"enabled": False, "channels": None}},
        "digest": "off",
        "email": None,
    }
    for prefs in (
        await notifications_manager.get_user_notification_preferences("ann"),
        await settings_manager.get_notification_preferences("ann"),
    ):
        assert prefs["email_enabled"] is False
        assert prefs.get("push_enabled", False) is True
        assert prefs.get("digest_frequency") == "none"
        assert prefs.get("task_due", {}).get("enabled", True) is False
        assert prefs.get("other", {}).get("enabled", True) is True
        assert prefs.get("channels") == host.answer["channels"]
        with pytest.raises(KeyError):
            prefs["other"]
        # What goes back holds each once.
        assert prefs == host.answer
    assert Preferences().get("email_enabled") is None
    assert await digest_scheduler.get_user_digest_preference("ann") == "none"
    assert await digest_scheduler.set_user_digest_preference("ann", "none") is True
    assert host.asked[-1][1]["preferences"] == {"digest": "off"}
    assert await digest_scheduler.set_user_digest_preference("ann", "hourly") is False
    await settings_manager.save_notification_preferences("ann", {"task_due": {"enabled": True}})
    assert host.asked[-1] == (
        "notifications.update_preferences",
        {"user_id": "ann", "preferences": {"task_due": {"enabled": True}}},
    )


async def test_targets_of_broadcasts(gateway: TestGateway) -> None:
    async def target(of: dict[str, Any]) -> Any:
        record = await broadcast_service.broadcast("news", "T", "M", of, ["in_app"], sender_id="x")
        assert record["success"] is True
        assert record["broadcast_id"] == record["id"]
        return record.get("target")

    users = importlib.import_module("core.config.database").users_collection
    await users.insert_many(
        [
            {"_id": "ann", "subscription": {"tier": "premium", "plugins_unlocked": ["notes"]}},
            {"_id": "bob", "subscription": {"tier": "free"}},
            {"_id": 7, "platform_user_id": "eve", "subscription": {"tier": "premium"}},
            {"_id": "root", "admin": True},
        ]
    )
    assert await target({"type": "all"}) == "all"
    assert await target({"type": "role", "role": "editor"}) == {"role": "editor"}
    assert await target({"type": "user_ids", "ids": ["b", "a"]}) == {"users": ["a", "b"]}
    premium = {"type": "subscription", "tier": "premium"}
    assert await target(premium) == {"users": ["ann", "eve"]}
    notes = {"type": "plugin", "plugin_name": "notes"}
    assert await target(notes) == {"users": ["ann", "root"]}
    assert await target({"type": "query", "filter": {"_id": "bob"}}) == {"users": ["bob"]}

    sent = len(gateway.broadcasts.all)
    nobody = await broadcast_service.broadcast(
        "news", "T", "M", {"type": "subscription", "tier": "gold"}
    )
    assert nobody["sent"] == 0
    assert nobody["success"] is True
    for bad in (
        {"type": "subscription"},
        {"type": "plugin", "plugin_name": ""},
        {"type": "query"},
        {"type": "moon"},
    ):
        with pytest.raises(ValueError, match=r"target|type"):
            await broadcast_service.broadcast("news", "T", "M", bad)
    # Who names no tier tells nobody, not everybody.
    assert len(gateway.broadcasts.all) == sent
    with pytest.raises(HostError):
        await broadcast_service.broadcast("news", "T", "M", {"users": []})


async def test_broadcasts_and_digests_by_their_old_names(host: FakeHost) -> None:
    host.answer = [{"id": n} for n in range(5)]
    assert await broadcast_service.get_broadcast_history(limit=2, skip=1) == [{"id": 1}, {"id": 2}]
    host.answer = {"id": "b1"}
    assert await broadcast_service.get_broadcast_details("b1") == {"id": "b1"}
    scheduled = await digest_scheduler.schedule_notification("ann", "t", "T", "M", "2026-01-01")
    host.answer = True
    assert await digest_scheduler.cancel_scheduled(scheduled) is True
    assert host.asked.pop() == ("digest.cancel", {"id": "b1"})


async def test_single_channels(host: FakeHost) -> None:
    host.answer = {"id": "n1", "delivered": True}
    assert await in_app_channel.send("ann", "t", "T", "M", {"a": 1}, template_data={"b": 2})
    assert host.asked.pop()[1]["channels"] == ["in_app"]
    host.answer = {"id": None, "delivered": False}
    assert not await web_push_channel.send("ann", "t", "T", "M")
    assert host.asked.pop()[1]["channels"] == ["push"]


MANAGERS = {
    "event_bus": event_bus,
    "websocket_manager": websocket_manager,
    "notifications_manager": notifications_manager,
    "settings_manager": settings_manager,
    "broadcast_service": broadcast_service,
    "digest_scheduler": digest_scheduler,
    "channel": in_app_channel,
}


@pytest.mark.parametrize("manager", MANAGERS)
def test_what_a_manager_does_not_offer_says_what_to_use(manager: str) -> None:
    for name, instead in _original.OF_MANAGERS[manager].items():
        with pytest.raises(AttributeError) as told:
            getattr(MANAGERS[manager], name)
        assert f"{manager}.{name}" in str(told.value)
        assert instead in str(told.value)
    assert not hasattr(MANAGERS[manager], "nonsense")
    assert set(_original.OF_MANAGERS) == set(MANAGERS)


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_of_the_original_say_what_to_use(package: str) -> None:
    for module, instead in _original.MODULES.items():
        for name in (f"{package}.{module}", f"{package}.{module}.deeper"):
            with pytest.raises(ImportError) as told:
                importlib.import_module(name)
            assert instead in str(told.value), name
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module(f"{package}.nonsense")


def test_other_packages_of_the_original_say_what_to_use() -> None:
    with pytest.raises(ImportError, match=r"from \.module import name"):
        importlib.import_module("plugins.notes_manager.notifications")
    with pytest.raises(ImportError, match="verified token"):
        importlib.import_module("security.authentication")
    assert _original.is_explained("security.auth")
    assert _original.is_explained("core.nonsense")
    assert not _original.is_explained("requests")


@pytest.mark.parametrize("package", PACKAGES)
def test_names_of_modules_say_what_to_use(package: str) -> None:
    for name, instead in _original.IN_DATABASE.items():
        with pytest.raises(ImportError) as told:
            exec(f"from {package}.config.database import {name}")
        assert instead in str(told.value)
    with pytest.raises(ImportError, match="GET /api/notifications/config"):
        exec(f"from {package}.notifications import get_enabled_channels")
    with pytest.raises(ImportError, match="cannot import name"):
        exec(f"from {package}.config.database import nonsense")
    exec(f"from {package}.config.database import users_collection")
