"""What `find` and `aggregate` give."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pymongo.errors import InvalidOperation, OperationFailure

from mozaiks.database import _spec
from mozaiks.database._batch import BatchCursor

if TYPE_CHECKING:
    from mozaiks.database._base import CollectionBase

_NAMESPACE_NOT_FOUND = 26


class FindCursor(BatchCursor):
    """What `find` gives: options may be added until the first document is read."""

    def __init__(self, collection: CollectionBase, session: Any, **options: Any) -> None:
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
        return await self.collection.distinct(
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

    def __init__(self, collection: CollectionBase, session: Any, command: dict[str, Any]) -> None:
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

    def starts_from_nothing(self) -> None:
        """The pipeline is the database's, not the collection's."""
        self._aggregate["aggregate"] = 1

    def __await__(self) -> Generator[Any, None, AggregateCursor]:
        return self._open().__await__()

    async def _open(self) -> AggregateCursor:
        if self._transport is None:
            await self._refill()
        return self

    def _command(self) -> dict[str, Any]:
        return self._aggregate


class CommandCursor(AggregateCursor):
    """What lists collections and indexes. May be awaited (PyMongo) or read at once (Motor)."""

    async def _refill(self) -> None:
        try:
            await super()._refill()
        except OperationFailure as error:
            if error.code != _NAMESPACE_NOT_FOUND:
                raise
            self._done = True
