"""Many writes in few commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bson.codec_options import CodecOptions
from pymongo.errors import BulkWriteError, InvalidOperation
from pymongo.results import BulkWriteResult

from mozaiks.database import _encode, _spec
from mozaiks.database._transport import Transport

INSERT, UPDATE, DELETE = "insert", "update", "delete"
_FIELD = {INSERT: "documents", UPDATE: "updates", DELETE: "deletes"}


@dataclass
class Run:
    """Operations of one kind."""

    kind: str
    indexes: list[int] = field(default_factory=list)
    operations: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, index: int, operation: Mapping[str, Any]) -> None:
        """Appends an operation.

        Args:
            index: Its place among all operations.
            operation: What the command takes.
        """
        self.indexes.append(index)
        self.operations.append(operation)


class Bulk:
    """Gathers operations; PyMongo's `InsertOne` and the like know its `add_` methods."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._operations: list[tuple[str, Mapping[str, Any]]] = []

    def add_all(self, requests: Iterable[Any]) -> None:
        """Adds operations.

        Args:
            requests: `InsertOne`, `UpdateOne`, ... of PyMongo.

        Raises:
            TypeError: If one of them is none of these.
        """
        for request in requests:
            add = getattr(request, "_add_to_bulk", None)
            if add is None:
                raise TypeError(f"{request!r} is not a valid request")
            add(self)

    def add_insert(self, document: Any) -> bool:
        """Adds an insert.

        Args:
            document: The document.

        Returns:
            True.
        """
        _encode.with_id(document)
        self._operations.append((INSERT, document))
        return True

    def add_update(
        self,
        selector: Any,
        update: Any,
        multi: bool = False,
        upsert: bool | None = None,
        **options: Any,
    ) -> None:
        """Adds an update.

        Args:
            selector: Which documents.
            update: Operators or a pipeline.
            multi: Whether all of them.
            upsert: Whether to insert where there is none.
            options: `collation`, `array_filters`, `hint`, `sort`.
        """
        self._operations.append(
            (UPDATE, update_statement(selector, update, multi, upsert, options))
        )

    def add_replace(
        self, selector: Any, replacement: Any, upsert: bool | None = None, **options: Any
    ) -> None:
        """Adds a replacement.

        Args:
            selector: Which document.
            replacement: The new document.
            upsert: Whether to insert where there is none.
            options: `collation`, `hint`, `sort`.
        """
        self._operations.append(
            (UPDATE, update_statement(selector, replacement, False, upsert, options))
        )

    def add_delete(self, selector: Any, limit: int, **options: Any) -> None:
        """Adds a deletion.

        Args:
            selector: Which documents.
            limit: 1 for one of them, 0 for all.
            options: `collation`, `hint`.
        """
        self._operations.append((DELETE, delete_statement(selector, limit, options)))

    def runs(self) -> Iterator[Run]:
        """Operations by kind: neighbours where order matters, else all of a kind together.

        Yields:
            The runs, in order.
        """
        if not self._ordered:
            runs = {kind: Run(kind) for kind in _FIELD}
            for index, (kind, operation) in enumerate(self._operations):
                runs[kind].add(index, operation)
            yield from (run for run in runs.values() if run.operations)
            return
        run: Run | None = None
        for index, (kind, operation) in enumerate(self._operations):
            if run is None or run.kind != kind:
                if run is not None:
                    yield run
                run = Run(kind)
            run.add(index, operation)
        if run is not None:
            yield run

    async def execute(
        self,
        collection: str,
        transport: Transport,
        codec_options: CodecOptions[Any],
        extra: Mapping[str, Any],
    ) -> BulkWriteResult:
        """Sends everything.

        Args:
            collection: The collection's name.
            transport: How to send it.
            codec_options: As the collection has them.
            extra: More fields of each command.

        Returns:
            What was done.

        Raises:
            InvalidOperation: If there is nothing to do.
            BulkWriteError: If some of it was refused; says what and what was done.
        """
        if not self._operations:
            raise InvalidOperation("No operations to execute")
        result: dict[str, Any] = {
            "writeErrors": [],
            "writeConcernErrors": [],
            "nInserted": 0,
            "nUpserted": 0,
            "nMatched": 0,
            "nModified": 0,
            "nRemoved": 0,
            "upserted": [],
        }
        for run in self.runs():
            offset = 0
            encoded = (_encode.raw(operation, codec_options) for operation in run.operations)
            for batch in _encode.batches(encoded):
                command = {
                    run.kind: collection,
                    _FIELD[run.kind]: batch,
                    "ordered": self._ordered,
                    **extra,
                }
                reply = await transport.command(command, codec_options)
                _merge(result, run, offset, reply)
                offset += len(batch)
                if self._ordered and result["writeErrors"]:
                    _raise(result)
        if result["writeErrors"] or result["writeConcernErrors"]:
            _raise(result)
        return BulkWriteResult(result, True)


def update_statement(
    selector: Any, update: Any, multi: bool, upsert: bool | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """One entry of an `update` command.

    Args:
        selector: Which documents.
        update: Operators, a pipeline or a replacement.
        multi: Whether all of them.
        upsert: Whether to insert where there is none.
        options: `collation`, `array_filters`, `hint`, `sort`.

    Returns:
        The entry.
    """
    statement: dict[str, Any] = {"q": _spec.check_filter(selector), "u": update}
    if multi:
        statement["multi"] = True
    if upsert:
        statement["upsert"] = True
    if options.get("collation") is not None:
        statement["collation"] = _spec.collation(options["collation"])
    if options.get("array_filters") is not None:
        statement["arrayFilters"] = list(options["array_filters"])
    if options.get("hint") is not None:
        statement["hint"] = _spec.hint(options["hint"])
    if options.get("sort") is not None:
        statement["sort"] = _spec.sort_document(options["sort"])
    return statement


def delete_statement(selector: Any, limit: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of a `delete` command.

    Args:
        selector: Which documents.
        limit: 1 for one of them, 0 for all.
        options: `collation`, `hint`.

    Returns:
        The entry.
    """
    statement: dict[str, Any] = {"q": _spec.check_filter(selector), "limit": limit}
    if options.get("collation") is not None:
        statement["collation"] = _spec.collation(options["collation"])
    if options.get("hint") is not None:
        statement["hint"] = _spec.hint(options["hint"])
    return statement


def _merge(result: dict[str, Any], run: Run, offset: int, reply: Mapping[str, Any]) -> None:
    """Adds what one command did."""
    affected = reply.get("n", 0)
    if run.kind == INSERT:
        result["nInserted"] += affected
    elif run.kind == DELETE:
        result["nRemoved"] += affected
    else:
        upserted = [
            {**entry, "index": run.indexes[entry["index"] + offset]}
            for entry in reply.get("upserted", ())
        ]
        result["upserted"].extend(upserted)
        result["nUpserted"] += len(upserted)
        result["nMatched"] += affected - len(upserted)
        result["nModified"] += reply.get("nModified", 0)
    for error in reply.get("writeErrors", ()):
        place = error["index"] + offset
        result["writeErrors"].append(
            {**error, "index": run.indexes[place], "op": run.operations[place]}
        )
    if reply.get("writeConcernError"):
        result["writeConcernErrors"].append(reply["writeConcernError"])


def _raise(result: dict[str, Any]) -> None:
    result["writeErrors"].sort(key=lambda error: error["index"])
    raise BulkWriteError(result)
