"""Keeps a list of tasks for each user; every change reaches the user's open pages.

Actions:
  - list → tasks, count
  - create: `title` → task
  - complete: `task_id`, `done` (true where missing; false opens it again) → task
  - delete: `task_id`
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId
from pymongo import ReturnDocument

from core.config.database import db
from core.event_bus import event_bus
from core.notifications_manager import notifications_manager
from core.websocket_manager import websocket_manager

logger = logging.getLogger("mozaiks_plugins.tasks")

COLLECTION = "tasks_items"
MAX_TITLE = 200
MAX_TASKS = 200

Data = dict[str, Any]

_indexed: set[str] = set()


class Refused(Exception):
    """What the client is told instead of an answer."""

    def __init__(self, message: str, code: str) -> None:
        """Remembers the answer.

        Args:
            message: A sentence.
            code: A code of the gateway's contract.
        """
        super().__init__(message)
        self.answer: Data = {"error": message, "error_code": code}


async def execute(data: Data) -> Data:
    """Does what the request's `action` says.

    Args:
        data: The request with the identity that the gateway has put in.

    Returns:
        The answer, or a dict with `error`.
    """
    action = data.get("action", "list")
    handler = _ACTIONS.get(action) if isinstance(action, str) else None
    if handler is None:
        return {"error": f"Unknown action: {action}", "error_code": "VALIDATION_ERROR"}
    await _create_index(data["app_id"])
    try:
        return await handler(data)
    except Refused as refused:
        return refused.answer


async def _list(data: Data) -> Data:
    cursor = db[COLLECTION].find(_own(data)).sort("_id", -1).limit(MAX_TASKS)
    tasks = await cursor.to_list(MAX_TASKS)
    return {"tasks": [_view(task) for task in tasks], "count": len(tasks)}


async def _create(data: Data) -> Data:
    title = _title(data)
    if await db[COLLECTION].count_documents(_own(data), limit=MAX_TASKS) >= MAX_TASKS:
        raise Refused(f"A list holds at most {MAX_TASKS} tasks", "LIMIT_EXCEEDED")
    task = {**_own(data), "title": title, "done": False, "created_at": _now(), "done_at": None}
    task["_id"] = (await db[COLLECTION].insert_one(task)).inserted_id
    await _tell(data, "created", _view(task))
    await _notify(data, "tasks_created", "Task added", task)
    return {"task": _view(task)}


async def _complete(data: Data) -> Data:
    done = data.get("done", True)
    if not isinstance(done, bool):
        raise Refused("done must be true or false", "VALIDATION_ERROR")
    # Only one of two calls that say the same finds the task as it was: the other tells nobody.
    changed = await db[COLLECTION].find_one_and_update(
        {**_one(data), "done": not done},
        {"$set": {"done": done, "done_at": _now() if done else None}},
        return_document=ReturnDocument.AFTER,
    )
    if changed is None:
        return {"task": _view(await _find(data))}
    await _tell(data, "completed" if done else "reopened", _view(changed))
    if done:
        await _notify(data, "tasks_completed", "Task completed", changed)
    return {"task": _view(changed)}


async def _delete(data: Data) -> Data:
    task = await db[COLLECTION].find_one_and_delete(_one(data))
    if task is None:
        raise Refused("Task not found", "NOT_FOUND")
    await _tell(data, "deleted", _view(task))
    return {"success": True}


_ACTIONS: dict[str, Callable[[Data], Awaitable[Data]]] = {
    "list": _list,
    "create": _create,
    "complete": _complete,
    "delete": _delete,
}


def _own(data: Data) -> Data:
    """The tasks of the user who calls, and nobody else's."""
    return {"app_id": data["app_id"], "user_id": data["user_id"]}


def _one(data: Data) -> Data:
    """One task of the user who calls."""
    task_id = data.get("task_id")
    # `ObjectId(None)` would be a new id: only what is text is looked up.
    if not isinstance(task_id, str):
        raise Refused("task_id must be a text", "VALIDATION_ERROR")
    try:
        return {"_id": ObjectId(task_id), **_own(data)}
    except InvalidId:
        raise Refused("Task not found", "NOT_FOUND") from None


async def _find(data: Data) -> Data:
    task: Data | None = await db[COLLECTION].find_one(_one(data))
    if task is None:
        raise Refused("Task not found", "NOT_FOUND")
    return task


def _view(task: Data) -> Data:
    """A task as clients see it."""
    return {
        "id": task["_id"],
        "title": task["title"],
        "done": task["done"],
        "created_at": task["created_at"],
        "done_at": task["done_at"],
    }


async def _tell(data: Data, what: str, task: Data) -> None:
    """Tells other plugins, and the user's open pages."""
    event_bus.publish(f"tasks:task_{what}", {"user_id": data["user_id"], "task_id": task["id"]})
    message = {"type": "tasks_update", "action": what, "task": task}
    await websocket_manager.send_to_user(data["user_id"], message)


async def _notify(data: Data, kind: str, title: str, task: Data) -> None:
    """Leaves word for when the user has no page open, unless the user has turned that off."""
    await notifications_manager.create_notification(
        user_id=data["user_id"],
        notification_type=kind,
        title=title,
        message=task["title"],
        metadata={"task_id": str(task["_id"])},
    )


async def _create_index(app_id: str) -> None:
    """Creates the plugin's index once; without it the plugin is slower, not wrong."""
    if app_id in _indexed:
        return
    _indexed.add(app_id)
    try:
        await db[COLLECTION].create_index([("app_id", 1), ("user_id", 1)], name="by_user")
    except Exception as error:
        _indexed.discard(app_id)
        logger.warning("the index could not be created: %s", error)


def _title(data: Data) -> str:
    title = data.get("title")
    if not isinstance(title, str) or not title.strip():
        raise Refused("title must be a text", "VALIDATION_ERROR")
    title = title.strip()
    if len(title) > MAX_TITLE:
        raise Refused(f"title has at most {MAX_TITLE} characters", "VALIDATION_ERROR")
    return title


def _now() -> dt.datetime:
    """Now, as exact as the database keeps it: a push says what a later list says."""
    now = dt.datetime.now(dt.timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
