from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import gc
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId

from core.event_bus import event_bus, on_event
from core.notifications import broadcast_service, digest_scheduler
from core.notifications_manager import notifications_manager
from core.settings_manager import settings_manager
from core.websocket_manager import websocket_manager
from mozaiks import HostError
from tests.fake_host import FakeHost


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_what_is_published_becomes_json_by_one_rule(host: FakeHost) -> None:
    object_id, unique = ObjectId(), uuid.uuid4()
    event_bus.publish(
        "notes:created",
        {
            "id": object_id,
            "at": dt.datetime(2026, 1, 2, 3, 4, 5),
            "day": dt.date(2026, 1, 2),
            "set": {1},
            "tuple": (1, 2),
            "uuid": unique,
            "price": Decimal("1.50"),
            "color": Color.RED,
            "point": Point(1, 2),
            7: "seven",
        },
    )
    assert host.events == [
        (
            "notes:created",
            {
                "id": str(object_id),
                "at": "2026-01-02T03:04:05+00:00",
                "day": "2026-01-02",
                "set": [1],
                "tuple": [1, 2],
                "uuid": str(unique),
                "price": "1.50",
                "color": "red",
                "point": {"x": 1, "y": 2},
                "7": "seven",
            },
        )
    ]
    event_bus.publish("notes:cleared")
    assert host.events[-1] == ("notes:cleared", {})


@pytest.mark.parametrize("bad", ["text", [1], 7, object()])
def test_data_of_an_event_must_be_a_dict(host: FakeHost, bad: Any) -> None:
    with pytest.raises(TypeError, match="must be a dict"):
        event_bus.publish("a:b", bad)
    assert host.events == []


def test_what_has_no_form_in_json_is_refused(host: FakeHost) -> None:
    with pytest.raises(ValueError, match="JSON"):
        event_bus.publish("a:b", {"x": math.nan})
    with pytest.raises(TypeError, match="bytes"):
        event_bus.publish("a:b", {"x": b"raw"})
    with pytest.raises(UnicodeEncodeError):
        event_bus.publish("a:b", {"x": "\ud800"})
    assert host.events == []


def test_subscribing_in_all_its_spellings(host: FakeHost) -> None:
    def plain(data: dict[str, Any]) -> None: ...

    assert event_bus.subscribe("a:b", plain) is plain

    @event_bus.subscribe("a:*")
    async def decorated(data: dict[str, Any]) -> None: ...

    @on_event("c:d")
    async def other(data: dict[str, Any]) -> None: ...

    assert sorted(key for key, _ in host.registered.values()) == ["a:*", "a:b", "c:d"]
    assert event_bus.unsubscribe("a:b", plain)
    assert not event_bus.unsubscribe("a:b", plain)
    assert sorted(key for key, _ in host.registered.values()) == ["a:*", "c:d"]
    with pytest.raises(TypeError):
        event_bus.subscribe("a:b", 7)  # type: ignore[call-overload]


def test_methods_can_be_unsubscribed_and_nothing_is_kept_alive(host: FakeHost) -> None:
    class Listener:
        def hear(self, data: dict[str, Any]) -> None: ...

    listener = Listener()
    before = len(event_bus._registrations)
    event_bus.subscribe("a:b", listener.hear)
    event_bus.subscribe("a:c", listener.hear)
    assert event_bus.unsubscribe("a:b", listener.hear)
    host.registered.clear()
    del listener
    gc.collect()
    assert len(event_bus._registrations) == before


def test_history_and_stats_are_asked_for(host: FakeHost) -> None:
    host.answer = [{"timestamp": "t", "data": {}}]
    assert event_bus.get_history("a:b", limit=3) == host.answer
    assert host.asked == [("events.history", {"event": "a:b", "limit": 3})]
    host.answer = {"events_published": 1}
    assert event_bus.get_stats() == host.answer


async def test_pushes(host: FakeHost) -> None:
    host.answer = 2
    assert await websocket_manager.send_to_user("ann", {"type": "x", "n": None}) == 2
    assert await websocket_manager.broadcast({"type": "x"}) == 2
    host.answer = True
    assert await websocket_manager.send_to_connection("c1", {"type": "x"}) is True
    assert websocket_manager.is_connected("ann") is True
    host.answer = ["ann"]
    assert websocket_manager.connected_users() == ["ann"]
    assert host.asked == [
        ("ws.send_to_user", {"user_id": "ann", "message": {"type": "x", "n": None}}),
        ("ws.broadcast", {"message": {"type": "x"}}),
        ("ws.send_to_connection", {"connection_id": "c1", "message": {"type": "x"}}),
        ("ws.is_connected", {"user_id": "ann"}),
        ("ws.connected_users", {}),
    ]

    @websocket_manager.on_message("chat")
    async def handle(data: dict[str, Any], connection_id: str) -> None: ...

    assert list(host.registered.values()) == [("chat", handle)]


