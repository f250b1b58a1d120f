"""The database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from pymongo.errors import CollectionInvalid, ConfigurationError, OperationFailure

from mozaiks.database import _spec, _transport
from mozaiks.database._changes import ChangeStream
from mozaiks.database._collection import Collection
from mozaiks.database._cursor import AggregateCursor, CommandCursor
from mozaiks.database._session import Client


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
        return _transport.database_name()

    @property
    def client(self) -> Any:
        """For sessions and transactions; outside of the gateway, PyMongo's own client."""
        return Client(self) if _transport.has_fast_path() else _transport.client()

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

    async def command(
        self,
        command: str | Mapping[str, Any],
        value: Any = 1,
        check: bool = True,
        allowable_errors: Sequence[str | int] | None = None,
        read_preference: Any = None,
        codec_options: CodecOptions[Any] | None = None,
        session: Any = None,
        comment: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Runs a command.

        Args:
            command: Its name or document.
            value: What stands under its name.
            check: Whether an error is raised rather than given.
            allowable_errors: Messages and codes that are given rather than raised.
            read_preference: Which servers may answer.
            codec_options: How the answer becomes Python objects.
            session: The session it belongs to.
            comment: What to write in the server's log.
            kwargs: More fields.

        Returns:
            The server's answer.
        """
        document = {command: value} if isinstance(command, str) else dict(command)
        document.update(kwargs)
        document.update(_spec.given(comment=comment))
        transport = _transport.select(session, read_preference)
        try:
            return await transport.command(document, codec_options or DEFAULT_CODEC_OPTIONS)
        except OperationFailure as error:
            allowed = allowable_errors or ()
            known = error.code in allowed or str(error) in allowed
            if error.details is not None and (known or not check):
                return error.details
            raise

    async def list_collection_names(
        self,
        session: Any = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - PyMongo's name
        comment: Any = None,
        **kwargs: Any,
    ) -> list[str]:
        """The names of the collections.

        Args:
            session: The session it belongs to.
            filter: Which ones.
            comment: What to write in the server's log.
            kwargs: More fields of `listCollections`.

        Returns:
            The names.
        """
        if not filter or set(filter) == {"name"}:
            kwargs["nameOnly"] = True
        found = self.list_collections(session, filter, comment, **kwargs)
        return [each["name"] async for each in found]

    def list_collections(
        self,
        session: Any = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - PyMongo's name
        comment: Any = None,
        **kwargs: Any,
    ) -> CommandCursor:
        """What is known of the collections. May be awaited or read at once.

        Args:
            session: The session it belongs to.
            filter: Which ones.
            comment: What to write in the server's log.
            kwargs: More fields of `listCollections`.

        Returns:
            A cursor.
        """
        command = {"listCollections": 1, "cursor": {}}
        command.update(_spec.given(filter=filter, comment=comment, **kwargs))
        return CommandCursor(self["$cmd.listCollections"], session, command)

    async def create_collection(
        self,
        name: str,
        codec_options: CodecOptions[Any] | None = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
        session: Any = None,
        check_exists: bool | None = True,
        **kwargs: Any,
    ) -> Collection:
        """Creates a collection.

        Args:
            name: Its name.
            codec_options: How documents become Python objects.
            read_preference: Where it is read from.
            write_concern: How safe writes must be.
            read_concern: How safe reads must be.
            session: The session it belongs to.
            check_exists: Whether to look first.
            kwargs: `capped`, `size`, `validator`, `collation`, ...

        Returns:
            The collection.

        Raises:
            CollectionInvalid: If it exists.
        """
        in_transaction = session is not None and session.in_transaction
        check = check_exists and not in_transaction
        if check and name in await self.list_collection_names(session, {"name": name}):
            raise CollectionInvalid(f"collection {name} already exists")
        if "collation" in kwargs:
            kwargs["collation"] = _spec.collation(kwargs["collation"])
        made = self.get_collection(
            name, codec_options, read_preference, write_concern, read_concern
        )
        command = {"create": name, **_spec.given(**kwargs)}
        made._add_write_concern(command, session)
        await made._run(command, session)
        return made

    async def drop_collection(
        self,
        name_or_collection: str | Collection,
        session: Any = None,
        comment: Any = None,
        encrypted_fields: Any = None,
    ) -> Any:
        """Drops a collection.

        Args:
            name_or_collection: The collection.
            session: The session it belongs to.
            comment: What to write in the server's log.
            encrypted_fields: Not supported.

        Returns:
            The server's answer.
        """
        if encrypted_fields is not None:
            raise ConfigurationError("encrypted collections need a client of their own")
        gone = self._collection(name_or_collection)
        command = {"drop": gone.name, **_spec.given(comment=comment)}
        return await gone._run_schema(command, session, may_be_missing=True)

    async def validate_collection(
        self,
        name_or_collection: str | Collection,
        scandata: bool = False,
        full: bool = False,
        session: Any = None,
        background: bool | None = None,
        comment: Any = None,
    ) -> Mapping[str, Any]:
        """Checks a collection.

        Args:
            name_or_collection: The collection.
            scandata: Whether to look at the documents.
            full: Whether to look at everything.
            session: The session it belongs to.
            background: Whether to leave others room.
            comment: What to write in the server's log.

        Returns:
            What the server found.

        Raises:
            CollectionInvalid: If something is wrong with it.
        """
        checked = self._collection(name_or_collection)
        command = {"validate": checked.name, "scandata": scandata, "full": full}
        command.update(_spec.given(background=background, comment=comment))
        found = await checked._run(command, session)
        if not found.get("valid", True):
            raise CollectionInvalid(f"{checked.name} invalid: {found!r}")
        return found

    def aggregate(
        self, pipeline: Sequence[Mapping[str, Any]], session: Any = None, **kwargs: Any
    ) -> AggregateCursor:
        """Runs a pipeline that starts from no collection. May be awaited or read at once.

        Args:
            pipeline: The stages.
            session: The session it belongs to.
            kwargs: As for a collection's.

        Returns:
            A cursor.
        """
        cursor = self["$cmd.aggregate"].aggregate(pipeline, session, **kwargs)
        cursor.starts_from_nothing()
        return cursor

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
        return ChangeStream(self["$cmd.aggregate"], True, pipeline, *args, **kwargs)

    def _collection(self, name_or_collection: str | Collection) -> Collection:
        if isinstance(name_or_collection, Collection):
            return name_or_collection
        return self[name_or_collection]
