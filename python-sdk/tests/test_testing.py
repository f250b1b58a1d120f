"""The test double itself, with a plugin that needs no database."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from core.event_bus import event_bus
from core.notifications import broadcast_service, digest_scheduler
from core.notifications_manager import notifications_manager
from mozaiks.errors import HostError
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


async def test_a_broadcast_through_its_life(gateway: TestGateway) -> None:
    record = await broadcast_service.broadcast("news", "News", "We have moved", {"role": "editor"})
    assert gateway.broadcasts.all == [record]
    assert (record["status"], record["target"], record["sent"]) == ("queued", {"role": "editor"}, 0)
    assert gateway.notifications.created == []

    gateway.broadcasts.run(record["id"], users=["ann", "bob"])
    after = await broadcast_service.get_broadcast(record["id"])
    assert (after["status"], after["sent"]) == ("done", 2)
    assert [told["title"] for told in gateway.notifications.of("bob")] == ["News"]
    assert gateway.notifications.of("ann")[0]["type"] == "news"
    with pytest.raises(HostError, match="it is done") as refused:
        await broadcast_service.cancel(record["id"])
    assert refused.value.error_code == "CONFLICT"
    with pytest.raises(ValueError, match="it is done"):
        gateway.broadcasts.run(record["id"])


async def test_broadcasts_later_and_to_users_by_name(gateway: TestGateway) -> None:
    at = dt.datetime(2026, 5, 1, 8, tzinfo=dt.timezone.utc)
    later = await broadcast_service.schedule(at, "news", "T", "M", {"users": ["bob", "ann", "bob"]})
    assert later["send_at"] == "2026-05-01T08:00:00.000Z"
    assert later["target"] == {"users": ["ann", "bob"]}
    everybody = await broadcast_service.broadcast("news", "T2", "M")
    listed = await broadcast_service.list_broadcasts()
    assert [one["id"] for one in listed] == [everybody["id"], later["id"]]

    assert await broadcast_service.cancel(everybody["id"]) is True
    assert (await broadcast_service.get_broadcast(everybody["id"]))["status"] == "cancelled"
    assert gateway.broadcasts.run(later["id"])["sent"] == 2
    assert {told["user_id"] for told in gateway.notifications.created} == {"ann", "bob"}
    assert await broadcast_service.cancel("none") is False
    with pytest.raises(HostError) as missing:
        await broadcast_service.get_broadcast("none")
    assert missing.value.error_code == "NOT_FOUND"


async def test_a_notification_for_later(gateway: TestGateway) -> None:
    made = await digest_scheduler.schedule_notification(
        "ann", "task_due", "Milk", "is due", "2026-05-01T10:00:00+02:00", metadata={"task_id": "7"}
    )
    assert made == {
        "id": made["id"],
        "user_id": "ann",
        "scheduled_for": "2026-05-01T08:00:00.000Z",
        "status": "queued",
    }
    assert [each["title"] for each in gateway.scheduled.of("ann")] == ["Milk"]
    assert gateway.scheduled.of("bob") == []
    assert gateway.notifications.of("ann") == []

    assert gateway.scheduled.run(made["id"])["metadata"] == {"task_id": "7"}
    assert [told["type"] for told in gateway.notifications.of("ann")] == ["task_due"]
    (listed,) = await digest_scheduler.list_scheduled()
    assert (listed["id"], listed["status"], listed["run_at"]) == (made["id"], "sent", None)
    with pytest.raises(HostError) as refused:
        await digest_scheduler.cancel(made["id"])
    assert refused.value.error_code == "CONFLICT"

    other = await digest_scheduler.schedule_notification("ann", "t", "T", "M", "2026-05-01T10:00")
    assert await digest_scheduler.cancel(other["id"]) is True
    assert [each["status"] for each in gateway.scheduled.all] == ["sent", "cancelled"]
    assert await digest_scheduler.cancel("none") is False


async def test_digests_are_preferences(gateway: TestGateway) -> None:
    assert (await digest_scheduler.schedule_digest("ann", "weekly"))["digest"] == "weekly"
    assert (await digest_scheduler.cancel_digest("ann"))["digest"] == "off"
    own = await notifications_manager.get_user_notification_preferences("ann")
    assert own["digest"] == "off"


async def test_what_the_gateway_refuses_is_refused(gateway: TestGateway) -> None:
    targets: list[Any] = ["some", "role:", {"role": 1}, {"users": []}, {"users": [1]}, {}, 7]
    for target in targets:
        with pytest.raises(HostError, match="target"):
            await broadcast_service.broadcast("news", "T", "M", target)
    with pytest.raises(HostError, match="title: must not be empty"):
        await broadcast_service.broadcast("news", " ", "M")
    for moment in ("soon", "2026-05-01", ""):
        with pytest.raises(HostError, match="scheduled_for: must be a time"):
            await digest_scheduler.schedule_notification("ann", "t", "T", "M", moment)
    with pytest.raises(HostError, match="send_at"):
        await broadcast_service.schedule("soon", "news", "T", "M")
    assert gateway.broadcasts.all == gateway.scheduled.all == []


async def test_apps_have_their_own_broadcasts(gateway: TestGateway, tmp_path: Path) -> None:
    plugin = tmp_path / "teller"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("")
    (plugin / "logic.py").write_text(
        "from core.notifications import broadcast_service, digest_scheduler\n"
        "async def execute(data):\n"
        "    if data.get('action') == 'tell':\n"
        "        await broadcast_service.broadcast('news', 'T', 'M')\n"
        "        at = '2026-01-01T00:00Z'\n"
        "        await digest_scheduler.schedule_notification('a', 'n', 'T', 'M', at)\n"
        "    broadcasts = await broadcast_service.list_broadcasts()\n"
        "    return {'counts': [len(broadcasts), len(await digest_scheduler.list_scheduled())]}\n"
    )
    assert await run_plugin(plugin, "tell", app_id="shop") == {"counts": [1, 1]}
    assert await run_plugin(plugin, app_id="other") == {"counts": [0, 0]}
