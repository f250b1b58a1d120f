"""How commands reach the server: through the gateway, or through a client of PyMongo."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import bson
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidOperation, PyMongoError
from pymongo.uri_parser import parse_uri

from mozaiks import _host
from mozaiks.database import _errors
from mozaiks.database._encode import encode
from mozaiks.errors import HostError

_CURSOR_COMMANDS = frozenset({"find", "aggregate"})


class Transport(Protocol):
    """Sends commands to the app's database."""

    @property
    def is_direct(self) -> bool:
        """Whether commands go to the server as they are."""

    async def command(
        self, command: Mapping[str, Any], codec_options: CodecOptions[Any]
    ) -> dict[str, Any]:
        """Sends a command; the answer has `ok: 1` and may hold write errors."""

    def wait_for_changes(self, command: dict[str, Any], millis: int) -> None:
        """Says how long a batch of a change stream is waited for."""


class HostTransport:
    """Through the gateway: the network is served outside of the interpreter."""

    is_direct = False

    def __init__(self, host: _host.Host, session: Any = None, read_preference: Any = None) -> None:
        self._host = host
        self._session = session
        # The primary is where commands go that say nothing.
        self._around: dict[str, Any] = {}
        if read_preference is not None and read_preference.mode and session is None:
            self._around["$readPreference"] = read_preference.document

    async def command(
        self, command: Mapping[str, Any], codec_options: CodecOptions[Any]
    ) -> dict[str, Any]:
        """Sends a command.

        Args:
            command: What a driver would send, without the fields of its connection.
            codec_options: How documents become Python objects.

        Returns:
            The server's answer.

        Raises:
            PyMongoError: If the server or the gateway refuses, or cannot be reached.
        """
        if self._around:
            command = {**command, **self._around}
        if self._session is not None:
            envelope = await self._session.envelope()
            command = {**command, "$gateway": {**command.get("$gateway", {}), **envelope}}
        try:
            reply = await self._host.request("db.command", encode(command, codec_options))
        except HostError as error:
            raise _errors.from_host(error) from None
        return bson.decode(reply, codec_options)

    def wait_for_changes(self, command: dict[str, Any], millis: int) -> None:
        """Says how long a batch of a change stream is waited for.

        Args:
            command: What opens the stream.
            millis: How long; the gateway waits no longer than ten seconds.
        """
        command["$gateway"] = {"maxAwaitTimeMS": min(millis, 1 << 30)}


class DirectTransport:
    """Through PyMongo, outside of the gateway."""

    is_direct = True

    def __init__(
        self,
        database: Any,
        session: Any = None,
        read_preference: Any = None,
    ) -> None:
        self._database = database
        self._session = session
        self._read_preference = read_preference
        self._cursor_sessions: dict[int, Any] = {}

    async def command(
        self, command: Mapping[str, Any], codec_options: CodecOptions[Any]
    ) -> dict[str, Any]:
        """Sends a command.

        Args:
            command: What a driver would send, without the fields of its connection.
            codec_options: How documents become Python objects.

        Returns:
            The server's answer.

        Raises:
            PyMongoError: If the server refuses or cannot be reached.
        """
        name = next(iter(command))
        session = self._session
        own = None
        if session is None and name in _CURSOR_COMMANDS:
            # A cursor can be read within the session that opened it only.
            own = session = self._start_session()
        elif name == "getMore":
            session = session or self._cursor_sessions.get(int(command["getMore"]))
        # Here too, so that errors name the field.
        encode(command, codec_options)
        database = self._database
        if name == "renameCollection":
            # Only servers want both names in full.
            of = f"{database.name}."
            command = {**command, name: of + command[name], "to": of + command["to"]}
            database = database.client.admin
        try:
            reply: dict[str, Any] = await database.command(
                dict(command),
                codec_options=codec_options,
                session=session,
                read_preference=self._read_preference,
            )
        except (PyMongoError, asyncio.CancelledError):
            if own is not None:
                await own.end_session()
            raise
        await self._settle(name, command, reply, own)
        return reply

    def wait_for_changes(self, command: dict[str, Any], millis: int) -> None:
        """Nothing: each request for more says it.

        Args:
            command: What opens the stream.
            millis: How long.
        """

    async def _settle(
        self, name: str, command: Mapping[str, Any], reply: Mapping[str, Any], own: Any
    ) -> None:
        if name in _CURSOR_COMMANDS and own is not None:
            cursor_id = int(reply.get("cursor", {}).get("id", 0))
            if cursor_id:
                self._cursor_sessions[cursor_id] = own
            else:
                await own.end_session()
        ended: list[int] = []
        if name == "getMore" and not reply["cursor"]["id"]:
            ended = [int(command["getMore"])]
        elif name == "killCursors":
            ended = [int(cursor_id) for cursor_id in command["cursors"]]
        for cursor_id in ended:
            session = self._cursor_sessions.pop(cursor_id, None)
            if session is not None:
                await session.end_session()

    def _start_session(self) -> Any:
        try:
            return self._database.client.start_session(causal_consistency=False)
        except (ConfigurationError, ConnectionFailure, InvalidOperation):
            return None


