"""Types whose JSON is one text or number."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from collections.abc import Callable
from typing import Any

from mozaiks.actions._errors import Misfit

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"
_DECIMAL = r"^-?\d{1,400}(\.\d{1,400})?$"
_OBJECT_ID = "^[0-9a-fA-F]{24}$"

_TIMES, _DECIMALS = re.compile(_TIME, re.ASCII), re.compile(_DECIMAL, re.ASCII)


def _null(value: Any) -> None:
    if value is not None:
        raise Misfit("null is wanted")


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise Misfit("true or false is wanted")
    return value


def _integer(value: Any) -> int:
    # For JSON 1.0 is an integer too.
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise Misfit("an integer is wanted")
    return value


def _float(value: Any) -> float:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Misfit("a number that a float holds is wanted") from None
    if type(value) is not float:
        raise Misfit("a number is wanted")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Misfit("a string is wanted")
    return value


def _datetime(value: Any) -> dt.datetime:
    found = _MOMENT.fullmatch(_text(value))
    if found is None:
        raise Misfit("a time with its zone is wanted, such as 2026-03-01T09:30:00Z")
    day, time, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    fraction = (fraction or "")[:6].ljust(6, "0")
    try:
        return dt.datetime.fromisoformat(f"{day}T{time}.{fraction}{zone}")
    except ValueError as error:
        raise Misfit(str(error)) from None


def _date(value: Any) -> dt.date:
    if _DAY.fullmatch(_text(value)) is None:
        raise Misfit("a date is wanted, such as 2026-03-01")
    try:
        return dt.date.fromisoformat(value)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _time(value: Any) -> dt.time:
    if _TIMES.fullmatch(_text(value)) is None:
        raise Misfit("a time of day is wanted, such as 09:30")
    time, _, fraction = value.partition(".")
    try:
        if fraction:
            return dt.time.fromisoformat(f"{time}.{fraction.ljust(6, '0')}")
        return dt.time.fromisoformat(time)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _uuid(value: Any) -> uuid.UUID:
    try:
        return uuid.UUID(_text(value))
    except ValueError:
        raise Misfit("a UUID is wanted") from None


def _decimal(value: Any) -> decimal.Decimal:
    if type(value) in (int, float):
        return decimal.Decimal(str(value))
    if _DECIMALS.fullmatch(_text(value)) is None:
        raise Misfit("a number is wanted")
    return decimal.Decimal(value)


def _object_id(value: Any) -> Any:
    from bson import ObjectId
    from bson.errors import InvalidId

    try:
        return ObjectId(_text(value))
    except InvalidId:
        raise Misfit("an id of 24 hexadecimal digits is wanted") from None


Scalar = tuple[dict[str, Any], Callable[[Any], Any], int]

# The schema, what makes a value of it, and how late it is tried among the types of a union: what
# takes fewer values first.
SCALARS: dict[Any, Scalar] = {
    type(None): ({"type": "null"}, _null, 0),
    bool: ({"type": "boolean"}, _boolean, 0),
    int: ({"type": "integer"}, _integer, 1),
    float: ({"type": "number"}, _float, 3),
    str: ({"type": "string"}, _text, 4),
    dt.datetime: ({"type": "string", "format": "date-time"}, _datetime, 2),
    dt.date: ({"type": "string", "format": "date"}, _date, 2),
    dt.time: ({"type": "string", "pattern": _TIME}, _time, 2),
    uuid.UUID: ({"type": "string", "format": "uuid"}, _uuid, 2),
    decimal.Decimal: ({"type": ["number", "string"], "pattern": _DECIMAL}, _decimal, 3),
}
_ID: Scalar = ({"type": "string", "pattern": _OBJECT_ID}, _object_id, 2)

# As results are written: a time of day may have a zone, a Decimal is text.
WRITTEN: dict[Any, dict[str, Any]] = {
    dt.time: {"type": "string"},
    decimal.Decimal: {"type": "string"},
}


def scalar(wanted: Any) -> Scalar | None:
    """What there is to know of a type, if it is one of these.

    Args:
        wanted: The type.

    Returns:
        Its schema, what converts to it and how late it is tried; None for other types.
    """
    try:
        found = SCALARS.get(wanted)
    except TypeError:
        # Not hashable: no type.
        return None
    if found is None and getattr(wanted, "__module__", None) == "bson.objectid":
        return _ID if getattr(wanted, "__name__", "") == "ObjectId" else None
    return found
