"""What `on_enable` registers, where it runs once for each app of a gateway of many.

A function that one app's run has registered is the same registration in the next one's: same
kind, same thing (a route's method and path, a message's type, an event's name, a job's name), same
function by module and name. What one run registers twice is two registrations in each.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Function = Callable[..., Any]
Key = tuple[str, Hashable, str, int]

# Kinds that the gateway keeps for as long as the load lives, whether it is enabled or not.
_LASTING = frozenset(["route", "execute"])

_tables: weakref.WeakSet[Table] = weakref.WeakSet()


class Table:
    """What the enablings of one load have registered."""

    def __init__(self) -> None:
        """Empty."""
        # Held for the length of a registration: plain functions run on threads beside each other.
        self.lock = threading.RLock()
        self._made: dict[Key, int] = {}
        self._number: int | None = None
        # How many enablings there have been.
        self.rounds = 0
        _tables.add(self)

    def begin(self, number: int | None) -> bool:
        """Begins a run.

        Args:
            number: Which enabling of the load it is part of; None where that has one run.

        Returns:
            Whether it is the first of its enabling: what those before had registered has ended.
        """
        with self.lock:
            if number is not None and number == self._number:
                return False
            self._number = number
            self.rounds += 1
            self._made = {key: made for key, made in self._made.items() if key[0] in _LASTING}
            return True

    def once(self, key: Key, make: Callable[[], int]) -> int:
        """Registers what has not been registered yet.

        Args:
            key: What it is.
            make: Registers it and gives its number.

        Returns:
            The number of the registration, whoever has made it.
        """
        with self.lock:
            made = self._made.get(key)
            if made is None:
                made = self._made[key] = make()
            return made

    def forget(self, registration: int) -> None:
        """A registration has been ended.

        Args:
            registration: Its number.
        """
        with self.lock:
            for key in [key for key, made in self._made.items() if made == registration]:
                del self._made[key]


class Run:
    """One run of `on_enable`, and what that has started."""

    def __init__(self, table: Table) -> None:
        """Has not registered anything.

        Args:
            table: The load's.
        """
        self._table = table
        self._round = table.rounds
        self._counts: Counter[tuple[str, Hashable, str]] = Counter()
        # Whether the function itself runs, and not only what it has started.
        self.is_on = True
        self.unnamed_jobs = 0

    def once(self, kind: str, what: Hashable, function: Function, make: Callable[[], int]) -> int:
        """As `Table.once`, for the next of its kind in this run.

        Args:
            kind: `route`, `event`, ...
            what: The route, the event, ...
            function: What the plugin has given.
            make: Registers it and gives its number.

        Returns:
            The number of the registration.
        """
        table = self._table
        with table.lock:
            if table.rounds != self._round:
                # Work that has outlived its enabling registers for itself.
                return make()
            counted = (kind, what, name_of(function))
            self._counts[counted] += 1
            try:
                return table.once((*counted, self._counts[counted]), make)
            except BaseException:
                self._counts[counted] -= 1
                raise


_run: ContextVar[Run | None] = ContextVar("mozaiks_enabling", default=None)


def current() -> Run | None:
    """The run that the calling code is part of.

    Returns:
        The run, if there is one.
    """
    return _run.get()


@contextmanager
def running(table: Table) -> Iterator[None]:
    """What is registered meanwhile belongs to a run of `on_enable`.

    Args:
        table: The load's.

    Yields:
        Nothing.
    """
    run = Run(table)
    token = _run.set(run)
    try:
        yield
    finally:
        run.is_on = False
        _run.reset(token)


def ended(registration: int) -> None:
    """A registration has been ended: the next one like it is a new one.

    Args:
        registration: Its number.
    """
    for table in list(_tables):
        table.forget(registration)


def name_of(function: Function) -> str:
    """The name by which a function is the same in another run.

    Args:
        function: The function.

    Returns:
        Its module and its qualified name; those of its class where it has none.
    """
    while hasattr(function, "func") and not hasattr(function, "__qualname__"):
        # A partial is known by what it calls.
        function = function.func
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', '')}:{named.__qualname__}"
