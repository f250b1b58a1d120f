"""Change streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson.int64 import Int64
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from mozaiks.database import _spec
from mozaiks.database._batch import BatchCursor

if TYPE_CHECKING:
    from collections.abc import Generator

    from mozaiks.database._base import CollectionBase

# What a stream survives: the cursor or the server is gone.
_RESUMABLE = frozenset(
    {6, 7, 43, 63, 89, 91, 133, 150, 189, 234, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436}
)


class ChangeStream(BatchCursor):
    """What `watch` gives: changes as they happen, also after the server was away for a moment."""

    def __init__(
        self,
        collection: CollectionBase,
        whole_database: bool,
        pipeline: Sequence[Mapping[str, Any]] | None = None,
        full_document: str | None = None,
        resume_after: Mapping[str, Any] | None = None,
        max_await_time_ms: int | None = None,
        batch_size: int | None = None,
        collation: Any = None,
        start_at_operation_time: Any = None,
        session: Any = None,
        start_after: Mapping[str, Any] | None = None,
        comment: Any = None,
        full_document_before_change: str | None = None,
        show_expanded_events: bool | None = None,
    ) -> None:
        super().__init__(collection, session)
        if pipeline is not None and not isinstance(pipeline, Sequence):
            raise TypeError("pipeline must be a list")
        self._pipeline = list(pipeline or ())
        self._stage = _spec.given(
            fullDocument=full_document,
            fullDocumentBeforeChange=full_document_before_change,
            showExpandedEvents=show_expanded_events,
        )
        self._starts = _spec.given(
            resumeAfter=resume_after,
            startAfter=start_after,
            startAtOperationTime=start_at_operation_time,
        )
        self._rest = _spec.given(
            comment=comment, collation=None if collation is None else _spec.collation(collation)
        )
        self._whole_database = whole_database
        self._batch_size = batch_size or 0
        self._wait = max_await_time_ms
        self._token: Mapping[str, Any] | None = resume_after or start_after
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether there may be more."""
        return not self._closed

    @property
    def resume_token(self) -> Mapping[str, Any] | None:
        """Where another stream can go on."""
        return self._token

    async def next(self) -> Any:
        """The next change; waits for it.

        Returns:
            The change.

        Raises:
            StopAsyncIteration: If nothing will follow.
        """
        while True:
            change = await self.try_next()
            if change is not None:
                return change
            if self._closed:
                raise StopAsyncIteration

    async def try_next(self) -> Any | None:
        """The next change, if there is one within the waiting time.

        Returns:
            The change or `None`.
        """
        if not self._buffer and not self._closed:
            await self._read()
        if not self._buffer:
            return None
        change = self._buffer.popleft()
        self._token = change["_id"]
        if change.get("operationType") == "invalidate":
            # The server tells nothing after it.
            self._closed = self._done
        return change

    async def close(self) -> None:
        """Stops following."""
        self._closed = True
        await super().close()

    def __await__(self) -> Generator[Any, None, ChangeStream]:
        async def opened() -> ChangeStream:
            if self._transport is None:
                await self._read()
            return self

        return opened().__await__()

    async def __aenter__(self) -> ChangeStream:
        if self._transport is None:
            await self._read()
        return self

    async def _read(self) -> None:
        try:
            await self._refill()
        except asyncio.CancelledError:
            # The gateway closes a cursor whose reader went away.
            self._begin_again()
            raise
        except PyMongoError as error:
            if not _is_resumable(error) or (self._token is None and not self._starts):
                self._closed = True
                raise
            self._begin_again()
            await self._refill()
        self._closed = self._done and not self._buffer

    def _begin_again(self) -> None:
        self._cursor_id, self._done, self._transport = 0, False, None

    def _took(self, cursor: Mapping[str, Any]) -> None:
        if not self._buffer and "postBatchResumeToken" in cursor:
            self._token = cursor["postBatchResumeToken"]

    def _command(self) -> dict[str, Any]:
        starts = {"resumeAfter": self._token} if self._token is not None else self._starts
        if self._token is not None and "startAfter" in self._starts:
            starts = {"startAfter": self._token}
        command: dict[str, Any] = {
            "aggregate": 1 if self._whole_database else self._collection.name,
            "pipeline": [{"$changeStream": {**self._stage, **starts}}, *self._pipeline],
            "cursor": {"batchSize": self._batch_size} if self._batch_size else {},
            **self._rest,
        }
        if self._wait is not None and self._transport is not None:
            self._transport.wait_for_changes(command, self._wait)
        return command

    def _get_more(self) -> dict[str, Any]:
        command = super()._get_more()
        if self._wait is not None and self._transport is not None and self._transport.is_direct:
            command["maxTimeMS"] = Int64(self._wait)
        return command


def _is_resumable(error: PyMongoError) -> bool:
    if isinstance(error, OperationFailure):
        return error.code in _RESUMABLE or error.has_error_label("ResumableChangeStreamError")
    return isinstance(error, ConnectionFailure)
