"""A collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.common import validate_ok_for_replace, validate_ok_for_update
from pymongo.errors import OperationFailure
from pymongo.results import (
    BulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
)

from mozaiks.database import _encode, _errors, _spec, _transport
from mozaiks.database._bulk import Bulk, delete_statement, update_statement
from mozaiks.database._cursor import AggregateCursor, DeferredCursor, FindCursor

if TYPE_CHECKING:
    from mozaiks.database._database import Database

_NAMESPACE_NOT_FOUND = 26


class Collection:
    """A collection of the app's database, as PyMongo's async client and Motor have it."""

    def __init__(
        self,
        database: Database,
        name: str,
        codec_options: CodecOptions[Any],
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be an instance of str, not {type(name)}")
        self._database = database
        self._name = name
        self._codec_options = codec_options
        self._read_preference = read_preference
        self._write_concern = write_concern
        self._read_concern = read_concern

    # What it is.

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name

    @property
    def full_name(self) -> str:
        """The database's and the collection's name."""
        return f"{self._database.name}.{self._name}"

    @property
    def database(self) -> Database:
        """The database it is part of."""
        return self._database

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents become Python objects."""
        return self._codec_options

    @property
    def read_preference(self) -> Any:
        """Where it is read from."""
        return self._real().read_preference

    @property
    def write_concern(self) -> Any:
        """How safe writes must be."""
        return self._real().write_concern

    @property
    def read_concern(self) -> Any:
        """How safe reads must be."""
        return self._real().read_concern

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Collection:
        """The same collection with other options.

        Args:
            codec_options: How documents become Python objects.
            read_preference: Where it is read from.
            write_concern: How safe writes must be.
            read_concern: How safe reads must be.

        Returns:
            The collection.
        """
        return Collection(
            self._database,
            self._name,
            codec_options or self._codec_options,
            read_preference or self._read_preference,
            write_concern or self._write_concern,
            read_concern or self._read_concern,
        )

    def __getitem__(self, name: str) -> Collection:
        return Collection(
            self._database,
            f"{self._name}.{name}",
            self._codec_options,
            self._read_preference,
            self._write_concern,
            self._read_concern,
        )

    def __getattr__(self, name: str) -> Collection:
        if name.startswith("_"):
            raise AttributeError(
                f"Collection has no attribute {name!r}. To access the {self._name}.{name} "
                f"collection, use database['{self._name}.{name}']."
            )
        return self[name]

    def __call__(self, *args: object, **kwargs: object) -> None:
        """Says that there is no such method."""
        raise TypeError(
            f"'Collection' object is not callable. If you meant to call the "
            f"'{self._name.rsplit('.', 1)[-1]}' method on a 'Collection' object it is failing "
            "because no such method exists."
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Collection):
            return NotImplemented
        return self._name == other._name and self._database is other._database

    def __hash__(self) -> int:
        return hash((id(self._database), self._name))

    def __repr__(self) -> str:
        return f"Collection({self._database!r}, {self._name!r})"

    # Reading.

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
        command.update(_camel(kwargs))
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
        command = {"count": self._name, **_spec.given(comment=comment), **_camel(kwargs)}
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
        command.update(_camel(kwargs))
        self._add_read_concern(command, session)
        reply = await self._run(command, session)
        values: list[Any] = reply["values"]
        return values

    # Writing.

    async def insert_one(
        self,
        document: Any,
        bypass_document_validation: bool | None = None,
        session: Any = None,
        comment: Any = None,
    ) -> InsertOneResult:
        """Inserts a document; gives it an `_id` where it has none.

        Args:
            document: The document.
            bypass_document_validation: Whether the collection's rules do not count.
            session: The session it belongs to.
            comment: What to write in the server's log.

        Returns:
            The `_id`.

        Raises:
            DuplicateKeyError: If a unique index says that it exists.
        """
        document_id = _encode.with_id(document)
        command: dict[str, Any] = {
            "insert": self._name,
            "documents": [_encode.raw(document, self._codec_options)],
            "ordered": True,
        }
        await self._write(command, session, comment, bypass_document_validation)
        return InsertOneResult(document_id, True)

    async def insert_many(
        self,
        documents: Iterable[Any],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: Any = None,
        comment: Any = None,
    ) -> InsertManyResult:
        """Inserts documents; gives those an `_id` that have none.

        Args:
            documents: The documents.
            ordered: Whether to stop at the first that is refused.
            bypass_document_validation: Whether the collection's rules do not count.
            session: The session it belongs to.
            comment: What to write in the server's log.

        Returns:
            The `_id`s.

        Raises:
            BulkWriteError: If some were refused.
        """
        if isinstance(documents, (Mapping, str)) or not isinstance(documents, Iterable):
            raise TypeError("documents must be a non-empty list")
        documents = list(documents)
        if not documents:
            raise TypeError("documents must be a non-empty list")
        bulk = Bulk(ordered)
        for document in documents:
            bulk.add_insert(document)
        await bulk.execute(
            self._name,
            self._transport(session),
            self._codec_options,
            self._write_options(session, comment, bypass_document_validation),
        )
        return InsertManyResult([document["_id"] for document in documents], True)

    async def update_one(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Any,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        array_filters: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        sort: Any = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Changes one document.

        Args:
            filter: Which document.
            update: Operators or a pipeline.
            upsert: Whether to insert where there is none.
            bypass_document_validation: Whether the collection's rules do not count.
            collation: How strings are compared.
            array_filters: Which elements of arrays.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            sort: Which one, of several.
            comment: What to write in the server's log.

        Returns:
            What was done.
        """
        validate_ok_for_update(update)
        options = {
            "collation": collation,
            "array_filters": array_filters,
            "hint": hint,
            "sort": sort,
        }
        statement = update_statement(filter, update, False, upsert, options)
        return await self._update(statement, session, comment, bypass_document_validation, let)

    async def update_many(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Any,
        upsert: bool = False,
        array_filters: Any = None,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Changes documents.

        Args:
            filter: Which documents.
            update: Operators or a pipeline.
            upsert: Whether to insert where there is none.
            array_filters: Which elements of arrays.
            bypass_document_validation: Whether the collection's rules do not count.
            collation: How strings are compared.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.

        Returns:
            What was done.
        """
        validate_ok_for_update(update)
        options = {"collation": collation, "array_filters": array_filters, "hint": hint}
        statement = update_statement(filter, update, True, upsert, options)
        return await self._update(statement, session, comment, bypass_document_validation, let)

    async def replace_one(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        replacement: Any,
        upsert: bool = False,
        bypass_document_validation: bool | None = None,
        collation: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        sort: Any = None,
        comment: Any = None,
    ) -> UpdateResult:
        """Puts a document in the place of another.

        Args:
            filter: Which document.
            replacement: The new one.
            upsert: Whether to insert where there is none.
            bypass_document_validation: Whether the collection's rules do not count.
            collation: How strings are compared.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            sort: Which one, of several.
            comment: What to write in the server's log.

        Returns:
            What was done.
        """
        if not isinstance(replacement, RawBSONDocument):
            validate_ok_for_replace(replacement)
        options = {"collation": collation, "hint": hint, "sort": sort}
        statement = update_statement(filter, replacement, False, upsert, options)
        return await self._update(statement, session, comment, bypass_document_validation, let)

    async def delete_one(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        collation: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Deletes one document.

        Args:
            filter: Which document.
            collation: How strings are compared.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.

        Returns:
            What was done.
        """
        statement = delete_statement(filter, 1, {"collation": collation, "hint": hint})
        return await self._delete(statement, session, comment, let)

    async def delete_many(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        collation: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
    ) -> DeleteResult:
        """Deletes documents.

        Args:
            filter: Which documents.
            collation: How strings are compared.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.

        Returns:
            What was done.
        """
        statement = delete_statement(filter, 0, {"collation": collation, "hint": hint})
        return await self._delete(statement, session, comment, let)

    async def find_one_and_update(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Any,
        projection: Any = None,
        sort: Any = None,
        upsert: bool = False,
        return_document: bool = False,
        array_filters: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Changes one document and gives it.

        Args:
            filter: Which document.
            update: Operators or a pipeline.
            projection: Which fields to give.
            sort: Which one, of several.
            upsert: Whether to insert where there is none.
            return_document: `ReturnDocument.AFTER` for the changed one.
            array_filters: Which elements of arrays.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.
            kwargs: `collation`, `maxTimeMS`, `bypass_document_validation`.

        Returns:
            The document or `None`.
        """
        validate_ok_for_update(update)
        command: dict[str, Any] = {"update": update, "new": return_document, "upsert": upsert}
        if array_filters is not None:
            command["arrayFilters"] = list(array_filters)
        return await self._find_and_modify(
            filter, projection, sort, hint, session, let, comment, command, kwargs
        )

    async def find_one_and_replace(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        replacement: Any,
        projection: Any = None,
        sort: Any = None,
        upsert: bool = False,
        return_document: bool = False,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Puts a document in the place of another and gives one of them.

        Args:
            filter: Which document.
            replacement: The new one.
            projection: Which fields to give.
            sort: Which one, of several.
            upsert: Whether to insert where there is none.
            return_document: `ReturnDocument.AFTER` for the new one.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.
            kwargs: `collation`, `maxTimeMS`, `bypass_document_validation`.

        Returns:
            The document or `None`.
        """
        validate_ok_for_replace(replacement)
        command = {"update": replacement, "new": return_document, "upsert": upsert}
        return await self._find_and_modify(
            filter, projection, sort, hint, session, let, comment, command, kwargs
        )

    async def find_one_and_delete(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        projection: Any = None,
        sort: Any = None,
        hint: Any = None,
        session: Any = None,
        let: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Deletes one document and gives it.

        Args:
            filter: Which document.
            projection: Which fields to give.
            sort: Which one, of several.
            hint: Which index to use.
            session: The session it belongs to.
            let: Variables.
            comment: What to write in the server's log.
            kwargs: `collation`, `maxTimeMS`.

        Returns:
            The document or `None`.
        """
        return await self._find_and_modify(
            filter, projection, sort, hint, session, let, comment, {"remove": True}, kwargs
        )

    async def bulk_write(
        self,
        requests: Sequence[Any],
        ordered: bool = True,
        bypass_document_validation: bool | None = None,
        session: Any = None,
        comment: Any = None,
        let: Any = None,
    ) -> BulkWriteResult:
        """Does many writes.

        Args:
            requests: `InsertOne`, `UpdateOne`, ... of PyMongo.
            ordered: Whether to stop at the first that is refused.
            bypass_document_validation: Whether the collection's rules do not count.
            session: The session it belongs to.
            comment: What to write in the server's log.
            let: Variables.

        Returns:
            What was done.

        Raises:
            BulkWriteError: If some were refused.
        """
        if isinstance(requests, Mapping) or not isinstance(requests, Sequence):
            raise TypeError("requests must be a list")
        bulk = Bulk(ordered)
        bulk.add_all(requests)
        extra = self._write_options(session, comment, bypass_document_validation)
        extra.update(_spec.given(let=let))
        return await bulk.execute(self._name, self._transport(session), self._codec_options, extra)

    # What PyMongo's own client does.

    async def create_index(self, keys: Any, session: Any = None, **kwargs: Any) -> str:
        """Creates an index.

        Args:
            keys: Fields and directions.
            session: The session it belongs to.
            kwargs: `unique`, `name`, `expireAfterSeconds`, ...

        Returns:
            Its name.
        """
        name: str = await self._real().create_index(keys, session=session, **kwargs)
        return name

    async def create_indexes(
        self, indexes: Sequence[Any], session: Any = None, **kwargs: Any
    ) -> list[str]:
        """Creates indexes.

        Args:
            indexes: `IndexModel`s of PyMongo.
            session: The session it belongs to.
            kwargs: As for `create_index`.

        Returns:
            Their names.
        """
        names: list[str] = await self._real().create_indexes(indexes, session=session, **kwargs)
        return names

    async def drop_index(self, index_or_name: Any, **kwargs: Any) -> None:
        """Drops an index.

        Args:
            index_or_name: Its name or keys.
            kwargs: As for PyMongo.
        """
        await self._real().drop_index(index_or_name, **kwargs)

    async def drop_indexes(self, **kwargs: Any) -> None:
        """Drops all indexes but that on `_id`.

        Args:
            kwargs: As for PyMongo.
        """
        await self._real().drop_indexes(**kwargs)

    def list_indexes(self, **kwargs: Any) -> DeferredCursor:
        """The indexes. May be awaited (PyMongo) or read at once (Motor).

        Args:
            kwargs: As for PyMongo.

        Returns:
            A cursor.
        """
        return DeferredCursor(lambda: self._real().list_indexes(**kwargs))

    async def index_information(self, **kwargs: Any) -> dict[str, Any]:
        """The indexes by name.

        Args:
            kwargs: As for PyMongo.

        Returns:
            Name to what is known of the index.
        """
        information: dict[str, Any] = await self._real().index_information(**kwargs)
        return information

    async def drop(self, **kwargs: Any) -> None:
        """Drops the collection.

        Args:
            kwargs: As for PyMongo.
        """
        await self._real().drop(**kwargs)

    async def rename(self, new_name: str, **kwargs: Any) -> Any:
        """Renames the collection.

        Args:
            new_name: Its new name.
            kwargs: As for PyMongo.

        Returns:
            The server's answer.
        """
        return await self._real().rename(new_name, **kwargs)

    async def options(self, **kwargs: Any) -> dict[str, Any]:
        """How the collection was created.

        Args:
            kwargs: As for PyMongo.

        Returns:
            The options.
        """
        options: dict[str, Any] = await self._real().options(**kwargs)
        return options

    def watch(self, *args: Any, **kwargs: Any) -> DeferredCursor:
        """Follows changes, on servers that have them. May be awaited or used at once.

        Args:
            args: As for PyMongo.
            kwargs: As for PyMongo.

        Returns:
            A change stream.
        """
        return DeferredCursor(lambda: self._real().watch(*args, **kwargs))

    # How it works.

    def _real(self) -> Any:
        """PyMongo's collection, on the client of the running event loop."""
        collection = _transport.client()[self._database.name][self._name]
        return collection.with_options(
            codec_options=self._codec_options,
            read_preference=self._read_preference,
            write_concern=self._write_concern,
            read_concern=self._read_concern,
        )

    def _transport(self, session: Any) -> _transport.Transport:
        return _transport.select(session, self._read_preference)

    async def _run(self, command: Mapping[str, Any], session: Any = None) -> dict[str, Any]:
        return await self._transport(session).command(command, self._codec_options)

    def _add_read_concern(self, command: dict[str, Any], session: Any) -> None:
        if self._read_concern is not None and not _in_transaction(session):
            command["readConcern"] = self._read_concern.document

    def _add_write_concern(self, command: dict[str, Any], session: Any) -> None:
        if self._write_concern is not None and not _in_transaction(session):
            command["writeConcern"] = self._write_concern.document

    def _write_options(
        self, session: Any, comment: Any, bypass_document_validation: bool | None
    ) -> dict[str, Any]:
        options = _spec.given(
            comment=comment, bypassDocumentValidation=bypass_document_validation or None
        )
        self._add_write_concern(options, session)
        return options

    async def _write(
        self,
        command: dict[str, Any],
        session: Any,
        comment: Any,
        bypass_document_validation: bool | None = None,
        let: Any = None,
    ) -> dict[str, Any]:
        command.update(self._write_options(session, comment, bypass_document_validation))
        command.update(_spec.given(let=let))
        reply = await self._run(command, session)
        _errors.check_write(reply)
        return reply

    async def _update(
        self,
        statement: dict[str, Any],
        session: Any,
        comment: Any,
        bypass_document_validation: bool | None,
        let: Any,
    ) -> UpdateResult:
        encoded = _encode.raw(statement, self._codec_options)
        command: dict[str, Any] = {"update": self._name, "updates": [encoded], "ordered": True}
        reply = await self._write(command, session, comment, bypass_document_validation, let)
        upserted = reply.get("upserted")
        result = {
            **reply,
            "updatedExisting": bool(reply.get("n")) and not upserted,
            "nModified": reply.get("nModified", 0),
        }
        if upserted:
            result["upserted"] = upserted[0]["_id"]
        return UpdateResult(result, True)

    async def _delete(
        self, statement: dict[str, Any], session: Any, comment: Any, let: Any
    ) -> DeleteResult:
        command: dict[str, Any] = {"delete": self._name, "deletes": [statement], "ordered": True}
        return DeleteResult(await self._write(command, session, comment, let=let), True)

    async def _find_and_modify(
        self,
        query: Any,
        projection: Any,
        sort: Any,
        hint: Any,
        session: Any,
        let: Any,
        comment: Any,
        action: dict[str, Any],
        more: dict[str, Any],
    ) -> Any:
        command: dict[str, Any] = {"findAndModify": self._name, "query": _spec.check_filter(query)}
        command.update(action)
        if projection is not None:
            command["fields"] = _spec.projection_document(projection)
        if sort:
            command["sort"] = _spec.sort_document(sort)
        if hint is not None:
            command["hint"] = _spec.hint(hint)
        command.update(_spec.given(let=let, comment=comment))
        command.update(_camel(more))
        self._add_write_concern(command, session)
        reply = await self._run(command, session)
        concern = reply.get("writeConcernError")
        if concern:
            _errors.raise_write_concern_error(concern)
        return reply.get("value")


_CAMEL = {
    "allow_disk_use": "allowDiskUse",
    "bypass_document_validation": "bypassDocumentValidation",
    "max_time_ms": "maxTimeMS",
}


def _camel(options: Mapping[str, Any]) -> dict[str, Any]:
    """Further options as the server spells them."""
    named: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "collation":
            value = _spec.collation(value)
        elif name == "hint":
            value = _spec.hint(value)
        named[_CAMEL.get(name, name)] = value
    return named


def _in_transaction(session: Any) -> bool:
    return session is not None and bool(session.in_transaction)