_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AsyncMongoClient[Any]]]
_clients = weakref.WeakKeyDictionary()
_clients_lock = threading.Lock()


def target() -> tuple[str, str]:
    """Where PyMongo finds the app's database, outside of the gateway.

    Returns:
        The URI and the database's name.

    Raises:
        RuntimeError: Where nothing says where the database is, as in the gateway: what plugins ask
            of the database goes through it.
    """
    host = _host.find()
    if host is not None:
        found: Callable[[], tuple[str, str]] | None = getattr(host, "database_target", None)
        if found is None:
            raise RuntimeError("in the gateway, the database is reached through `db` alone")
        return found()
    uri = os.environ.get("MOZAIKS_DATABASE_URI") or os.environ.get("DATABASE_URI")
    if not uri:
        raise RuntimeError(
            "there is no database here: run the plugin in the gateway, give a database to "
            "mozaiks.testing, or set MOZAIKS_DATABASE_URI"
        )
    named = parse_uri(uri, warn=False).get("database")
    return uri, named or os.environ.get("MOZAIKS_DATABASE_NAME", "mozaiks")


def database_name() -> str:
    """The name of the app's database.

    Returns:
        The name.
    """
    if has_fast_path():
        name: str = _host.query("db.name")["database"]
        return name
    return target()[1]


def client() -> AsyncMongoClient[Any]:
    """The client of the running event loop, made when it is first needed, outside of the gateway.

    Returns:
        A client of PyMongo.

    Raises:
        RuntimeError: Where no event loop runs.
    """
    loop = asyncio.get_running_loop()
    uri, _ = target()
    with _clients_lock:
        of_loop = _clients.setdefault(loop, {})
        found = of_loop.get(uri)
        if found is None:
            found = AsyncMongoClient(uri, **_client_options(uri))
            of_loop[uri] = found
        return found


def _client_options(uri: str) -> dict[str, Any]:
    """What a client gets where the URI does not say it; PyMongo would wait for half a minute."""
    options = {
        "appname": "mozaiks-plugin",
        "maxPoolSize": 20,
        "serverSelectionTimeoutMS": 5000,
        "connectTimeoutMS": 5000,
    }
    said = uri.lower()
    return {name: value for name, value in options.items() if f"{name.lower()}=" not in said}


async def close_clients() -> None:
    """Closes the clients of the running event loop."""
    with _clients_lock:
        of_loop = _clients.pop(asyncio.get_running_loop(), {})
    for each in of_loop.values():
        await each.close()


def has_fast_path() -> bool:
    """Whether the gateway itself sends commands.

    Returns:
        False outside of it.
    """
    host = _host.find()
    return host is not None and host.serves_database


def select(session: Any = None, read_preference: Any = None) -> Transport:
    """The transport for a command.

    Args:
        session: The session it belongs to, if any.
        read_preference: Where it may be read from, if that was said.

    Returns:
        The gateway, or PyMongo outside of it.

    Raises:
        TypeError: If the session is none of `db.client`.
    """
    if has_fast_path():
        if session is not None and not hasattr(session, "envelope"):
            raise TypeError("a session of another client: use `db.client.start_session()`")
        return HostTransport(_host.get(), session, read_preference)
    on = client() if session is None else session.client
    return DirectTransport(on[target()[1]], session, read_preference)
