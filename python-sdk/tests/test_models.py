"""Models: what is asked, checked and sent, against a stand-in for the gateway."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from core.models import models as core_models
from mozaiks import _host
from mozaiks.errors import EntityNotMigrated, HostError
from mozaiks.plugin import _model_checks as checks
from mozaiks.plugin._models import Models, _filter, _order, _shown


def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "primary_key": False, "nullable": True, **more}


CART: dict[str, Any] = {
    "entity_name": "Cart",
    "table_name": "cart",
    "columns": [
        column("id", "uuid", primary_key=True, nullable=False, default={"kind": "uuid"}),
        column("user_id", "uuid"),
        column("count", "integer", nullable=False, default={"kind": "literal", "value": 0}),
        column("large", "bigint"),
        column("total", "decimal"),
        column("weight", "double"),
        column("open", "boolean"),
        column("at", "date", default={"kind": "now"}),
        column("more", "json"),
        column("name", "text", max_length=3),
        column("state", "enum", values=["a", "b"]),
        column("tags", "array", items={"type": "text"}),
    ],
    "foreign_keys": [],
}


class Host:
    serves_database = False

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.revision = "one"

    def query(self, operation: str, payload: bytes) -> bytes:
        assert operation == "entities.models"
        asked = json.loads(payload)
        self.asked.append(asked.get("revision"))
        answer: dict[str, Any] = {"revision": self.revision}
        if asked.get("revision") != self.revision:
            answer["entities"] = {"Cart": CART} if self.revision else {}
        return json.dumps(answer).encode()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    before = _host.install(host)  # type: ignore[arg-type]  # no more of a host is asked for
    yield host
    _host.install(before)


def test_what_is_known_is_not_sent_again(host: Host) -> None:
    models = Models()
    assert list(models) == ["Cart"]
    assert "Cart" in models
    assert models.Cart.table_name == "cart"
    assert host.asked == [None, "one", "one"]
    # Another app, or another version.
    host.revision = ""
    with pytest.raises(EntityNotMigrated) as refused:
        _ = models["Cart"].table_name
    assert refused.value.error_code == "ENTITY_NOT_MIGRATED"
    host.revision = "one"
    assert "Cart" in models
    assert core_models["Cart"].name == "Cart"
    with pytest.raises(AttributeError):
        _ = models._nothing


def test_values_become_what_documents_hold() -> None:
    identity = uuid.uuid4()
    given = {
        "id": identity,
        "user_id": "whoever",
        "count": 2,
        "large": 3,
        "total": decimal.Decimal("1.5"),
        "weight": 1,
        "open": True,
        "at": "2026-01-02T03:04:05Z",
        "more": {"a": [1]},
        "name": "abc",
        "state": "b",
        "tags": ("x", "y"),
    }
    stored = checks.fitting(CART, given)
    assert stored["id"] == str(identity)
    assert stored["user_id"] == "whoever"
    assert isinstance(stored["large"], Int64)
    assert not isinstance(stored["count"], Int64)
    assert stored["total"] == Decimal128("1.5")
    assert isinstance(stored["weight"], float)
    assert stored["at"] == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    assert stored["tags"] == ["x", "y"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"id": "x"}, "id"),
        ({"count": None}, "count"),
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"count": 1 << 31}, "count"),
        ({"large": 1 << 63}, "large"),
        ({"total": "much"}, "total"),
        ({"total": float("nan")}, "total"),
        ({"weight": "1"}, "weight"),
        ({"open": 1}, "open"),
        ({"at": "soon"}, "at"),
        ({"at": 1}, "at"),
        ({"more": "x"}, "more"),
        ({"name": "four"}, "name"),
        ({"state": "c"}, "state"),
        ({"tags": ["a", 1]}, "tags[1]"),
        ({"tags": [None]}, "tags[0]"),
        ({"tags": "abc"}, "tags"),
        ({"user_id": 1}, "user_id"),
        ({"$set": {"a": 1}}, "$set"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], path: str) -> None:
    with pytest.raises(HostError) as refused:
        checks.fitting(CART, values)
    assert refused.value.error_code == "VALIDATION_ERROR"
    assert refused.value.details == {"path": path}


def test_defaults_are_filled_in() -> None:
    document = checks.complete(CART, {"name": "a"})
    assert uuid.UUID(document["id"])
    assert document["count"] == 0
    assert document["at"].tzinfo is not None
    assert document["total"] is None
    # The gateway says whose it is.
    assert "user_id" not in document
    needed = {**CART, "columns": [column("n", "integer", nullable=False)]}
    with pytest.raises(HostError):
        checks.complete(needed, {})


def test_the_primary_key_has_its_own_name() -> None:
    identity = uuid.uuid4()
    assert _filter(CART, None) == {}
    assert _filter(CART, "x") == {"_id": "x"}
    assert _filter(CART, identity) == {"_id": str(identity)}
    asked = {"$or": [{"id": {"$in": [identity]}}, {"name": "a"}]}
    expected = {"$or": [{"_id": {"$in": [str(identity)]}}, {"name": "a"}]}
    assert _filter(CART, asked) == expected
    assert _order(CART, "-id") == [("_id", -1)]
    assert _order(CART, [("name", 1)]) == [("name", 1)]
    assert _shown(CART, {"_id": 1, "name": "a"}) == {"id": 1, "name": "a"}


def test_a_class_of_pydantics_checks_too() -> None:
    pytest.importorskip("pydantic")
    code = (
        "import pydantic\n\nclass Cart(pydantic.BaseModel):\n"
        "    name: str = pydantic.Field(min_length=2)\n"
        "    count: int = 4\n"
    )
    entity = {**CART, "model_code": code}
    assert checks.validated(entity, {"name": "ab"}) == {"name": "ab", "count": 4}
    with pytest.raises(HostError) as refused:
        checks.validated(entity, {"name": "a"})
    assert refused.value.details == {"path": "name"}
    with pytest.raises(HostError):
        checks.validated({**CART, "model_code": "x = 1\n"}, {})
    assert checks.validated(CART, {"a": 1}) == {"a": 1}
