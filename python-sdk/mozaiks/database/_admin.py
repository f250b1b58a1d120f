"""What is left to PyMongo's own client: indexes, and the collection as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mozaiks.database._base import CollectionBase
from mozaiks.database._deferred import DeferredCursor


class AdminOperations(CollectionBase):
    """Indexes, options, change streams, dropping, renaming."""

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
