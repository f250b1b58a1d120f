"""Runs the plugin as the gateway does, on a real database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mozaiks.testing import TestGateway, run_plugin

TASKS = Path(__file__).parent.parent


async def tasks(action: str | None = None, user_id: str = "ann", **fields: Any) -> dict[str, Any]:
    return await run_plugin(TASKS, action, user_id=user_id, **fields)


async def test_a_task_through_its_life(gateway: TestGateway) -> None:
    task = (await tasks("create", title=" Water the plants "))["task"]
    assert (task["title"], task["done"], task["done_at"]) == ("Water the plants", False, None)
    listed = await tasks("list")
    assert (listed["tasks"], listed["count"]) == ([task], 1)

    done = (await tasks("complete", task_id=task["id"]))["task"]
    assert done["done"] is True
    assert done["done_at"] >= task["created_at"]
    opened = (await tasks("complete", task_id=task["id"], done=False))["task"]
    assert opened == task

    assert await tasks("delete", task_id=task["id"]) == {"success": True}
    assert (await tasks())["tasks"] == []
    assert (await tasks("delete", task_id=task["id"]))["error_code"] == "NOT_FOUND"


async def test_every_change_is_pushed_published_and_worth_a_notification(
    gateway: TestGateway,
) -> None:
    task = (await tasks("create", title="Milk"))["task"]
    done = (await tasks("complete", task_id=task["id"]))["task"]
    await tasks("complete", task_id=task["id"], done=False)
    await tasks("delete", task_id=task["id"])

    pushed = gateway.websocket.sent_to("ann")
    assert {message["type"] for message in pushed} == {"tasks_update"}
    assert [message["action"] for message in pushed] == [
        "created",
        "completed",
        "reopened",
        "deleted",
    ]
    # A page shows what was pushed as it shows what it has listed.
    assert [message["task"] for message in pushed[:2]] == [task, done]
    assert [event.name for event in gateway.events.all] == [
        "tasks:task_created",
        "tasks:task_completed",
        "tasks:task_reopened",
        "tasks:task_deleted",
    ]
    told = gateway.notifications.of("ann")
    assert [(one["type"], one["message"]) for one in told] == [
        ("tasks_completed", "Milk"),
        ("tasks_created", "Milk"),
    ]
    assert {one["metadata"]["task_id"] for one in told} == {task["id"]}


async def test_what_is_done_already_is_told_once(gateway: TestGateway) -> None:
    task_id = (await tasks("create", title="Milk"))["task"]["id"]
    answers = await asyncio.gather(*(tasks("complete", task_id=task_id) for _ in range(5)))
    assert all(answer["task"]["done"] for answer in answers)
    assert len(gateway.events.published("tasks:task_completed")) == 1
    assert [one["type"] for one in gateway.notifications.of("ann")].count("tasks_completed") == 1


async def test_the_newest_comes_first_and_a_list_has_an_end(
    gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tasks("create", title="one")
    (loaded,) = gateway.loaded.values()
    monkeypatch.setattr(loaded.module, "MAX_TASKS", 2)
    await tasks("create", title="two")
    refused = await tasks("create", title="three")
    assert refused["error_code"] == "LIMIT_EXCEEDED"
    assert [task["title"] for task in (await tasks())["tasks"]] == ["two", "one"]


async def test_users_and_apps_are_apart(gateway: TestGateway) -> None:
    task_id = (await tasks("create", title="mine"))["task"]["id"]
    for action in ("complete", "delete"):
        answer = await tasks(action, user_id="bob", task_id=task_id)
        assert answer["error_code"] == "NOT_FOUND"
        other_app = await run_plugin(TASKS, action, user_id="ann", app_id="other", task_id=task_id)
        assert other_app["error_code"] == "NOT_FOUND"
    assert (await tasks(user_id="bob"))["count"] == 0
    assert (await tasks())["tasks"][0]["done"] is False
    assert gateway.websocket.sent_to("bob") == []


@pytest.mark.parametrize(
    ("action", "fields", "code"),
    [
        ("create", {}, "VALIDATION_ERROR"),
        ("create", {"title": "  "}, "VALIDATION_ERROR"),
        ("create", {"title": ["x"]}, "VALIDATION_ERROR"),
        ("create", {"title": "x" * 201}, "VALIDATION_ERROR"),
        ("complete", {}, "VALIDATION_ERROR"),
        ("complete", {"task_id": {"$ne": None}}, "VALIDATION_ERROR"),
        ("complete", {"task_id": "65f000000000000000000000", "done": "yes"}, "VALIDATION_ERROR"),
        ("complete", {"task_id": "nonsense"}, "NOT_FOUND"),
        ("complete", {"task_id": "65f000000000000000000000"}, "NOT_FOUND"),
        ("delete", {"task_id": None}, "VALIDATION_ERROR"),
        ("dance", {}, "VALIDATION_ERROR"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    gateway: TestGateway, action: str, fields: dict[str, Any], code: str
) -> None:
    await tasks("create", title="stays")
    answer = await tasks(action, **fields)
    assert answer["error_code"] == code
    assert [task["title"] for task in (await tasks())["tasks"]] == ["stays"]


def test_what_it_sends_is_declared() -> None:
    manifest = json.loads((TASKS / "plugin.json").read_text(encoding="utf-8"))
    declared = {kind["id"] for kind in manifest["notifications"]}
    logic = (TASKS / "logic.py").read_text(encoding="utf-8")
    assert declared == {"tasks_created", "tasks_completed"}
    assert all(f'"{kind}"' in logic for kind in declared)
