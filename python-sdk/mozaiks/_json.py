"""JSON as the gateway writes it: one rule for results, events, messages and settings."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

from bson import Decimal128, ObjectId


def _plain(value: Any) -> Any:
    """Turns what JSON has no form for into what it has."""
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (ObjectId, uuid.UUID, decimal.Decimal, Decimal128)):
        return str(value)
    if isinstance(value, dt.datetime):
        # Without a zone it means UTC, as everything that comes from the database does.
        aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.timezone.utc)
        return aware.isoformat()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump()
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON")


# Made once: `json.dumps` makes an encoder for each value that it writes with settings of its own.
_ENCODER = json.JSONEncoder(
    default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")
)
_DECODER = json.JSONDecoder()


def dumps(value: Any) -> bytes:
    """Encodes a value.

    Args:
        value: Anything the gateway could send to a client.

    Returns:
        JSON in UTF-8.

    Raises:
        TypeError: If something in it has no form in JSON.
        ValueError: If it holds NaN or infinity, contains itself, or a lone surrogate.
    """
    return _ENCODER.encode(value).encode("utf-8")


def dumps_object(what: str, value: Any) -> bytes:
    """Encodes a value that must be a JSON object.

    Args:
        what: What it is, for the error.
        value: A mapping.

    Returns:
        JSON in UTF-8.

    Raises:
        TypeError: If it is no mapping, or something in it has no form in JSON.
        ValueError: As `dumps`.
    """
    if not isinstance(value, dict):
        value = dict(value) if hasattr(value, "keys") else _plain_object(what, value)
    return dumps(value)


def _plain_object(what: str, value: Any) -> Any:
    try:
        plain = _plain(value)
    except TypeError:
        plain = None
    if not isinstance(plain, dict):
        raise TypeError(f"{what} must be a dict, not {type(value).__name__}")
    return plain


def loads(data: bytes) -> Any:
    """Decodes JSON.

    Args:
        data: JSON in UTF-8; nothing at all counts as null.

    Returns:
        The value.
    """
    return _DECODER.decode(str(data, "utf-8")) if data else None
