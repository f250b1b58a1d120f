"""Sessions and transactions, kept by the gateway."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.int64 import Int64
from pymongo.errors import ConfigurationError, InvalidOperation, OperationFailure, PyMongoError

from mozaiks import _host
from mozaiks.database import _transport

_T = TypeVar("_T")

# As PyMongo: how long a transaction is tried again.
_RETRY_SECONDS = 120.0
_TRANSIENT = "TransientTransactionError"
_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"


class Client:
    """What there is of PyMongo's client: sessions, and the app's database."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def start_session(
        self,
        causal_consistency: bool | None = None,
        default_transaction_options: Any = None,
        snapshot: bool | None = False,
    ) -> Session:
        """A session. May be awaited (Motor) or used at once (PyMongo).

        Args:
            causal_consistency: Whether reads see what the session has seen.
            default_transaction_options: For transactions that say nothing else.
            snapshot: Whether all reads see the same moment.

        Returns:
            The session.
        """
        if snapshot and causal_consistency:
            raise ConfigurationError(
                "snapshot reads and causal_consistency=True are not compatible"
            )
        causal = not snapshot if causal_consistency is None else causal_consistency
        return Session(self, causal, default_transaction_options, bool(snapshot))

    def get_database(self, name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """The app's database.

        Args:
            name: Its name; no other can be had.
            args: As for `Database.with_options`.
            kwargs: As for `Database.with_options`.

        Returns:
            The database.

        Raises:
            OperationFailure: If another database is named.
        """
        if name is not None and name != self._database.name:
            raise OperationFailure("another database cannot be named", 13)
        return self._database.with_options(*args, **kwargs)

    get_default_database = get_database

    def __getitem__(self, name: str) -> Any:
        return self.get_database(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get_database(name)

    def __repr__(self) -> str:
        return "Client()"


class Session:
    """A session, as PyMongo's `AsyncClientSession`. The gateway starts it when it is first used."""

    def __init__(
        self, client: Client, is_causal: bool, default_options: Any, is_snapshot: bool
    ) -> None:
        self._client = client
        self._is_causal = is_causal
        self._is_snapshot = is_snapshot
        self._default_options = default_options
        self._id: int | None = None
        self._has_ended = False
        # `None` outside of a transaction; what it begins with until the gateway has heard of it.
        self._state = "none"
        self._begins_with: dict[str, Any] | None = None

    @property
    def client(self) -> Client:
        """Where it comes from."""
        return self._client

    @property
    def session_id(self) -> Mapping[str, Any] | None:
        """The gateway's number of it, once it was used."""
        return None if self._id is None else {"id": self._id}

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._has_ended

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._state in ("starting", "open")

    def start_transaction(
        self,
        read_concern: Any = None,
        write_concern: Any = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> Transaction:
        """Begins a transaction.

        Args:
            read_concern: How safe its reads must be.
            write_concern: How safe its commit must be.
            read_preference: Only the primary is possible.
            max_commit_time_ms: How long its commit may take.

        Returns:
            What commits or aborts it at the end of an `async with`.

        Raises:
            InvalidOperation: If one is open, or the session has ended.
        """
        self._check_open()
        if self._is_snapshot:
            raise InvalidOperation("Transactions are not supported in snapshot sessions")
        if self.in_transaction:
            raise InvalidOperation("Transaction already in progress")
        defaults = self._default_options
        read_concern = read_concern or getattr(defaults, "read_concern", None)
        write_concern = write_concern or getattr(defaults, "write_concern", None)
        limit = max_commit_time_ms or getattr(defaults, "max_commit_time_ms", None)
        begins_with: dict[str, Any] = {}
        if read_concern is not None and read_concern.document:
            begins_with["readConcern"] = read_concern.document
        if write_concern is not None and write_concern.document:
            begins_with["writeConcern"] = write_concern.document
        if limit is not None:
            begins_with["maxCommitTimeMS"] = limit
        self._begins_with, self._state = begins_with, "starting"
        return Transaction(self)

    async def commit_transaction(self) -> None:
        """Commits the transaction; may be tried again after an error.

        Raises:
            InvalidOperation: If there is none.
        """
        await self._finish("commitTransaction", "committed")

    async def abort_transaction(self) -> None:
        """Undoes the transaction.

        Raises:
            InvalidOperation: If there is none.
        """
        if not self.in_transaction:
            raise InvalidOperation("No transaction started")
        try:
            await self._finish("abortTransaction", "none")
        except PyMongoError:
            # It ends with the session, or by the server's own time limit.
            self._state = "none"

    async def with_transaction(
        self,
        callback: Callable[[Session], Awaitable[_T]],
        read_concern: Any = None,
        write_concern: Any = None,
        read_preference: Any = None,
        max_commit_time_ms: int | None = None,
    ) -> _T:
        """Runs a function in a transaction, again where the server says that this may help.

        Args:
            callback: What to do.
            read_concern: As for `start_transaction`.
            write_concern: As for `start_transaction`.
            read_preference: As for `start_transaction`.
            max_commit_time_ms: As for `start_transaction`.

        Returns:
            What the function gives.
        """
        end = time.monotonic() + _RETRY_SECONDS
        while True:
            self.start_transaction(read_concern, write_concern, read_preference, max_commit_time_ms)
            try:
                result = await callback(self)
            except BaseException as error:
                if self.in_transaction:
                    await self.abort_transaction()
                if _may_retry(error, _TRANSIENT, end):
                    continue
                raise
            if not self.in_transaction:
                return result
            try:
                await self._commit_until(end)
            except PyMongoError as error:
                if _may_retry(error, _TRANSIENT, end):
                    continue
                raise
            return result

    async def end_session(self) -> None:
        """Ends it; an open transaction is undone."""
        if self._has_ended:
            return
        self._has_ended, self._state = True, "none"
        if self._id is not None:
            command = {"endSessions": 1, "sessions": [Int64(self._id)]}
            await _send(command)

    def __await__(self) -> Generator[Any, None, Session]:
        async def started() -> Session:
            await self._start()
            return self

        return started().__await__()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_session()

    # What `HostTransport` asks.

    async def envelope(self) -> dict[str, Any]:
        """What the gateway must know of the session beside a command.

        Returns:
            A part of the command.
        """
        await self._start()
        envelope: dict[str, Any] = {"session": Int64(self._id or 0)}
        if self._state == "starting":
            envelope["startTransaction"] = self._begins_with or {}
            self._state = "open"
        elif self._state == "committed":
            self._state = "none"
        return envelope

    async def _start(self) -> None:
        self._check_open()
        if self._id is None:
            reply = await _send(
                {
                    "startSession": 1,
                    "causalConsistency": self._is_causal,
                    "snapshot": self._is_snapshot,
                }
            )
            self._id = int(reply["session"])

    async def _finish(self, command: str, state: str) -> None:
        self._check_open()
        if self._state == "none":
            raise InvalidOperation("No transaction started")
        if self._state == "starting":
            # The server has not heard of it.
            self._state = state
            return
        try:
            await _send({command: 1, "$gateway": {"session": Int64(self._id or 0)}})
        finally:
            self._state = state

    async def _commit_until(self, end: float) -> None:
        while True:
            try:
                await self.commit_transaction()
                return
            except PyMongoError as error:
                if not _may_retry(error, _UNKNOWN_COMMIT, end):
                    raise

    def _check_open(self) -> None:
        if self._has_ended:
            raise InvalidOperation("Cannot use ended session")


class Transaction:
    """Commits a transaction at the end of an `async with`, or aborts it after an error."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._session.in_transaction:
            return
        if kind is None:
            await self._session.commit_transaction()
        else:
            await self._session.abort_transaction()


def _may_retry(error: BaseException, label: str, end: float) -> bool:
    return (
        isinstance(error, PyMongoError) and error.has_error_label(label) and time.monotonic() < end
    )


async def _send(command: Mapping[str, Any]) -> dict[str, Any]:
    transport = _transport.HostTransport(_host.get())
    return await transport.command(command, DEFAULT_CODEC_OPTIONS)
