"""What reads documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from mozaiks.database import _spec
from mozaiks.database._base import CollectionBase
from mozaiks.database._cursor import AggregateCursor, FindCursor

_NAMESPACE_NOT_FOUND = 26


class ReadOperations(CollectionBase):
    """Finding, counting, aggregating."""

    def find(
        self,
        filter: Any = None,  # noqa: A002 - PyMongo's name
        projection: Any = None,
        skip: int = 0,
        limit: int = 0,
        no_cursor_timeout: bool = False,
        cursor_type: int = 0,
        sort: Any = None,
        allow_partial_results: bool = False,
        batch_size: int = 0,
        collation: Any = None,
        hint: Any = None,
        max_time_ms: int | None = None,
        max: Any = None,  # noqa: A002 - PyMongo's name
        min: Any = None,  # noqa: A002 - PyMongo's name
        return_key: bool | None = None,
        show_record_id: bool | None = None,
        comment: Any = None,
        session: Any = None,
        allow_disk_use: bool | None = None,
        let: Any = None,
    ) -> FindCursor:
        """Finds documents. Nothing is sent before the first one is read.

        Args:
            filter: Which documents.
            projection: Which fields.
            skip: How many to leave out.
            limit: How many at most; 0 means all.
            no_cursor_timeout: Whether the cursor stays open while it is not read.
            cursor_type: Only cursors that end are supported; others are PyMongo's own.
            sort: In which order.
            allow_partial_results: Whether some shards may be missing.
            batch_size: How many come at a time.
            collation: How strings are compared.
            hint: Which index to use.
            max_time_ms: How long the server may take.
            max: Where in the index to end.
            min: Where in the index to start.
            return_key: Whether to give index keys only.
            show_record_id: Whether to give record ids.
            comment: What to write in the server's log.
            session: The session it belongs to.
            allow_disk_use: Whether the server may sort on disk.
            let: Variables.

        Returns:
            A cursor.
        """
        if cursor_type:
            raise TypeError("cursors that wait for more documents need a client of PyMongo itself")
        if _spec.check_count("skip", skip) < 0:
            raise ValueError("skip must be >= 0")
        if _spec.check_count("batch_size", batch_size) < 0:
            raise ValueError("batch_size must be >= 0")
        return FindCursor(
            self,
            session,
            filter=_spec.check_filter(filter),
            projection=None if projection is None else _spec.projection_document(projection),
            skip=skip,
            limit=_spec.check_count("limit", limit),
            noCursorTimeout=no_cursor_timeout or None,
            sort=_spec.sort_document(sort) if sort else None,
            allowPartialResults=allow_partial_results or None,
            batchSize=batch_size,
            collation=None if collation is None else _spec.collation(collation),
            hint=None if hint is None else _spec.hint(hint),
            maxTimeMS=max_time_ms,
            max=None if max is None else dict(max),
            min=None if min is None else dict(min),
            returnKey=return_key,
            showRecordId=show_record_id,
            comment=comment,
            allowDiskUse=allow_disk_use,
            let=let,
        )

    async def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        """Finds one document.

        Args:
            filter: Which document; what is no mapping is taken for an `_id`.
            args: As for `find`.
            kwargs: As for `find`.

        Returns:
            The document or `None`.
        """
        if filter is not None and not isinstance(filter, Mapping):
            filter = {"_id": filter}  # noqa: A001
        return await self.find(filter, *args, **kwargs).limit(-1).try_next()

    def aggregate(
        self,
        pipeline: Sequence[Mapping[str, Any]],
        session: Any = None,
        let: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> AggregateCursor:
        """Runs a pipeline. May be awaited (PyMongo) or read at once (Motor).

        Args:
            pipeline: The stages.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.
            kwargs: `allowDiskUse`, `maxTimeMS`, `batchSize`, `collation`, `hint`, ...

        Returns:
            A cursor.

        Raises:
            TypeError: If the pipeline is no list.
        """
        if not isinstance(pipeline, list):
            raise TypeError(f"pipeline must be a list, not {type(pipeline)}")
        batch_size = kwargs.pop("batchSize", None) or kwargs.pop("batch_size", None)
        writes = bool(pipeline) and any(stage in pipeline[-1] for stage in ("$out", "$merge"))
        cursor = {"batchSize": batch_size} if batch_size and not writes else {}
        command: dict[str, Any] = {"aggregate": self._name, "pipeline": pipeline, "cursor": cursor}
        command.update(_spec.given(let=let, comment=comment))
        command.update(_spec.camel(kwargs))
        self._add_read_concern(command, session)
        if writes:
            self._add_write_concern(command, session)
        return AggregateCursor(self, session, command)

    async def count_documents(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        session: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> int:
        """Counts documents.

        Args:
            filter: Which documents.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `skip`, `limit`, `hint`, `collation`, `maxTimeMS`.

        Returns:
            How many there are.
        """
        if filter is None:
            raise TypeError("filter must be a mapping; use {} to count all documents")
        stages: list[Mapping[str, Any]] = [{"$match": _spec.check_filter(filter)}]
        if kwargs.get("skip"):
            stages.append({"$skip": kwargs["skip"]})
        if kwargs.get("limit"):
            stages.append({"$limit": kwargs["limit"]})
        stages.append({"$group": {"_id": 1, "n": {"$sum": 1}}})
        rest = {name: value for name, value in kwargs.items() if name not in ("skip", "limit")}
        counted = await self.aggregate(stages, session, comment=comment, **rest).to_list()
        return int(counted[0]["n"]) if counted else 0

    async def estimated_document_count(self, comment: Any = None, **kwargs: Any) -> int:
        """Counts all documents, from what the server knows anyway.

        Args:
            comment: What to write in the server's log.
            kwargs: `maxTimeMS`.

        Returns:
            About how many there are.
        """
        command = {"count": self._name, **_spec.given(comment=comment), **_spec.camel(kwargs)}
        try:
            reply = await self._run(command)
        except OperationFailure as error:
            if error.code == _NAMESPACE_NOT_FOUND:
                return 0
            raise
        return int(reply["n"])

    async def distinct(
        self,
        key: str,
        filter: Any = None,  # noqa: A002 - PyMongo's name
        session: Any = None,
        comment: Any = None,
        hint: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        """The different values of a field.

        Args:
            key: The field.
            filter: Of which documents.
            session: The session it belongs to.
            comment: What to write in the server's log.
            hint: Which index to use.
            kwargs: `collation`, `maxTimeMS`.

        Returns:
            The values.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be an instance of str, not {type(key)}")
        command: dict[str, Any] = {"distinct": self._name, "key": key}
        if filter is not None:
            command["query"] = _spec.check_filter(filter)
        if hint is not None:
            command["hint"] = _spec.hint(hint)
        command.update(_spec.given(comment=comment))
        command.update(_spec.camel(kwargs))
        self._add_read_concern(command, session)
        reply = await self._run(command, session)
        values: list[Any] = reply["values"]
        return values
