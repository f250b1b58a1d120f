"""Cursors: found documents, aggregated documents, and whatever PyMongo has a cursor for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from bson.int64 import Int64
from pymongo.errors import InvalidOperation, PyMongoError

from mozaiks.database import _spec

if TYPE_CHECKING:
    from mozaiks.database._collection import Collection
    from mozaiks.database._transport import Transport

_background: set[asyncio.Task[None]] = set()


class BatchCursor:
    """Documents that come in batches."""

    def __init__(self, collection: Collection, session: Any) -> None:
        self._collection = collection
        self._session = session
        self._transport: Transport | None = None
        self._buffer: deque[Any] = deque()
        self._cursor_id = 0
        self._source = collection.name
        self._batch_size = 0
        self._comment: Any = None
        self._done = False

    # What a subclass knows.

    def _command(self) -> dict[str, Any]:
        raise NotImplementedError

    # What users see.

    @property
    def alive(self) -> bool:
        """Whether there may be more documents."""
        return bool(self._buffer) or not self._done

    @property
    def cursor_id(self) -> int | None:
        """The server's id of the cursor, once it was opened."""
        return self._cursor_id if self._transport is not None else None

    @property
    def collection(self) -> Collection:
        """The collection that is read."""
        return self._collection

    @property
    def session(self) -> Any:
        """The session it belongs to, if any."""
        return self._session

    async def next(self) -> Any:
        """The next document.

        Returns:
            The document.

        Raises:
            StopAsyncIteration: If there is none.
        """
        while not self._buffer:
            if self._done:
                raise StopAsyncIteration
            await self._refill()
        return self._buffer.popleft()

    async def try_next(self) -> Any | None:
        """The next document, if there is one.

        Returns:
            The document or `None`.
        """
        try:
            return await self.next()
        except StopAsyncIteration:
            return None

    async def to_list(self, length: int | None = None) -> list[Any]:
        """The documents that are left.

        Args:
            length: How many at most; all where it is not given.

        Returns:
            The documents.

        Raises:
            TypeError: If the length is no number.
            ValueError: If it is negative.
        """
        if length is not None and _spec.check_count("length", length) < 0:
            raise ValueError("length must be non-negative")
        found: list[Any] = []
        while length is None or len(found) < length:
            if not self._buffer:
                if self._done:
                    break
                await self._refill()
                continue
            if length is None or len(self._buffer) <= length - len(found):
                found.extend(self._buffer)
                self._buffer.clear()
            else:
                found.extend(self._buffer.popleft() for _ in range(length - len(found)))
        return found

    async def close(self) -> None:
        """Lets go of what is left, here and on the server."""
        cursor_id, transport = self._let_go()
        if cursor_id and transport is not None:
            await self._kill(transport, cursor_id)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.next()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if not getattr(self, "_cursor_id", 0):
            return
        # Nobody can wait for this; where no loop runs, the server's own time limit does it.
        cursor_id, transport = self._let_go()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if transport is not None:
            task = loop.create_task(self._kill_quietly(transport, cursor_id, self._source))
            _background.add(task)
            task.add_done_callback(_background.discard)

    # How it works.

    async def _refill(self) -> None:
        options = self._collection.codec_options
        if self._transport is None:
            self._transport = self._collection._transport(self._session)
            reply = await self._transport.command(self._command(), options)
            batch = reply["cursor"]["firstBatch"]
        else:
            command: dict[str, Any] = {
                "getMore": Int64(self._cursor_id),
                "collection": self._source,
            }
            if self._batch_size:
                command["batchSize"] = self._batch_size
            try:
                reply = await self._transport.command(command, options)
            except PyMongoError:
                self._cursor_id, self._done = 0, True
                raise
            batch = reply["cursor"]["nextBatch"]
        self._cursor_id = int(reply["cursor"]["id"])
        namespace = reply["cursor"].get("ns")
        if isinstance(namespace, str) and "." in namespace:
            self._source = namespace.split(".", 1)[1]
        self._done = self._cursor_id == 0
        self._buffer.extend(batch)

    def _let_go(self) -> tuple[int, Transport | None]:
        cursor_id, self._cursor_id = self._cursor_id, 0
        self._done = True
        self._buffer.clear()
        return cursor_id, self._transport

    async def _kill(self, transport: Transport, cursor_id: int) -> None:
        await self._kill_quietly(transport, cursor_id, self._source)

    @staticmethod
    async def _kill_quietly(transport: Transport, cursor_id: int, source: str) -> None:
        from bson.codec_options import DEFAULT_CODEC_OPTIONS

        command = {"killCursors": source, "cursors": [Int64(cursor_id)]}
        try:
            await transport.command(command, DEFAULT_CODEC_OPTIONS)
        except (PyMongoError, RuntimeError):
            # The server closes idle cursors by itself, the gateway those of plugins that are gone.
            return


