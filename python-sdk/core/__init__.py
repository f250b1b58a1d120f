"""What plugins import: each manager from the module of its name."""

from mozaiks.database import db, get_collection, get_db
from mozaiks.event_bus import on_event

__all__ = ["db", "get_collection", "get_db", "on_event"]
