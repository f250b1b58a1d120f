"""A collection."""

from __future__ import annotations

from typing import Any

from bson.codec_options import CodecOptions

from mozaiks.database._admin import AdminOperations
from mozaiks.database._modify import ModifyOperations
from mozaiks.database._read import ReadOperations
from mozaiks.database._write import WriteOperations


class Collection(ReadOperations, WriteOperations, ModifyOperations, AdminOperations):
    """A collection of the app's database, as PyMongo's async client and Motor have it."""

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
