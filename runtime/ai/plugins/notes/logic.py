"""Keeps short notes for each user, with tags and search.

Actions:
  - list: `skip`, `limit`, `tag` → notes, count, total
  - search: `query`, `limit` → notes whose title, text or tags hold all words of the query
  - create: `title`, `text`, `tags` → id
  - get: `note_id` → note
  - update: `note_id`, `title`, `text`, `tags`
  - delete: `note_id`
  - get_settings, save_settings: `settings`
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId

from core.config.database import db
from core.event_bus import event_bus
from core.notifications_manager import notifications_manager
from core.settings_manager import settings_manager
from core.websocket_manager import websocket_manager

logger = logging.getLogger("mozaiks_plugins.notes")

PLUGIN = "notes"
COLLECTION = "notes_items"
DEFAULTS: dict[str, Any] = {"sort_by": "updated_at", "page_size": 50, "notify_on_create": False}
MAX_TITLE = 200
MAX_TEXT = 20_000
MAX_TAGS = 20
MAX_TAG = 40
MAX_QUERY = 200
MAX_PAGE = 100

Data = dict[str, Any]

_indexed: set[str] = set()


class Refused(Exception):
    """What the client is told instead of an answer."""

    def __init__(self, message: str, code: str, field: str | None = None) -> None:
        """Remembers the answer.

        Args:
            message: A sentence.
            code: A code of the gateway's contract.
            field: What of the request is wrong, if anything.
        """
        super().__init__(message)
        self.answer: Data = {"error": message, "error_code": code}
        if field is not None:
            self.answer["details"] = {"field": field, "message": message}


async def execute(data: Data) -> Data:
    """Does what the request's `action` says.

    Args:
        data: The request with the identity that the gateway has put in.

    Returns:
        The answer, or a dict with `error`.
    """
    action = data.get("action", "")
    handler = _ACTIONS.get(action) if isinstance(action, str) else None
    if handler is None:
        return {"error": f"Unknown action: {action}"}
    await _create_indexes(data["app_id"])
    try:
        return await handler(data)
    except Refused as refused:
        return refused.answer


async def _list(data: Data) -> Data:
    settings = await _settings(data)
    skip = _number(data, "skip", 0, 0, 1_000_000)
    limit = _number(data, "limit", settings["page_size"], 1, MAX_PAGE)
    where = _own(data)
    if data.get("tag") is not None:
        where["tags"] = _text(data, "tag", MAX_TAG)
    direction = 1 if settings["sort_by"] == "title" else -1
    cursor = db[COLLECTION].find(where).sort([(settings["sort_by"], direction), ("_id", direction)])
    notes = await cursor.skip(skip).limit(limit).to_list(limit)
    total = await db[COLLECTION].count_documents(where)
    return {"notes": [_view(note) for note in notes], "count": len(notes), "total": total}


async def _search(data: Data) -> Data:
    words = _text(data, "query", MAX_QUERY).split()
    limit = _number(data, "limit", 20, 1, MAX_PAGE)
    # What a user types is text, never a pattern.
    patterns = [{"$regex": re.escape(word), "$options": "i"} for word in words]
    where = {
        **_own(data),
        "$and": [
            {"$or": [{"title": pattern}, {"text": pattern}, {"tags": pattern}]}
            for pattern in patterns
        ],
    }
    notes = await db[COLLECTION].find(where).sort("updated_at", -1).limit(limit).to_list(limit)
    return {"notes": [_view(note) for note in notes], "count": len(notes)}


async def _create(data: Data) -> Data:
    now = dt.datetime.now(dt.timezone.utc)
    note = {
        "app_id": data["app_id"],
        "user_id": data["user_id"],
        "title": _text(data, "title", MAX_TITLE),
        "text": _text(data, "text", MAX_TEXT, required=False),
        "tags": _tags(data),
        "created_at": now,
        "updated_at": now,
    }
    result = await db[COLLECTION].insert_one(note)
    note_id = str(result.inserted_id)
    await _tell(data, "created", note_id, {"title": note["title"]})
    if (await _settings(data))["notify_on_create"]:
        await notifications_manager.create_notification(
            user_id=data["user_id"],
            notification_type="notes_created",
            title="Note saved",
            message=note["title"],
            metadata={"note_id": note_id},
        )
    return {"success": True, "id": note_id}


async def _get(data: Data) -> Data:
    note = await db[COLLECTION].find_one(_one(data))
    if note is None:
        raise Refused("Note not found", "NOT_FOUND")
    return {"note": _view(note)}


async def _update(data: Data) -> Data:
    changes: Data = {}
    if "title" in data:
        changes["title"] = _text(data, "title", MAX_TITLE)
    if "text" in data:
        changes["text"] = _text(data, "text", MAX_TEXT, required=False)
    if "tags" in data:
        changes["tags"] = _tags(data)
    if not changes:
        raise Refused("No fields to update", "VALIDATION_ERROR")
    changes["updated_at"] = dt.datetime.now(dt.timezone.utc)
    result = await db[COLLECTION].update_one(_one(data), {"$set": changes})
    if result.matched_count == 0:
        raise Refused("Note not found", "NOT_FOUND")
    await _tell(data, "updated", data["note_id"], {})
    return {"success": True}


async def _delete(data: Data) -> Data:
    result = await db[COLLECTION].delete_one(_one(data))
    if result.deleted_count == 0:
        raise Refused("Note not found", "NOT_FOUND")
    await _tell(data, "deleted", data["note_id"], {})
    return {"success": True}


async def _get_settings(data: Data) -> Data:
    return {"settings": await _settings(data)}


async def _save_settings(data: Data) -> Data:
    settings = data.get("settings")
    if not isinstance(settings, dict):
        raise Refused("Settings must be an object", "VALIDATION_ERROR", "settings")
    try:
        await settings_manager.save_plugin_settings(data["user_id"], PLUGIN, settings)
    except Exception as error:
        if getattr(error, "error_code", None) != "VALIDATION_ERROR":
            raise
        raise Refused(str(error), "VALIDATION_ERROR", "settings") from error
    return {"success": True}


_ACTIONS: dict[str, Callable[[Data], Awaitable[Data]]] = {
    "list": _list,
    "search": _search,
    "create": _create,
    "get": _get,
    "update": _update,
    "delete": _delete,
    "get_settings": _get_settings,
    "save_settings": _save_settings,
}


def _own(data: Data) -> Data:
    """The notes of the user who calls, and nobody else's."""
    return {"app_id": data["app_id"], "user_id": data["user_id"]}


