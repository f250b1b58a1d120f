"""Indexes, and the collection as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import InvalidName, OperationFailure
from pymongo.operations import IndexModel

from mozaiks.database import _spec
from mozaiks.database._base import CollectionBase
from mozaiks.database._changes import ChangeStream
from mozaiks.database._cursor import CommandCursor

_NAMESPACE_NOT_FOUND = 26


class AdminOperations(CollectionBase):
    """Indexes, options, change streams, dropping, renaming."""

    async def create_index(
        self, keys: Any, session: Any = None, comment: Any = None, **kwargs: Any
    ) -> str:
        """Creates an index.

        Args:
            keys: Fields and directions.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `unique`, `name`, `expireAfterSeconds`, ...

        Returns:
            Its name.
        """
        limit = kwargs.pop("maxTimeMS", None)
        model = IndexModel(keys, **kwargs)
        names = await self.create_indexes([model], session, comment, maxTimeMS=limit)
        return names[0]

    async def create_indexes(
        self, indexes: Sequence[Any], session: Any = None, comment: Any = None, **kwargs: Any
    ) -> list[str]:
        """Creates indexes.

        Args:
            indexes: `IndexModel`s of PyMongo.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `maxTimeMS`, `commitQuorum`.

        Returns:
            Their names.

        Raises:
            TypeError: If one of them is no `IndexModel`.
        """
        for index in indexes:
            if not isinstance(index, IndexModel):
                raise TypeError(f"{index!r} is not an instance of pymongo.operations.IndexModel")
        documents = [index.document for index in indexes]
        command = {"createIndexes": self._name, "indexes": documents}
        command.update(_spec.given(comment=comment, **kwargs))
        await self._run_schema(command, session)
        return [document["name"] for document in documents]

    async def drop_index(
        self, index_or_name: Any, session: Any = None, comment: Any = None, **kwargs: Any
    ) -> None:
        """Drops an index.

        Args:
            index_or_name: Its name or keys.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `maxTimeMS`.
        """
        name = index_or_name
        if not isinstance(name, str):
            name = IndexModel(name).document["name"]
        command = {"dropIndexes": self._name, "index": name}
        command.update(_spec.given(comment=comment, **kwargs))
        await self._run_schema(command, session, may_be_missing=True)

    async def drop_indexes(self, session: Any = None, comment: Any = None, **kwargs: Any) -> None:
        """Drops all indexes but that on `_id`.

        Args:
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `maxTimeMS`.
        """
        await self.drop_index("*", session, comment, **kwargs)

    def list_indexes(self, session: Any = None, comment: Any = None) -> CommandCursor:
        """The indexes. May be awaited (PyMongo) or read at once (Motor).

        Args:
            session: The session it belongs to.
            comment: What to write in the server's log.

        Returns:
            A cursor.
        """
        command = {"listIndexes": self._name, "cursor": {}, **_spec.given(comment=comment)}
        return CommandCursor(self, session, command)

    async def index_information(self, session: Any = None, comment: Any = None) -> dict[str, Any]:
        """The indexes by name.

        Args:
            session: The session it belongs to.
            comment: What to write in the server's log.

        Returns:
            Name to what is known of the index.
        """
        information: dict[str, Any] = {}
        async for index in self.list_indexes(session, comment):
            known = dict(index)
            known["key"] = list(known["key"].items())
            known.pop("ns", None)
            information[known.pop("name")] = known
        return information

    async def drop(
        self, session: Any = None, comment: Any = None, encrypted_fields: Any = None
    ) -> None:
        """Drops the collection.

        Args:
            session: The session it belongs to.
            comment: What to write in the server's log.
            encrypted_fields: Not supported.
        """
        await self._database.drop_collection(self._name, session, comment, encrypted_fields)

    async def rename(
        self, new_name: str, session: Any = None, comment: Any = None, **kwargs: Any
    ) -> Any:
        """Renames the collection.

        Args:
            new_name: Its new name.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: `dropTarget`.

        Returns:
            The server's answer.

        Raises:
            InvalidName: If it is no name.
        """
        if not isinstance(new_name, str):
            raise TypeError("new_name must be an instance of str")
        if not new_name or ".." in new_name or "$" in new_name or new_name.strip(".") != new_name:
            raise InvalidName(f"{new_name!r} cannot be the name of a collection")
        command = {"renameCollection": self._name, "to": new_name}
        command.update(_spec.given(comment=comment, **kwargs))
        return await self._run_schema(command, session)

    async def options(self, session: Any = None, comment: Any = None) -> dict[str, Any]:
        """How the collection was created.

        Args:
            session: The session it belongs to.
            comment: What to write in the server's log.

        Returns:
            The options.
        """
        named = {"name": self._name}
        found = await self._database.list_collections(session, named, comment).to_list()
        options: dict[str, Any] = found[0].get("options", {}) if found else {}
        return options

    def watch(
        self, pipeline: Sequence[Mapping[str, Any]] | None = None, *args: Any, **kwargs: Any
    ) -> ChangeStream:
        """Follows changes, on servers that have them. May be awaited or used at once.

        Args:
            pipeline: Stages that choose and change what is told.
            args: As for PyMongo.
            kwargs: As for PyMongo.

        Returns:
            A change stream.
        """
        return ChangeStream(self, False, pipeline, *args, **kwargs)

    async def _run_schema(
        self, command: dict[str, Any], session: Any, may_be_missing: bool = False
    ) -> dict[str, Any]:
        self._add_write_concern(command, session)
        try:
            return await self._run(command, session)
        except OperationFailure as error:
            if may_be_missing and error.code == _NAMESPACE_NOT_FOUND:
                return {"ok": 1.0}
            raise
