"""Runs the plugin as the gateway does, on a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mozaiks.testing import TestGateway, run_plugin

NOTES = Path(__file__).parent.parent


async def notes(action: str, user_id: str = "ann", **fields: Any) -> dict[str, Any]:
    return await run_plugin(NOTES, action, user_id=user_id, **fields)


async def test_a_note_through_its_life(gateway: TestGateway) -> None:
    created = await notes("create", title=" Milk ", text="two", tags=["Food", "food", " "])
    assert created["success"] is True
    note_id = created["id"]

    note = (await notes("get", note_id=note_id))["note"]
    assert (note["id"], note["title"], note["tags"]) == (note_id, "Milk", ["food"])
    assert note["created_at"].endswith("+00:00")

    assert (await notes("update", note_id=note_id, text="three")) == {"success": True}
    assert (await notes("get", note_id=note_id))["note"]["text"] == "three"

    assert (await notes("delete", note_id=note_id)) == {"success": True}
    assert (await notes("get", note_id=note_id))["error_code"] == "NOT_FOUND"

    told = ["notes:note_created", "notes:note_updated", "notes:note_deleted"]
    assert [event.name for event in gateway.events.all] == told
    assert [message["action"] for message in gateway.websocket.sent_to("ann")] == [
        "created",
        "updated",
        "deleted",
    ]


async def test_listing_pages_sorts_and_filters(gateway: TestGateway) -> None:
    for title in ["b", "a", "c"]:
        await notes("create", title=title, tags=["x"] if title == "a" else [])
    page = await notes("list", limit=2)
    assert [note["title"] for note in page["notes"]] == ["c", "a"]
    assert (page["count"], page["total"]) == (2, 3)
    page = await notes("list", skip=2)
    assert [note["title"] for note in page["notes"]] == ["b"]
    assert (await notes("list", tag="x"))["total"] == 1
    await notes("save_settings", settings={"sort_by": "title"})
    assert [note["title"] for note in (await notes("list"))["notes"]] == ["a", "b", "c"]


async def test_search_takes_words_as_they_are(gateway: TestGateway) -> None:
    await notes("create", title="Price list", text="milk costs 1.50 (each)")
    await notes("create", title="Recipe", text="Milk and flour", tags=["kitchen"])
    found = await notes("search", query="MILK")
    assert found["count"] == 2
    assert [note["title"] for note in (await notes("search", query="milk list"))["notes"]] == [
        "Price list"
    ]
    assert (await notes("search", query="(each)"))["count"] == 1
    assert (await notes("search", query=".*"))["count"] == 0
    assert (await notes("search", query="kitchen"))["count"] == 1


async def test_users_and_apps_are_apart(gateway: TestGateway) -> None:
    note_id = (await notes("create", title="mine"))["id"]
    for action in ("get", "update", "delete"):
        answer = await notes(action, user_id="bob", note_id=note_id, title="yours")
        assert answer["error_code"] == "NOT_FOUND"
    assert (await notes("list", user_id="bob"))["total"] == 0
    assert (await notes("search", user_id="bob", query="mine"))["count"] == 0
    other_app = await run_plugin(NOTES, "get", user_id="ann", app_id="other", note_id=note_id)
    assert other_app["error_code"] == "NOT_FOUND"
    assert (await notes("get", note_id=note_id))["note"]["title"] == "mine"


@pytest.mark.parametrize(
    ("action", "fields", "field"),
    [
        ("create", {}, "title"),
        ("create", {"title": "  "}, "title"),
        ("create", {"title": 7}, "title"),
        ("create", {"title": "x" * 201}, "title"),
        ("create", {"title": "x", "tags": "food"}, "tags"),
        ("list", {"limit": 0}, "limit"),
        ("list", {"skip": "1"}, "skip"),
        ("list", {"tag": {"$ne": 1}}, "tag"),
        ("search", {"query": ""}, "query"),
        ("get", {"note_id": {"$ne": None}}, "note_id"),
        ("save_settings", {"settings": []}, "settings"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    gateway: TestGateway, action: str, fields: dict[str, Any], field: str
) -> None:
    answer = await notes(action, **fields)
    assert answer["error_code"] == "VALIDATION_ERROR"
    assert answer["details"]["field"] == field


async def test_odd_requests(gateway: TestGateway) -> None:
    assert (await notes("get", note_id="nonsense"))["error_code"] == "NOT_FOUND"
    assert "Unknown action" in (await notes("dance"))["error"]
    assert "Unknown action" in (await run_plugin(NOTES))["error"]
    answer = await notes("update", note_id="65f000000000000000000000")
    assert answer["error"] == "No fields to update"


async def test_settings_and_notifications(gateway: TestGateway) -> None:
    assert (await notes("get_settings"))["settings"]["page_size"] == 50
    assert (await notes("save_settings", settings={"notify_on_create": True}))["success"]
    assert (await notes("get_settings"))["settings"]["notify_on_create"] is True
    assert (await notes("get_settings", user_id="bob"))["settings"]["notify_on_create"] is False
    await notes("create", title="Milk")
    assert [each["message"] for each in gateway.notifications.of("ann")] == ["Milk"]
