"""What writes documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.common import validate_ok_for_replace, validate_ok_for_update
from pymongo.results import (
    BulkWriteResult,
    DeleteResult,
    InsertManyResult,
    InsertOneResult,
    UpdateResult,
)

from mozaiks.database import _encode, _errors, _spec
from mozaiks.database._base import CollectionBase
from mozaiks.database._bulk import Bulk, delete_statement, update_statement


class WriteOperations(CollectionBase):
    """Inserting, updating, replacing, deleting."""

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
