"""The event bus: say what happened, hear what happened elsewhere."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypedDict, TypeVar, overload

from mozaiks import _declare, _host, _json
from mozaiks._original import Guided
from mozaiks.errors import HostError

F = TypeVar("F", bound=Callable[..., Any])


class HistoryEntry(TypedDict):
    """An event of the past."""

    timestamp: str
    data: dict[str, Any]


class _Published:
    """What has been published: existing plugins may await it, others need not."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_PUBLISHED = _Published()


class EventBus(Guided):
    """Carries events between plugins.

    Events are named `{plugin}:{action_past_tense}`. A subscriber that fails is tried again after
    0.5, 1 and 2 seconds; it never keeps the publisher or other subscribers waiting. Each subscriber
    gets events one at a time, in the order of publishing.
    """

    _known_as = "event_bus"

    def __init__(self) -> None:
        # Weak, so that functions of a plugin that was unloaded do not stay.
        self._registrations: dict[tuple[str, Any], list[int]] = {}

    def publish(self, event: str, data: Any = None) -> Awaitable[None]:
        """Publishes an event and returns at once.

        Args:
            event: Its name.
            data: A dict that JSON can carry.

        Returns:
            Something that may be awaited and need not be: the event is published.

        Raises:
            TypeError: If the data is no dict or holds what JSON cannot carry.
            HostError: If the name is not one or the data is too large; `PermissionDenied` for an
                event that is not the plugin's own and that it has no permission for.
        """
        host = _host.get()
        encoded = _json.dumps_object("the data of an event", {} if data is None else data)
        try:
            host.publish(event, encoded)
        except HostError as error:
            raise _host.readable(error) from None
        return _PUBLISHED

    @overload
    def subscribe(self, event: str, callback: F, priority: int = 10) -> F: ...

    @overload
    def subscribe(
        self, event: str, callback: None = None, priority: int = 10
    ) -> Callable[[F], F]: ...

    def subscribe(
        self, event: str, callback: F | None = None, priority: int = 10
    ) -> F | Callable[[F], F]:
        """Calls a function with the data of each event of a name. Also a decorator.

        Args:
            event: A name, or a pattern such as `task_manager:*`.
            callback: `async def` or `def`, called with the event's data.
            priority: Subscribers with lower ones, of all plugins, try the event first; those of a
                higher one wait for that, five seconds at most.

        Returns:
            The function, or a decorator where none is given.

        Raises:
            TypeError: If the callback cannot be called.
            HostError: If the pattern is not one or there are too many subscriptions.
        """
        if callback is None:

            def decorate(function: F) -> F:
                return self.subscribe(event, function, priority)

            return decorate
        if not callable(callback):
            raise TypeError("an event's callback must be a function")
        spec = {"pattern": event, "priority": None if priority == 10 else priority}
        registration = _host.register("event", spec, callback)
        key = (event, _weak(callback, lambda ref: self._registrations.pop((event, ref), None)))
        self._registrations.setdefault(key, []).append(registration)
        return callback

    def unsubscribe(self, event: str, callback: Callable[..., Any]) -> bool:
        """Ends a subscription.

        Args:
            event: The name or pattern that was subscribed to.
            callback: The function.

        Returns:
            Whether there was one.
        """
        key = (event, _weak(callback))
        registrations = self._registrations.get(key)
        if not registrations:
            return False
        registration = registrations.pop()
        if not registrations:
            del self._registrations[key]
        # With many apps `on_enable` has subscribed in each: the last one ends it.
        if registration not in registrations:
            _host.unregister(registration)
        return True

    def get_history(self, event: str, limit: int = 10) -> list[HistoryEntry]:
        """The latest events of a name in the caller's app, oldest first.

        Args:
            event: The name.
            limit: How many at most.

        Returns:
            The events with `timestamp` (ISO 8601) and `data`.
        """
        entries: list[HistoryEntry] = _host.query(
            "events.history", {"event": event, "limit": limit}
        )
        return entries

    def get_event_history(
        self, event_type: str | None = None, limit: int = 10
    ) -> dict[str, list[HistoryEntry]]:
        """The latest events by name, as existing plugins ask for them.

        Args:
            event_type: One name; all that the plugin may listen to where it is missing.
            limit: How many of each at most.

        Returns:
            For each name what `get_history` gives.
        """
        names = self.get_stats()["events_by_type"] if event_type is None else [event_type]
        found = {name: self.get_history(name, limit) for name in names}
        return {name: events for name, events in found.items() if events or name == event_type}

    def get_stats(self) -> dict[str, Any]:
        """The numbers of the caller's app.

        Returns:
            `events_published`, `events_delivered`, `delivery_failures`, `events_by_type`, ...
        """
        stats: dict[str, Any] = _host.query("events.stats")
        return stats


def _weak(callback: Callable[..., Any], when_gone: Callable[[Any], Any] | None = None) -> Any:
    """A weak reference to a function or method; what allows none is taken as it is."""
    try:
        if hasattr(callback, "__self__"):
            return weakref.WeakMethod(callback, when_gone)
        return weakref.ref(callback, when_gone)
    except TypeError:
        return callback


event_bus = EventBus()


class EventSystem:
    """`event_bus` under the names of the original plugin host."""

    def on(self, event: str, callback: F, priority: int = 10) -> F:
        """Calls a function with the data of each event of a name.

        Args:
            event: A name or a pattern.
            callback: The function.
            priority: Lower ones come first.

        Returns:
            The function.
        """
        return event_bus.subscribe(event, callback, priority)

    def emit(self, event: str, data: Any = None) -> Awaitable[None]:
        """Publishes an event and returns at once.

        Args:
            event: Its name.
            data: A dict that JSON can carry.

        Returns:
            Something that may be awaited and need not be.
        """
        return event_bus.publish(event, data)


event_system = EventSystem()


def on_event(event: str, priority: int = 10) -> Callable[[F], F]:
    """Subscribes the decorated function to an event.

    Args:
        event: A name, or a pattern such as `task_manager:*`.
        priority: Lower ones come first.

    Returns:
        The decorator.
    """

    def decorate(function: F) -> F:
        if _declare.of_part(function):
            return _declare.mark(function, "events", event_name=event, priority=priority)
        return event_bus.subscribe(event, function, priority)

    return decorate
