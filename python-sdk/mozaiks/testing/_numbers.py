"""Which numbers settings keep exactly: the gateway's rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def inexact(value: Any, path: str = "") -> Iterator[str]:
    """The JSON Pointers of the numbers that would not come back as they were saved.

    Args:
        value: Settings, or a part of them.
        path: Where the part is.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            yield from inexact(part, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from inexact(part, f"{path}/{index}")
    elif isinstance(value, (int, float)):
        # A float at the lower bound may have been a whole number below it.
        lowest = -(2**63) + isinstance(value, float)
        if not lowest <= value < 2**64:
            yield path