async def test_notifications(host: FakeHost) -> None:
    host.answer = {"id": "n1"}
    created = await notifications_manager.create_notification(
        user_id="ann",
        notification_type="alert",
        title="T",
        message="M",
        metadata={"a": 1},
    )
    assert created == {"id": "n1"}
    assert host.asked.pop() == (
        "notifications.create",
        {
            "user_id": "ann",
            "notification_type": "alert",
            "title": "T",
            "message": "M",
            "metadata": {"a": 1},
        },
    )
    host.answer = [{"id": "n1"}]
    assert await notifications_manager.get_user_notifications("ann", unread_only=True)
    assert host.asked.pop() == (
        "notifications.list",
        {"user_id": "ann", "unread_only": True, "limit": 20, "offset": 0},
    )
    await notifications_manager.create_bulk_notifications({"ann"}, "alert", "T", "M")
    assert host.asked.pop()[1]["user_ids"] == ["ann"]
    host.answer = True
    assert await notifications_manager.mark_notification_read("ann", "n1", read=False) is True
    assert host.asked.pop() == (
        "notifications.mark_read",
        {"user_id": "ann", "id": "n1", "read": False},
    )
    assert await notifications_manager.delete_notification("ann", "n1") is True
    host.answer = 3
    assert await notifications_manager.mark_all_notifications_read("ann") == 3
    host.answer = {"email": False}
    assert await notifications_manager.get_user_notification_preferences("ann") == host.answer
    await notifications_manager.update_notification_preferences("ann", {"email": False})
    assert host.asked.pop() == (
        "notifications.update_preferences",
        {"user_id": "ann", "preferences": {"email": False}},
    )


async def test_broadcasts_and_digests(host: FakeHost) -> None:
    host.answer = {"id": "b1"}
    await broadcast_service.broadcast("news", "T", "M", {"role": "editor"}, ["in_app"])
    assert host.asked.pop() == (
        "broadcast.create",
        {
            "notification_type": "news",
            "title": "T",
            "message": "M",
            "target": {"role": "editor"},
            "channels": ["in_app"],
        },
    )
    await broadcast_service.schedule(dt.datetime(2026, 1, 1), "news", "T", "M")
    assert host.asked[-1][1]["send_at"] == "2026-01-01T00:00:00+00:00"
    assert host.asked.pop()[1]["target"] == "all"
    await broadcast_service.get_broadcast("b1")
    assert host.asked.pop() == ("broadcast.get", {"id": "b1"})
    await broadcast_service.list_broadcasts()
    assert host.asked.pop() == ("broadcast.list", {})
    await digest_scheduler.schedule_notification(
        "ann", "due", "T", "M", scheduled_for=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    )
    assert host.asked.pop() == (
        "digest.schedule",
        {
            "user_id": "ann",
            "notification_type": "due",
            "title": "T",
            "message": "M",
            "scheduled_for": "2026-01-01T00:00:00+00:00",
        },
    )
    await digest_scheduler.schedule_digest("ann", "weekly")
    assert host.asked.pop() == (
        "notifications.update_preferences",
        {"user_id": "ann", "preferences": {"digest": "weekly"}},
    )
    await digest_scheduler.cancel_digest("ann")
    assert host.asked.pop()[1]["preferences"] == {"digest": "off"}
    host.answer = True
    assert await broadcast_service.cancel("b1") is True
    assert host.asked.pop() == ("broadcast.cancel", {"id": "b1"})
    assert await digest_scheduler.cancel("s1") is True
    assert host.asked.pop() == ("digest.cancel", {"id": "s1"})


async def test_settings_keep_what_is_none(host: FakeHost) -> None:
    host.answer = {}
    assert await settings_manager.get_plugin_settings("ann", "notes") == {}
    await settings_manager.save_plugin_settings("ann", "notes", {"theme": None})
    assert host.asked.pop() == (
        "settings.save",
        {"user_id": "ann", "plugin": "notes", "settings": {"theme": None}},
    )
    with pytest.raises(TypeError):
        await settings_manager.save_plugin_settings("ann", "notes", [])  # type: ignore[arg-type]


async def test_a_refusal_carries_code_and_details(host: FakeHost) -> None:
    host.answer = HostError("VALIDATION_ERROR", "does not fit", b'{"problems":[]}')
    with pytest.raises(HostError, match="does not fit") as raised:
        await settings_manager.save_plugin_settings("ann", "notes", {})
    assert raised.value.error_code == "VALIDATION_ERROR"
    assert raised.value.details == {"problems": []}
