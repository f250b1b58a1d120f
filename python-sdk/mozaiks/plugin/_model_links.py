"""What becomes of documents that refer to those which are deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from mozaiks.errors import HostError
from mozaiks.plugin._models import _collection, _field

# Documents that one deletion may change, with all that follows from it.
MAX_CHANGED = 10_000
# Values of one filter.
_AT_ONCE = 1000


class _Plan:
    """What is to be deleted and emptied, found out before anything is."""

    def __init__(self, entities: Mapping[str, Any]) -> None:
        self.entities = entities
        # By entity: the ids, in the order in which they were found.
        self.gone: dict[str, dict[Any, None]] = {}
        # By entity and column.
        self.emptied: dict[tuple[str, str], dict[Any, None]] = {}
        self._restricted: list[tuple[str, str, dict[Any, str]]] = []
        self._changed = 0

    def _count(self, by: int) -> None:
        self._changed += by
        if self._changed > MAX_CHANGED:
            what = f"over {MAX_CHANGED} documents would change: delete fewer at a time"
            raise HostError("LIMIT_EXCEEDED", what)

    async def follow(self, entity: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
        """Finds what is to go, and what follows from it.

        Args:
            entity: Whose documents.
            wanted: Which of them.

        Returns:
            How many of them there are.
        """
        left: deque[tuple[Mapping[str, Any], list[dict[str, Any]]]] = deque()
        found = await self._take(entity, wanted)
        left.append((entity, found))
        while left:
            target, documents = left.popleft()
            if not documents:
                continue
            for other in self.entities.values():
                for key in other["foreign_keys"]:
                    if key["table"] == target["table_name"]:
                        more = await self._referring(target, documents, other, key)
                        left.append((other, more))
        for name, sentence, ids in self._restricted:
            kept = [each for each in ids if each not in self.gone.get(name, {})]
            if kept:
                raise HostError("CONFLICT", sentence, {"list": [str(each) for each in kept[:20]]})
        return len(found)

    async def _take(
        self, entity: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Documents that are to go and were not known to."""
        ids = self.gone.setdefault(entity["entity_name"], {})
        documents = []
        async for document in _collection(entity).find(wanted).limit(MAX_CHANGED + 1):
            if document["_id"] not in ids:
                self._count(1)
                ids[document["_id"]] = None
                documents.append(document)
        return documents

    async def _referring(
        self,
        target: Mapping[str, Any],
        documents: list[dict[str, Any]],
        other: Mapping[str, Any],
        key: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Documents of another entity that are to go with these."""
        field, column = _field(target, key["target"]), _field(other, key["column"])
        values = [each[field] for each in documents if each.get(field) is not None]
        more: list[dict[str, Any]] = []
        for at in range(0, len(values), _AT_ONCE):
            wanted = {column: {"$in": values[at : at + _AT_ONCE]}}
            if key["on_delete"] == "cascade":
                more += await self._take(other, wanted)
                continue
            name = other["entity_name"]
            ids: dict[Any, None] = {}
            async for found in _collection(other).find(wanted, {"_id": 1}).limit(MAX_CHANGED + 1):
                ids[found["_id"]] = None
            if not ids:
                continue
            if key["on_delete"] == "restrict":
                sentence = (
                    f"{name} has documents whose {key['column']} refers to what would be deleted "
                    f"of {target['entity_name']}"
                )
                self._restricted.append((name, sentence, dict.fromkeys(ids, "")))
            else:
                self._count(len(ids))
                self.emptied.setdefault((name, column), {}).update(ids)
        return more


async def delete(
    entity: Mapping[str, Any], entities: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Deletes documents and does with those that refer to them as their entities say.

    What is to be done is found out first: where it must not be, nothing is. It is then done from
    the outermost documents inwards, so that whoever is stopped in between leaves no document that
    refers to none.

    Args:
        entity: Whose documents.
        entities: All of the plugin's.
        wanted: Which of them.

    Returns:
        `deleted`, `cascaded` and `set_null`.
    """
    plan = _Plan(entities)
    count = await plan.follow(entity, wanted)
    set_null: dict[str, int] = {}
    for (name, column), ids in plan.emptied.items():
        left = [each for each in ids if each not in plan.gone.get(name, {})]
        for at in range(0, len(left), _AT_ONCE):
            some = {"_id": {"$in": left[at : at + _AT_ONCE]}}
            done = await _collection(entities[name]).update_many(some, {"$set": {column: None}})
            set_null[name] = set_null.get(name, 0) + int(done.modified_count)
    cascaded: dict[str, int] = {}
    deleted = 0
    for name, ids in reversed(list(plan.gone.items())):
        all_ids = list(reversed(list(ids)))
        for at in range(0, len(all_ids), _AT_ONCE):
            some = {"_id": {"$in": all_ids[at : at + _AT_ONCE]}}
            done = await _collection(entities[name]).delete_many(some)
            if name == entity["entity_name"]:
                deleted += int(done.deleted_count)
            else:
                cascaded[name] = cascaded.get(name, 0) + int(done.deleted_count)
    # Of the entity itself some may have gone with others.
    if deleted > count:
        cascaded[entity["entity_name"]] = deleted - count
        deleted = count
    return {"deleted": deleted, "cascaded": cascaded, "set_null": set_null}
