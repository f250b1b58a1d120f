"""What changes one document and gives it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.common import validate_ok_for_replace, validate_ok_for_update

from mozaiks.database import _errors, _spec
from mozaiks.database._base import CollectionBase


class ModifyOperations(CollectionBase):
    """`find_one_and_update`, `find_one_and_replace`, `find_one_and_delete`."""

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
        command.update(_spec.camel(more))
        self._add_write_concern(command, session)
        reply = await self._run(command, session)
        concern = reply.get("writeConcernError")
        if concern:
            _errors.raise_write_concern_error(concern)
        return reply.get("value")
