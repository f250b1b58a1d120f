"""Times as callers write them: every form of ISO 8601 that Python's `datetime` writes or reads.

The same rule as the gateway's, on every Python: what `datetime.fromisoformat` takes differs between
versions.
"""

from __future__ import annotations

import datetime as dt
import re

_DATE = r"""
    (?P<year>[0-9]{4})
    (?:-(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) | (?P<month2>[0-9]{2})(?P<day2>[0-9]{2})
     | -W(?P<week>[0-9]{2})(?:-(?P<weekday>[0-9]))? | W(?P<week2>[0-9]{2})(?P<weekday2>[0-9])?)
"""


def _clock(name: str) -> str:
    """Hours, or more, with colons between all of its numbers or none."""
    hour, minute, second = (f"{name}_{unit}" for unit in ("hour", "minute", "second"))
    fraction = rf"(?:[.,](?P<{name}_fraction{{0}}>[0-9]+))?"
    return rf"""
        (?P<{hour}>[0-9]{{2}})
        (?::(?P<{minute}>[0-9]{{2}})(?::(?P<{second}>[0-9]{{2}}){fraction.format("")})?
         | (?P<{minute}2>[0-9]{{2}})(?:(?P<{second}2>[0-9]{{2}}){fraction.format("2")})?)?
    """


_MOMENT = re.compile(
    rf"{_DATE} [Tt\ ] {_clock('time')} (?:[Zz] | (?P<sign>[+-]) {_clock('zone')})?", re.VERBOSE
)


def read_moment(text: str) -> dt.datetime:
    """Reads a time; one without an offset is in UTC, a day alone is no time.

    Args:
        text: The time in ISO 8601.

    Returns:
        The moment in UTC, its microseconds cut off.

    Raises:
        ValueError: If it names no moment.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time in ISO 8601")
    parts = found.groupdict()

    def number(name: str, default: int = 0) -> int:
        written = parts[name] or parts.get(f"{name}2")
        return default if written is None else int(written)

    def clock(name: str) -> tuple[int, int, int, int]:
        fraction = parts[f"{name}_fraction"] or parts[f"{name}_fraction2"] or ""
        micros = int(fraction[:6].ljust(6, "0"))
        hour, minute, second = (number(f"{name}_{unit}") for unit in ("hour", "minute", "second"))
        # Also checks the parts of an offset, which are like those of a day.
        dt.time(hour, minute, second, micros)
        return hour, minute, second, micros

    if parts["week"] or parts["week2"]:
        day = dt.date.fromisocalendar(number("year"), number("week"), number("weekday", 1))
    else:
        day = dt.date(number("year"), number("month"), number("day"))
    at = dt.datetime.combine(day, dt.time(*clock("time")), dt.timezone.utc)
    if parts["sign"]:
        hours, minutes, seconds, micros = clock("zone")
        offset = dt.timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
        try:
            at = at - offset if parts["sign"] == "+" else at + offset
        except OverflowError:
            raise ValueError(f"{text!r} is beyond the years 1 to 9999") from None
    return at
