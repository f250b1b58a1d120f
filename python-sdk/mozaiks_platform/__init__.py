"""The names of `core`, for plugins that import them from here."""

from mozaiks.database import db, get_collection, get_db
from mozaiks.event_bus import on_event

__all__ = ["db", "get_collection", "get_db", "on_event"]
