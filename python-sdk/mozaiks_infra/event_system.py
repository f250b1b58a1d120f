"""Events between plugins, under the names of the original plugin host."""

from mozaiks.event_bus import EventSystem, event_system

__all__ = ["EventSystem", "event_system"]
