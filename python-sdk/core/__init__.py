"""What plugins import."""

from mozaiks.database import db, get_collection, get_db
from mozaiks.event_bus import event_bus, on_event
from mozaiks.notifications import broadcast_service, digest_scheduler, notifications_manager
from mozaiks.settings import settings_manager
from mozaiks.websocket import websocket_manager

__all__ = [
    "broadcast_service",
    "db",
    "digest_scheduler",
    "event_bus",
    "get_collection",
    "get_db",
    "notifications_manager",
    "on_event",
    "settings_manager",
    "websocket_manager",
]
