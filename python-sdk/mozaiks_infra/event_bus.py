"""Events between plugins."""

from mozaiks.event_bus import EventBus, event_bus, on_event

__all__ = ["EventBus", "event_bus", "on_event"]
