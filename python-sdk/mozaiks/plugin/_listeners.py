"""A plugin's functions for events."""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mozaiks import _enabling, _host
from mozaiks.plugin import _handler

Handler = Callable[..., Any]

# Events of one name whose failed functions are remembered: the gateway tries a few times, within
# seconds, and an admin perhaps once more.
_REMEMBERED = 1000


class Listeners:
    """All of one load.

    What is given while it loads or is enabled is registered once for each event and priority, and
    called in the order in which it was given; what is given later is registered by itself. Which
    priority comes first is the gateway's to see to, over all plugins.
    """

    def __init__(self) -> None:
        """Without any."""
        self._events: dict[tuple[str, int], _Event] = {}
        self._numbers = itertools.count(1)
        self._loads = True

    def add(self, event: str, handler: Handler, priority: int, client: bool = False) -> None:
        """Adds a function.

        Args:
            event: A name or a pattern.
            handler: What is called.
            priority: When, among those of the same event.
            client: Whether pages may publish the event.
        """
        run = _enabling.current()
        if run is not None and run.is_on:
            run.once(
                "listener",
                (event, priority),
                handler,
                lambda: self._add(event, handler, priority, "enable", client),
            )
        elif self._loads:
            self._add(event, handler, priority, "load", client)
        else:
            _host.register("event", spec_of(event, priority), handler)

    def _add(self, event: str, handler: Handler, priority: int, step: str, client: bool) -> int:
        number = next(self._numbers)
        listened = self._events.get((event, priority))
        if listened is None:
            listened = _Event(event, step)
            spec = {**spec_of(event, priority), "with_id": True, "client": client or None}
            _host.register("event", spec, listened.deliver)
            self._events[event, priority] = listened
        elif client:
            # Said by a second one: noted beside the first, which goes on.
            spec = {**spec_of(event, priority), "with_id": True, "client": True}
            _host.register("event", spec, _nothing)
        listened.add(_Entry(number, handler, step))
        # No number of the gateway's, which are positive.
        return -number

    def begin_enabling(self) -> None:
        """Forgets what an enabling before this one has added: the gateway has ended it too."""
        kept = {name: event for name, event in self._events.items() if event.step == "load"}
        self._events = kept
        for event in kept.values():
            event.keep_loaded()

    def end_loading(self) -> None:
        """The plugin has loaded."""
        self._loads = False


def spec_of(event: str, priority: int) -> dict[str, Any]:
    """What a function for an event is registered with.

    Args:
        event: A name or a pattern.
        priority: Lower ones come first; ten is what it is where nothing is said.

    Returns:
        The specification.
    """
    return {"pattern": event, "priority": None if priority == 10 else priority}


async def _nothing(data: Any, event_id: int, name: str) -> None:
    """Stands for a function that is called with others."""


class _Entry:
    """One function."""

    __slots__ = ("handler", "key", "step")

    def __init__(self, key: int, handler: Handler, step: str) -> None:
        self.key = key
        self.handler = handler
        self.step = step


class _Event:
    """The functions for one event."""

    def __init__(self, pattern: str, step: str) -> None:
        self._pattern = pattern
        self.step = step
        self._entries: list[_Entry] = []
        self._failed: OrderedDict[int, list[_Entry]] = OrderedDict()

    def add(self, entry: _Entry) -> None:
        self._entries = sorted([*self._entries, entry], key=lambda each: each.key)

    def keep_loaded(self) -> None:
        self._entries = [entry for entry in self._entries if entry.step == "load"]

    async def deliver(self, data: Any, event_id: int, name: str = "") -> None:
        """Calls all of them, or those that have not taken this event before."""
        left = list(self._failed.pop(event_id, self._entries))
        failed: list[_Entry] = []
        error: Exception | None = None
        try:
            while left:
                # What one does to the data is not for the next to see.
                own = data if len(left) == 1 and not failed else copy.deepcopy(data)
                try:
                    handler = left[0].handler
                    named = getattr(handler, "__mozaiks_named__", False)
                    await _handler.call(handler, *(own, name or self._pattern)[: 2 if named else 1])
                except Exception as raised:
                    failed.append(left[0])
                    error = error or raised
                del left[0]
        finally:
            # With those that a deadline has kept from being called.
            if failed or left:
                self._failed[event_id] = [*failed, *left]
                while len(self._failed) > _REMEMBERED:
                    self._failed.popitem(last=False)
        if error is not None:
            raise error