class FindCursor(BatchCursor):
    """What `find` gives: options may be added until the first document is read."""

    def __init__(self, collection: Collection, session: Any, **options: Any) -> None:
        super().__init__(collection, session)
        self._options = options
        if options.get("batchSize"):
            self._batch_size = options["batchSize"]

    def _set(self, name: str, value: Any) -> FindCursor:
        if self._transport is not None:
            raise InvalidOperation("cannot set options after executing query")
        self._options[name] = value
        return self

    def sort(self, key_or_list: Any, direction: int | str | None = None) -> FindCursor:
        """Sorts.

        Args:
            key_or_list: `"a"`, `[("a", 1)]` or `{"a": 1}`.
            direction: For a single key.

        Returns:
            This cursor.
        """
        return self._set("sort", _spec.sort_document(key_or_list, direction))

    def skip(self, skip: int) -> FindCursor:
        """Leaves out the first documents.

        Args:
            skip: How many.

        Returns:
            This cursor.
        """
        if _spec.check_count("skip", skip) < 0:
            raise ValueError("skip must be >= 0")
        return self._set("skip", skip)

    def limit(self, limit: int) -> FindCursor:
        """Stops after some documents.

        Args:
            limit: How many; 0 means no limit, a negative number means one batch.

        Returns:
            This cursor.
        """
        return self._set("limit", _spec.check_count("limit", limit))

    def batch_size(self, batch_size: int) -> FindCursor:
        """How many documents come at a time.

        Args:
            batch_size: How many; 0 leaves it to the server.

        Returns:
            This cursor.
        """
        if _spec.check_count("batch_size", batch_size) < 0:
            raise ValueError("batch_size must be >= 0")
        self._set("batchSize", batch_size)
        self._batch_size = batch_size
        return self

    def hint(self, index: Any) -> FindCursor:
        """Which index to use.

        Args:
            index: Its name or keys; `None` takes a hint back.

        Returns:
            This cursor.
        """
        return self._set("hint", None if index is None else _spec.hint(index))

    def comment(self, comment: Any) -> FindCursor:
        """What to write beside the query in the server's log.

        Args:
            comment: The comment.

        Returns:
            This cursor.
        """
        return self._set("comment", comment)

    def collation(self, collation: Any) -> FindCursor:
        """How to compare strings.

        Args:
            collation: A `Collation`; `None` takes one back.

        Returns:
            This cursor.
        """
        return self._set("collation", None if collation is None else _spec.collation(collation))

    def max_time_ms(self, max_time_ms: int | None) -> FindCursor:
        """How long the server may take.

        Args:
            max_time_ms: In milliseconds.

        Returns:
            This cursor.
        """
        return self._set("maxTimeMS", max_time_ms)

    def allow_disk_use(self, allow_disk_use: bool) -> FindCursor:
        """Whether the server may sort on disk.

        Args:
            allow_disk_use: Whether it may.

        Returns:
            This cursor.
        """
        return self._set("allowDiskUse", allow_disk_use)

    def min(self, spec: Any) -> FindCursor:
        """Where in an index to start; needs a hint.

        Args:
            spec: Field and value pairs.

        Returns:
            This cursor.
        """
        return self._set("min", dict(spec))

    def max(self, spec: Any) -> FindCursor:
        """Where in an index to end; needs a hint.

        Args:
            spec: Field and value pairs.

        Returns:
            This cursor.
        """
        return self._set("max", dict(spec))

    def where(self, code: Any) -> FindCursor:
        """Filters by JavaScript, on servers that have it.

        Args:
            code: The code.

        Returns:
            This cursor.
        """
        return self._set("filter", {**self._options.get("filter", {}), "$where": code})

    def clone(self) -> FindCursor:
        """A cursor with the same options that has read nothing.

        Returns:
            The cursor.
        """
        return FindCursor(self._collection, self._session, **self._options)

    async def rewind(self) -> FindCursor:
        """Starts over.

        Returns:
            This cursor.
        """
        await self.close()
        self._transport, self._done = None, False
        self._source = self._collection.name
        return self

    async def distinct(self, key: str) -> list[Any]:
        """The different values of a field among the documents.

        Args:
            key: The field.

        Returns:
            The values.
        """
        return await self._collection.distinct(
            key, self._options.get("filter"), session=self._session
        )

    async def explain(self) -> Any:
        """How the server would answer.

        Returns:
            The server's explanation.
        """
        transport = self._collection._transport(self._session)
        command = {"explain": self._command(), "verbosity": "allPlansExecution"}
        return await transport.command(command, self._collection.codec_options)

    def __copy__(self) -> FindCursor:
        return self.clone()

    def _command(self) -> dict[str, Any]:
        command: dict[str, Any] = {"find": self._collection.name}
        for name, value in self._options.items():
            if value is None or (name in ("skip", "limit", "batchSize") and value == 0):
                continue
            command[name] = value
        if command.get("limit", 0) < 0:
            command["limit"] = -command["limit"]
            command["singleBatch"] = True
        self._collection._add_read_concern(command, self._session)
        return command


