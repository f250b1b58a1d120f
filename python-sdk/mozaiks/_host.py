"""Which gateway the SDK's objects speak to.

Inside the gateway that is the gateway itself, through the module that it builds into its
interpreter. Outside it is whatever `mozaiks.testing` installs. The SDK's objects look it up at each
use, so that importing a plugin needs neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from mozaiks import _enabling, _json
from mozaiks.errors import HostError, of_code

Callback = Callable[..., Any]


class Host(Protocol):
    """What plugin code may ask of the gateway."""

    @property
    def serves_database(self) -> bool:
        """Whether `db.command` works; else the database is reached at `database_target()`."""

    def request(self, operation: str, payload: bytes) -> Awaitable[bytes]:
        """Does something that takes time."""

    def query(self, operation: str, payload: bytes) -> bytes:
        """Answers at once from memory."""

    def publish(self, event: str, data: bytes) -> None:
        """Publishes an event."""

    def register(self, kind: str, spec: bytes, callback: Callback) -> int:
        """Registers a function for `event`, `route`, `job`, `hook`, ...; gives an id."""

    def unregister(self, registration: int) -> None:
        """Ends a registration."""


_installed: Host | None = None
_native: Host | None = None
_looked_for_native = False


def install(host: Host | None) -> Host | None:
    """Puts a host in place of the gateway, or takes it away again.

    Args:
        host: The host, or `None` for the gateway itself.

    Returns:
        The one that was installed before.
    """
    global _installed
    before, _installed = _installed, host
    return before


def find() -> Host | None:
    """The host, if there is one.

    Returns:
        What was installed, else the gateway, else `None`.
    """
    global _native, _looked_for_native
    if _installed is not None:
        return _installed
    if not _looked_for_native:
        try:
            from mozaiks._native_host import NativeHost
        except ModuleNotFoundError as error:
            if error.name != "_mozaiks_native":
                raise
        else:
            _native = NativeHost()
        _looked_for_native = True
    return _native


def get() -> Host:
    """The host.

    Returns:
        What was installed, else the gateway.

    Raises:
        RuntimeError: Outside of the gateway, where nothing is installed.
    """
    host = find()
    if host is None:
        raise RuntimeError(
            "there is no gateway here: in tests, use mozaiks.testing (its pytest fixture "
            "`gateway`, or `with TestGateway():`)"
        )
    return host


# What a registration of each kind is for, among the entries of its specification.
_KEYS = {
    "event": ("pattern", "with_id", "priority"),
    "websocket": ("type",),
    "route": ("method", "path"),
    "job": ("name",),
    "hook": ("hook_name", "hook_type", "priority"),
}


# The file that is being registered, where it is a part of its plugin.
_part: ContextVar[str | None] = ContextVar("part", default=None)


@contextmanager
def of_part(file: str) -> Iterator[None]:
    """What is registered meanwhile is a part of the plugin.

    Args:
        file: Its file, below the plugin's directory.
    """
    token = _part.set(file)
    try:
        yield
    finally:
        _part.reset(token)


def register(
    kind: str, spec: dict[str, Any], callback: Callback, function: Callback | None = None
) -> int:
    """Registers a function; what `on_enable` has registered in another app already is that one.

    Args:
        kind: `event`, `websocket`, `route`, `job`, `hook` or `execute`.
        spec: What it is registered for, as the kind says; entries that are `None` are left out.
        callback: The function.
        function: What the plugin has given, where something goes round it.

    Returns:
        A number for `unregister`.

    Raises:
        HostError: If the gateway does not take it.
    """

    def make() -> int:
        try:
            # Jobs have runs of their own.
            part = _part.get() if kind in ("route", "hook", "event", "widget") else None
            return get().register(kind, _arguments({**spec, "part": part}), callback)
        except HostError as error:
            raise _readable(error) from None

    run = _enabling.current()
    if run is None:
        return make()
    what = tuple(str(spec.get(key)) for key in _KEYS.get(kind, ()))
    return run.once(kind, what, function or callback, make)


def unregister(registration: int) -> None:
    """Ends a registration.

    Args:
        registration: What `register` gave.
    """
    _enabling.ended(registration)
    get().unregister(registration)


def readable(error: HostError) -> HostError:
    """The error of an operation whose details are JSON.

    Args:
        error: What the gateway said.

    Returns:
        The same, of the class that its code has.
    """
    return _readable(error)


async def request(operation: str, payload: Any = None) -> Any:
    """Asks for something that takes time, JSON both ways.

    Args:
        operation: Its name.
        payload: Its arguments; entries that are `None` are left out.

    Returns:
        The answer.

    Raises:
        HostError: If the gateway did not do it.
    """
    return await request_encoded(operation, _arguments(payload))


async def request_encoded(operation: str, payload: bytes) -> Any:
    """As `request`, with arguments that are JSON already.

    Args:
        operation: Its name.
        payload: Its arguments.

    Returns:
        The answer.

    Raises:
        HostError: If the gateway did not do it.
    """
    try:
        return _json.loads(await get().request(operation, payload))
    except HostError as error:
        raise _readable(error) from None


def query(operation: str, payload: Any = None) -> Any:
    """Asks for something that is known at once, JSON both ways.

    Args:
        operation: Its name.
        payload: Its arguments; entries that are `None` are left out.

    Returns:
        The answer.

    Raises:
        HostError: If the gateway does not know.
    """
    try:
        return _json.loads(get().query(operation, _arguments(payload)))
    except HostError as error:
        raise _readable(error) from None


def _readable(error: HostError) -> HostError:
    """The error of an operation that speaks JSON, with its details decoded, of the class it has."""
    details = error.details
    if isinstance(details, (bytes, bytearray)):
        details = _json.loads(bytes(details))
    return of_code(error.error_code, str(error), details)


def _arguments(payload: Any) -> bytes:
    if payload is None:
        return b"{}"
    return _json.dumps({key: value for key, value in payload.items() if value is not None})