def _one(data: Data) -> Data:
    """One note of the user who calls."""
    try:
        return {"_id": ObjectId(_text(data, "note_id", 24)), **_own(data)}
    except InvalidId:
        raise Refused("Note not found", "NOT_FOUND") from None


def _view(note: Data) -> Data:
    """A note as clients see it."""
    return {
        "id": note["_id"],
        "title": note["title"],
        "text": note["text"],
        "tags": note["tags"],
        "created_at": note["created_at"],
        "updated_at": note["updated_at"],
    }


async def _settings(data: Data) -> Data:
    saved = await settings_manager.get_plugin_settings(data["user_id"], PLUGIN)
    return {**DEFAULTS, **saved}


async def _tell(data: Data, what: str, note_id: str, more: Data) -> None:
    """Tells other plugins, and the user's open pages."""
    event_bus.publish(f"notes:note_{what}", {"user_id": data["user_id"], "note_id": note_id})
    message = {"type": "notes_update", "action": what, "data": {"note_id": note_id, **more}}
    await websocket_manager.send_to_user(data["user_id"], message)


async def _create_indexes(app_id: str) -> None:
    """Creates the plugin's indexes once; without them it is slower, not wrong."""
    if app_id in _indexed:
        return
    _indexed.add(app_id)
    try:
        keys = [("app_id", 1), ("user_id", 1), ("updated_at", -1)]
        await db[COLLECTION].create_index(keys, name="by_user")
    except Exception as error:
        _indexed.discard(app_id)
        logger.warning("the index could not be created: %s", error)


def _text(data: Data, field: str, longest: int, *, required: bool = True) -> str:
    value = data.get(field, None if required else "")
    if not isinstance(value, str):
        raise Refused(f"{field} must be a string", "VALIDATION_ERROR", field)
    value = value.strip()
    if required and not value:
        raise Refused(f"{field} is required", "VALIDATION_ERROR", field)
    if len(value) > longest:
        raise Refused(f"{field} has at most {longest} characters", "VALIDATION_ERROR", field)
    return value


def _tags(data: Data) -> list[str]:
    tags = data.get("tags", [])
    fits = isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
    if not fits or len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in tags):
        message = f"tags are at most {MAX_TAGS} strings of at most {MAX_TAG} characters"
        raise Refused(message, "VALIDATION_ERROR", "tags")
    return sorted({tag.strip().lower() for tag in tags if tag.strip()})


def _number(data: Data, field: str, default: int, least: int, most: int) -> int:
    value = data.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused(f"{field} must be a number from {least}", "VALIDATION_ERROR", field)
    return min(value, most)
