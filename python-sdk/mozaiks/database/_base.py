"""What every operation of a collection needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bson.codec_options import CodecOptions
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from mozaiks.database import _transport

if TYPE_CHECKING:
    from mozaiks.database._database import Database


class CollectionBase:
    """A collection's name and options, and the way to the server."""

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
        return self._read_preference or ReadPreference.PRIMARY

    @property
    def write_concern(self) -> Any:
        """How safe writes must be; one that says nothing is the gateway's."""
        return self._write_concern or WriteConcern()

    @property
    def read_concern(self) -> Any:
        """How safe reads must be."""
        return self._read_concern or ReadConcern()

    # How it works.

    def _transport(self, session: Any) -> _transport.Transport:
        return _transport.select(session, self._read_preference)

    async def _run(self, command: Mapping[str, Any], session: Any = None) -> dict[str, Any]:
        return await self._transport(session).command(command, self._codec_options)

    def _add_read_concern(self, command: dict[str, Any], session: Any) -> None:
        if (
            self._read_concern is not None
            and self._read_concern.document
            and not _in_transaction(session)
        ):
            command["readConcern"] = self._read_concern.document

    def _add_write_concern(self, command: dict[str, Any], session: Any) -> None:
        if self._write_concern is not None and not _in_transaction(session):
            command["writeConcern"] = self._write_concern.document


def _in_transaction(session: Any) -> bool:
    return session is not None and bool(session.in_transaction)
