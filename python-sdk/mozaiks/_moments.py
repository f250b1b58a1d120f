"""Moments as the gateway takes them."""

from __future__ import annotations

import datetime as dt


def written(at: dt.datetime | str | None) -> str | None:
    """Writes a moment.

    Args:
        at: A moment, in UTC where it has no zone, or one that is written already.

    Returns:
        ISO 8601; `None` for none.
    """
    if at is None or isinstance(at, str):
        return at
    aware = at if at.tzinfo is not None else at.replace(tzinfo=dt.timezone.utc)
    return aware.isoformat()
