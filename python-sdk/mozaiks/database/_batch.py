"""Documents that come in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.int64 import Int64
from pymongo.errors import PyMongoError

from mozaiks.database import _spec

if TYPE_CHECKING:
    from mozaiks.database._base import CollectionBase
    from mozaiks.database._collection import Collection
    from mozaiks.database._transport import Transport

_background: set[asyncio.Task[None]] = set()


class BatchCursor:
    """Documents that come in batches."""

    def __init__(self, collection: CollectionBase, session: Any) -> None:
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

    def _took(self, cursor: Mapping[str, Any]) -> None:
        """Looks at what came with a batch."""

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
        return cast("Collection", self._collection)

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
            try:
                reply = await self._transport.command(self._get_more(), options)
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
        self._took(reply["cursor"])

    def _get_more(self) -> dict[str, Any]:
        command: dict[str, Any] = {
            "getMore": Int64(self._cursor_id),
            "collection": self._source,
        }
        if self._batch_size:
            command["batchSize"] = self._batch_size
        return command

    def _let_go(self) -> tuple[int, Transport | None]:
        cursor_id, self._cursor_id = self._cursor_id, 0
        self._done = True
        self._buffer.clear()
        return cursor_id, self._transport

    async def _kill(self, transport: Transport, cursor_id: int) -> None:
        await self._kill_quietly(transport, cursor_id, self._source)

    @staticmethod
    async def _kill_quietly(transport: Transport, cursor_id: int, source: str) -> None:
        command = {"killCursors": source, "cursors": [Int64(cursor_id)]}
        try:
            await transport.command(command, DEFAULT_CODEC_OPTIONS)
        except (PyMongoError, RuntimeError):
            # The server closes idle cursors by itself, the gateway those of plugins that are gone.
            return
