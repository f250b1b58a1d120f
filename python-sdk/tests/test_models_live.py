"""Models on a real server: a `docstore` process, or the one of `TEST_MONGODB_URI`."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.database import db
from mozaiks.errors import HostError
from mozaiks.plugin import _model_links
from mozaiks.plugin._models import Models
from mozaiks.testing import TestGateway
from tests.test_models import CART, column


def line(on_delete: str, name: str = "Line") -> dict[str, Any]:
    return {
        "entity_name": name,
        "table_name": name.lower(),
        "columns": [
            column("id", "integer", primary_key=True, nullable=False),
            column("cart", "uuid"),
            column("above", "integer"),
        ],
        "foreign_keys": [
            {"column": "cart", "table": "cart", "target": "id", "on_delete": on_delete},
            {"column": "above", "table": name.lower(), "target": "id", "on_delete": "cascade"},
            {"column": "cart", "table": "users", "target": "id", "on_delete": "restrict"},
        ],
    }


class Known(Models):
    """Models of these entities, whatever the gateway says."""

    def __init__(self, *entities: dict[str, Any]) -> None:
        super().__init__()
        self._all = {each["entity_name"]: each for each in entities}

    def _entities(self) -> dict[str, Any]:
        return self._all


async def test_documents_through_their_life(gateway: TestGateway) -> None:
    models = Known(CART)
    made = await models.Cart.create({"name": "a"}, count=2)
    assert made["count"] == 2
    assert "_id" not in made
    await models.Cart.create(name="b")
    assert [each["name"] for each in await models.Cart.find(sort="-name", limit=1)] == ["b"]
    assert [each["name"] for each in await models.Cart.find(sort="name", skip=1)] == ["b"]
    assert await models.Cart.find_one(made["id"]) is not None
    assert await models.Cart.find_one({"name": "none"}) is None
    assert await models.Cart.update(made["id"], name="c") == 1
    assert await models.Cart.update({"name": "none"}, {"count": 1}) == 0
    stored = await db["cart"].find_one({"_id": made["id"]})
    assert stored is not None
    assert stored["name"] == "c"
    for wrong in ({"id": made["id"]}, {}):
        with pytest.raises(HostError):
            await models.Cart.update(made["id"], wrong)
    with pytest.raises(HostError):
        await models.Cart.find(limit=0)
    await db["cart"].create_index("name", unique=True)
    with pytest.raises(HostError) as refused:
        await models.Cart.create(name="c")
    assert refused.value.error_code == "CONFLICT"
    assert await models.Cart.delete({}) == {"deleted": 2, "cascaded": {}, "set_null": {}}


async def test_what_the_collection_refuses_is_said(gateway: TestGateway) -> None:
    await db.create_collection("cart", validator={"count": {"$lt": 5}})
    with pytest.raises(HostError) as refused:
        await Known(CART).Cart.create(count=7)
    assert refused.value.error_code == "VALIDATION_ERROR"


async def test_what_refers_goes_is_emptied_or_stays(gateway: TestGateway) -> None:
    for on_delete, expected, left in [
        ("cascade", {"deleted": 1, "cascaded": {"Line": 3}, "set_null": {}}, 1),
        ("set_null", {"deleted": 1, "cascaded": {}, "set_null": {"Line": 2}}, 4),
    ]:
        models = Known(CART, line(on_delete))
        cart, other = await models.Cart.create(), await models.Cart.create()
        for number, of, above in [(1, cart, None), (2, cart, 1), (3, other, 2), (4, other, None)]:
            await models.Line.create(id=number, cart=of["id"], above=above)
        with pytest.raises(HostError) as refused:
            await models.Line.create(id=9, above=77)
        assert refused.value.details == {"path": "above"}
        with pytest.raises(HostError):
            await models.Line.update(4, above=77)
        assert await models.Cart.delete(cart["id"]) == expected
        assert len(await models.Line.find()) == left
        await db["cart"].drop()
        await db["line"].drop()


async def test_a_document_that_is_needed_stays_with_all_others(gateway: TestGateway) -> None:
    models = Known(CART, line("cascade"), line("restrict", "Bill"))
    cart = await models.Cart.create()
    await models.Line.create(id=1, cart=cart["id"])
    await models.Bill.create(id=1, cart=cart["id"])
    with pytest.raises(HostError) as refused:
        await models.Cart.delete(cart["id"])
    assert refused.value.error_code == "CONFLICT"
    assert len(await models.Line.find()) == 1
    assert len(await models.Cart.find()) == 1
    assert (await models.Bill.delete(1))["deleted"] == 1
    assert (await models.Cart.delete(cart["id"]))["cascaded"] == {"Line": 1}


async def test_documents_that_refer_to_each_other_end(gateway: TestGateway) -> None:
    models = Known(line("cascade"))
    await models.Line.create(id=1)
    await models.Line.create(id=2, above=1)
    await models.Line.update(1, above=2)
    done = await models.Line.delete(1)
    assert done == {"deleted": 1, "cascaded": {"Line": 1}, "set_null": {}}


async def test_too_much_at_a_time_is_refused(
    gateway: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_model_links, "MAX_CHANGED", 3)
    models = Known(CART, line("cascade"))
    cart = await models.Cart.create()
    for number in range(4):
        await models.Line.create(id=number, cart=cart["id"])
    with pytest.raises(HostError) as refused:
        await models.Cart.delete(cart["id"])
    assert refused.value.error_code == "LIMIT_EXCEEDED"
    assert len(await models.Line.find()) == 4
