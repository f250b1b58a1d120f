"""Documents of the original as the gateway keeps them. Nothing here knows a database."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Any

from bson import ObjectId

from mozaiks import _json

# As long as the gateway keeps a notification.
KEPT = dt.timedelta(days=30)
_PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MOST_BYTES = 64 * 1024
_MOST_TYPES = 1000
_CHANNELS = {"in_app": "in_app", "email": "email", "sms": "sms", "push": "push"}
_CHANNELS |= {"websocket": "in_app", "web_push": "push"}


class Left(Exception):
    """Something that is not copied, and why."""


def settings_text(plugin: Any, settings: Any) -> str:
    """A plugin's settings as the gateway keeps them.

    Args:
        plugin: The plugin.
        settings: What a user has set.

    Returns:
        JSON.

    Raises:
        Left: Where the gateway would not take them.
    """
    if not isinstance(plugin, str) or not _PLUGIN_NAME.fullmatch(plugin):
        raise Left("the plugin's name is none here (lower case, digits, _ and -)")
    return _object(settings, "the settings").decode()


def notification(found: dict[str, Any], app_id: str, user_id: str, now: dt.datetime) -> Any:
    """A notification as the gateway keeps it.

    Args:
        found: One of the collection `notifications`, or of a user's own list.
        app_id: The app it belongs to from now on.
        user_id: The user.
        now: What time it is.

    Returns:
        The document.

    Raises:
        Left: Where the gateway would not keep it.
    """
    texts: dict[str, str] = {}
    for name in ("type", "title", "message"):
        text = found.get(name)
        if not isinstance(text, str) or (not text.strip() and name != "message"):
            raise Left(f"it has no {name}")
        texts[name] = text
    if len(texts["type"].encode()) > 128:
        raise Left("its type has more than 128 bytes")
    created_at = _moment(found.get("created_at"))
    if created_at is None:
        raise Left("it does not say when it was created")
    if now - created_at > KEPT:
        raise Left(f"it is older than {KEPT.days} days")
    metadata = _json.loads(_object(found.get("metadata") or {}, "the metadata"))
    if len("".join(texts.values()).encode()) + len(_json.dumps(metadata)) > _MOST_BYTES:
        raise Left("it has more than 64 KiB")
    return {
        "_id": _id_of(found, app_id, user_id),
        "app_id": app_id,
        "user_id": user_id,
        **texts,
        "metadata": metadata,
        "read": found.get("read") is True,
        "created_at": created_at,
        "channels": ["in_app"],
        "listed": True,
    }


def preferences(*found: Any) -> dict[str, Any] | None:
    """Preferences as the gateway keeps them.

    Args:
        *found: What the original kept of a user, in two places; the later goes before.

    Returns:
        The preferences; None where nothing was said.
    """
    channels: dict[str, bool] = {}
    types: dict[str, Any] = {}
    digest = None
    for each in found:
        if not isinstance(each, dict):
            continue
        for name, value in {**(_dict(each.get("types"))), **each}.items():
            enabled = value.get("enabled") if isinstance(value, dict) else value
            channel = _CHANNELS.get(name.removesuffix("_enabled").removesuffix("_notifications"))
            if name == "digest_frequency":
                digest = value if value in ("daily", "weekly") else "off"
            elif channel is not None and isinstance(enabled, bool):
                channels[channel] = enabled
            elif isinstance(enabled, bool) and name != "types" and 1 <= len(name.encode()) <= 128:
                asked = value.get("channels") if isinstance(value, dict) else None
                known = [_CHANNELS[one] for one in asked or () if one in _CHANNELS]
                types[name] = {"enabled": enabled, "channels": known or None}
    if not channels and not types and digest is None:
        return None
    kept = dict(list(types.items())[:_MOST_TYPES])
    return {"channels": channels, "types": kept, "digest": digest or "off"}


def digest_at(digest: str, hour: int, now: dt.datetime) -> dt.datetime | None:
    """When the next digest is due.

    Args:
        digest: `off`, `daily` or `weekly` (on Mondays).
        hour: The hour of the day, in UTC.
        now: What time it is.

    Returns:
        The time; None where there is no digest.
    """
    if digest == "off":
        return None
    at = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    while at <= now or (digest == "weekly" and at.weekday() != 0):
        at += dt.timedelta(days=1)
    return at


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _object(value: Any, what: str) -> bytes:
    if not isinstance(value, dict):
        raise Left(f"{what} are no object")
    try:
        text = _json.dumps(value)
    except (TypeError, ValueError):
        raise Left(f"{what} hold what JSON cannot carry") from None
    if len(text) > _MOST_BYTES:
        raise Left(f"{what} have more than 64 KiB")
    return text


def _id_of(found: dict[str, Any], app_id: str, user_id: str) -> ObjectId:
    """The same at every run, so that a second finds what the first has copied."""
    own = found.get("_id", found.get("id"))
    if isinstance(own, ObjectId):
        return own
    if own is None:
        own = [found.get(name) for name in ("type", "title", "message", "created_at")]
    text = repr((app_id, user_id, own)).encode()
    return ObjectId(hashlib.sha256(text).digest()[:12])


def _moment(value: Any) -> dt.datetime | None:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
