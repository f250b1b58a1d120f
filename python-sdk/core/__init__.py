"""What plugins import: each manager from the module of its name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mozaiks.event_bus import on_event

if TYPE_CHECKING:
    from mozaiks.database import db, get_collection, get_db

__all__ = ["db", "get_collection", "get_db", "on_event"]


def __getattr__(name: str) -> Any:
    # PyMongo comes with the first use.
    if name in {"db", "get_collection", "get_db"}:
        return getattr(importlib.import_module("mozaiks.database"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
