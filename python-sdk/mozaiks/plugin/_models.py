"""`ctx.models`: documents of a plugin's entities, with defaults and checks."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mozaiks import _host
from mozaiks.errors import EntityNotMigrated, HostError

# What one `find` gives at most where nobody says.
DEFAULT_LIMIT = 1000

Document = dict[str, Any]


class Models:
    """The entities of the plugin whose collections are there in the caller's app."""

    def __init__(self) -> None:
        """Asks for nothing: what there is depends on the running call."""
        # By their revision: apps whose entities are alike share one.
        self._known: dict[str, dict[str, Any]] = {}
        self._latest: str | None = None

    def __getitem__(self, name: str) -> Model:
        return Model(self, name)

    def __getattr__(self, name: str) -> Model:
        if name.startswith("_"):
            raise AttributeError(name)
        return Model(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entities())

    def __contains__(self, name: object) -> bool:
        return name in self._entities()

    def _entities(self) -> dict[str, Any]:
        known = self._known.get(self._latest or "")
        asked = None if known is None else self._latest
        answer: dict[str, Any] = _host.query("entities.models", {"revision": asked})
        revision: str = answer["revision"]
        if "entities" in answer:
            if len(self._known) >= 16:
                self._known.clear()
            self._known[revision] = answer["entities"]
        self._latest = revision
        return self._known[revision]

    def _entity(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        entities = self._entities()
        entity = entities.get(name)
        if entity is None:
            raise EntityNotMigrated(
                "ENTITY_NOT_MIGRATED",
                f"there is no entity {name!r} in this app: its migration was not run, or its name "
                "is another",
                {"entity": name},
            )
        return entity, entities


class Model:
    """One entity: its documents, with the primary key under the name that the entity gives it."""

    def __init__(self, models: Models, name: str) -> None:
        """Made by `ctx.models`.

        Args:
            models: All of them.
            name: The entity's name.
        """
        self._models = models
        self.name = name

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    @property
    def table_name(self) -> str:
        """The entity's collection."""
        table: str = self._models._entity(self.name)[0]["table_name"]
        return table

    async def find(
        self,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - PyMongo's name
        *,
        sort: str | Sequence[tuple[str, int]] | None = None,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Document]:
        """Finds documents.

        Args:
            filter: As for a collection, with names of columns; all where it is missing.
            sort: A column, `-column`, or pairs of columns and 1 or -1.
            skip: How many are left out at the beginning.
            limit: How many at most.

        Returns:
            The documents.

        Raises:
            EntityNotMigrated: Where the collection is not there.
        """
        entity, _ = self._models._entity(self.name)
        if limit < 1:
            raise _invalid("limit", "limit must be at least 1")
        found = _collection(entity).find(_filter(entity, filter)).skip(skip).limit(limit)
        if sort:
            found = found.sort(_order(entity, sort))
        return [_shown(entity, document) async for document in found]

    async def find_one(
        self,
        filter: Any = None,  # noqa: A002 - PyMongo's name
    ) -> Document | None:
        """Finds one document.

        Args:
            filter: As for `find`, or the value of the primary key.

        Returns:
            The document, or None.

        Raises:
            EntityNotMigrated: Where the collection is not there.
        """
        entity, _ = self._models._entity(self.name)
        found = await _collection(entity).find_one(_filter(entity, filter))
        return None if found is None else _shown(entity, found)

    async def create(self, values: Mapping[str, Any] | None = None, **more: Any) -> Document:
        """Makes a document.

        Args:
            values: Values of columns; those that are missing get their defaults.
            **more: More of them.

        Returns:
            The document.

        Raises:
            EntityNotMigrated: Where the collection is not there.
            HostError: `VALIDATION_ERROR` naming the column that does not fit in `details["path"]`,
                `CONFLICT` where a unique column has the value already.
        """
        from mozaiks.plugin import _model_checks as checks

        entity, entities = self._models._entity(self.name)
        given = checks.validated(entity, {**(values or {}), **more})
        document = checks.complete(entity, given)
        await checks.targets_exist(entity, entities, document)
        stored = {_field(entity, name): value for name, value in document.items()}
        with checks.conflicts(self.name):
            done = await _collection(entity).insert_one(stored)
        stored.setdefault("_id", done.inserted_id)
        return _shown(entity, stored)

    async def update(self, which: Any, values: Mapping[str, Any] | None = None, **more: Any) -> int:
        """Sets columns of documents.

        Args:
            which: A filter as for `find`, or the value of the primary key.
            values: Values of columns.
            **more: More of them.

        Returns:
            How many documents there were.

        Raises:
            EntityNotMigrated: Where the collection is not there.
            HostError: As for `create`.
        """
        from mozaiks.plugin import _model_checks as checks

        entity, entities = self._models._entity(self.name)
        given = checks.fitting(entity, {**(values or {}), **more})
        key = _key(entity)
        if key is not None and key in given:
            raise _invalid(key, "the primary key of a document does not change")
        if not given:
            raise _invalid("", "there is nothing to set")
        await checks.targets_exist(entity, entities, given)
        wanted = _filter(entity, which)
        if entity.get("model_code"):
            await checks.still_valid(entity, _collection(entity), wanted, given, _shown)
        with checks.conflicts(self.name):
            done = await _collection(entity).update_many(wanted, {"$set": given})
        return int(done.matched_count)

    async def delete(self, which: Any) -> dict[str, Any]:
        """Deletes documents, and does with those that refer to them as their entities say.

        Args:
            which: A filter as for `find`, or the value of the primary key.

        Returns:
            `deleted`, how many there were; `cascaded` and `set_null`, how many of each entity were
            deleted with them or had their column emptied.

        Raises:
            EntityNotMigrated: Where the collection is not there.
            HostError: `CONFLICT` where a document must not go as long as another refers to it,
                `LIMIT_EXCEEDED` where more than 10,000 documents would change. Nothing is done
                then.
        """
        from mozaiks.plugin import _model_links as links

        entity, entities = self._models._entity(self.name)
        return await links.delete(entity, entities, _filter(entity, which))


def _collection(entity: Mapping[str, Any]) -> Any:
    # Imported by who uses it: it brings PyMongo.
    from mozaiks.database import db

    return db[entity["table_name"]]


def _key(entity: Mapping[str, Any]) -> str | None:
    for column in entity["columns"]:
        if column["primary_key"]:
            name: str = column["name"]
            return name
    return None


def _field(entity: Mapping[str, Any], name: str) -> str:
    return "_id" if name == _key(entity) else name


def _filter(
    entity: Mapping[str, Any],
    which: Any,
) -> dict[str, Any]:
    """A filter with the primary key as `_id`; any other value is that of the primary key."""
    if which is None:
        return {}
    if not isinstance(which, Mapping):
        return {"_id": str(which) if isinstance(which, uuid.UUID) else which}
    out: dict[str, Any] = {}
    for name, value in which.items():
        if name in ("$and", "$or", "$nor") and isinstance(value, (list, tuple)):
            out[name] = [_filter(entity, each) for each in value]
        else:
            out[_field(entity, name)] = _plain(value)
    return out


def _plain(value: Any) -> Any:
    """What a filter compares with, as documents hold it."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.timezone.utc)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _order(
    entity: Mapping[str, Any], sort: str | Sequence[tuple[str, int]]
) -> list[tuple[str, int]]:
    if isinstance(sort, str):
        name, direction = (sort[1:], -1) if sort.startswith("-") else (sort, 1)
        return [(_field(entity, name), direction)]
    return [(_field(entity, name), direction) for name, direction in sort]


def _shown(entity: Mapping[str, Any], document: Mapping[str, Any]) -> Document:
    key = _key(entity)
    if key is None:
        return dict(document)
    return {(key if name == "_id" else name): value for name, value in document.items()}


def _invalid(path: str, message: str) -> HostError:
    return HostError("VALIDATION_ERROR", message, {"path": path})


models = Models()
