"""The database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions

from mozaiks.database import _transport
from mozaiks.database._collection import Collection
from mozaiks.database._cursor import DeferredCursor


class Database:
    """The app's database, as PyMongo's async client and Motor have it.

    Which database that is follows the running call: in a gateway that serves many apps, each app
    has one of its own.
    """

    def __init__(
        self,
        codec_options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> None:
        self._codec_options = codec_options
        self._options = (read_preference, write_concern, read_concern)

    @property
    def name(self) -> str:
        """The database's name."""
        return _transport.target()[1]

    @property
    def client(self) -> Any:
        """PyMongo's client of the running event loop: for sessions and transactions."""
        return _transport.client()

    @property
    def codec_options(self) -> CodecOptions[Any]:
        """How documents become Python objects."""
        return self._codec_options

    def get_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Collection:
        """A collection.

        Args:
            name: Its name.
            codec_options: How documents become Python objects.
            read_preference: Where it is read from.
            write_concern: How safe writes must be.
            read_concern: How safe reads must be.

        Returns:
            The collection; it need not exist.
        """
        own_preference, own_write, own_read = self._options
        return Collection(
            self,
            name,
            codec_options or self._codec_options,
            read_preference or own_preference,
            write_concern or own_write,
            read_concern or own_read,
        )

    def with_options(
        self,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Database:
        """The same database with other options.

        Args:
            codec_options: How documents become Python objects.
            read_preference: Where it is read from.
            write_concern: How safe writes must be.
            read_concern: How safe reads must be.

        Returns:
            The database.
        """
        own_preference, own_write, own_read = self._options
        return Database(
            codec_options or self._codec_options,
            read_preference or own_preference,
            write_concern or own_write,
            read_concern or own_read,
        )

    def __getitem__(self, name: str) -> Collection:
        return self.get_collection(name)

    def __getattr__(self, name: str) -> Collection:
        if name.startswith("_"):
            raise AttributeError(
                f"Database has no attribute {name!r}. To access the {name} collection, use "
                f"database[{name!r}]."
            )
        return self.get_collection(name)

    def __repr__(self) -> str:
        return "Database()"

    async def command(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs a command.

        Args:
            command: Its name or document.
            args: As for PyMongo.
            kwargs: As for PyMongo.

        Returns:
            The server's answer.
        """
        return await self._real().command(command, *args, **kwargs)

    async def list_collection_names(self, **kwargs: Any) -> list[str]:
        """The names of the collections.

        Args:
            kwargs: As for PyMongo.

        Returns:
            The names.
        """
        names: list[str] = await self._real().list_collection_names(**kwargs)
        return names

    def list_collections(self, **kwargs: Any) -> DeferredCursor:
        """What is known of the collections. May be awaited or read at once.

        Args:
            kwargs: As for PyMongo.

        Returns:
            A cursor.
        """
        return DeferredCursor(lambda: self._real().list_collections(**kwargs))

    async def create_collection(self, name: str, **kwargs: Any) -> Collection:
        """Creates a collection.

        Args:
            name: Its name.
            kwargs: As for PyMongo.

        Returns:
            The collection.
        """
        await self._real().create_collection(name, **kwargs)
        return self[name]

    async def drop_collection(self, name_or_collection: str | Collection, **kwargs: Any) -> Any:
        """Drops a collection.

        Args:
            name_or_collection: The collection.
            kwargs: As for PyMongo.

        Returns:
            The server's answer.
        """
        name = name_or_collection
        if isinstance(name, Collection):
            name = name.name
        return await self._real().drop_collection(name, **kwargs)

    async def validate_collection(
        self, name_or_collection: str | Collection, **kwargs: Any
    ) -> Mapping[str, Any]:
        """Checks a collection.

        Args:
            name_or_collection: The collection.
            kwargs: As for PyMongo.

        Returns:
            What the server found.
        """
        name = name_or_collection
        if isinstance(name, Collection):
            name = name.name
        found: Mapping[str, Any] = await self._real().validate_collection(name, **kwargs)
        return found

    def aggregate(self, pipeline: Any, **kwargs: Any) -> DeferredCursor:
        """Runs a pipeline that starts from no collection. May be awaited or read at once.

        Args:
            pipeline: The stages.
            kwargs: As for PyMongo.

        Returns:
            A cursor.
        """
        return DeferredCursor(lambda: self._real().aggregate(pipeline, **kwargs))

    def watch(self, *args: Any, **kwargs: Any) -> DeferredCursor:
        """Follows changes, on servers that have them. May be awaited or used at once.

        Args:
            args: As for PyMongo.
            kwargs: As for PyMongo.

        Returns:
            A change stream.
        """
        return DeferredCursor(lambda: self._real().watch(*args, **kwargs))

    def _real(self) -> Any:
        preference, write, read = self._options
        return _transport.client().get_database(
            self.name, self._codec_options, preference, write, read
        )