class AggregateCursor(BatchCursor):
    """What `aggregate` gives. It may be awaited, which opens it, or read at once."""

    def __init__(self, collection: Collection, session: Any, command: dict[str, Any]) -> None:
        super().__init__(collection, session)
        self._aggregate = command
        self._batch_size = command["cursor"].get("batchSize", 0)

    def batch_size(self, batch_size: int) -> AggregateCursor:
        """How many documents come at a time.

        Args:
            batch_size: How many.

        Returns:
            This cursor.
        """
        self._batch_size = _spec.check_count("batch_size", batch_size)
        if self._transport is None:
            self._aggregate["cursor"] = {"batchSize": batch_size} if batch_size else {}
        return self

    def __await__(self) -> Generator[Any, None, AggregateCursor]:
        return self._open().__await__()

    async def _open(self) -> AggregateCursor:
        if self._transport is None:
            await self._refill()
        return self

    def _command(self) -> dict[str, Any]:
        return self._aggregate


class DeferredCursor:
    """A cursor of PyMongo that is opened when it is first awaited or read."""

    def __init__(self, open_it: Callable[[], Awaitable[Any]]) -> None:
        self._open_it = open_it
        self._cursor: Any = None

    async def _opened(self) -> Any:
        if self._cursor is None:
            self._cursor = await self._open_it()
        return self._cursor

    def __await__(self) -> Generator[Any, None, DeferredCursor]:
        async def opened() -> DeferredCursor:
            await self._opened()
            return self

        return opened().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.next()

    async def __aenter__(self) -> DeferredCursor:
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self) -> Any:
        """The next document.

        Returns:
            The document.

        Raises:
            StopAsyncIteration: If there is none.
        """
        return await (await self._opened()).next()

    async def try_next(self) -> Any | None:
        """The next document, if there is one already.

        Returns:
            The document or `None`.
        """
        return await (await self._opened()).try_next()

    async def to_list(self, length: int | None = None) -> list[Any]:
        """The documents that are left.

        Args:
            length: How many at most.

        Returns:
            The documents.
        """
        found: list[Any] = []
        while length is None or len(found) < length:
            try:
                found.append(await self.next())
            except StopAsyncIteration:
                break
        return found

    async def close(self) -> None:
        """Closes it, if it was opened."""
        if self._cursor is not None:
            await self._cursor.close()

    @property
    def alive(self) -> bool:
        """Whether there may be more."""
        return self._cursor is None or bool(self._cursor.alive)

    @property
    def resume_token(self) -> Mapping[str, Any] | None:
        """Where a change stream can go on."""
        token: Mapping[str, Any] | None = getattr(self._cursor, "resume_token", None)
        return token
