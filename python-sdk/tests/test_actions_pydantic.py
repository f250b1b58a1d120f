"""Models of pydantic as parameters, where it is installed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from mozaiks.actions._build import Action
from mozaiks.actions._errors import Misfit

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = pytest.importorskip("pydantic")


class Line(pydantic.BaseModel):
    item: str = pydantic.Field(min_length=1)
    count: int = 1


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    title: str
    user_id: str
    due: dt.datetime | None = None
    lines: list[Line] = pydantic.Field(default_factory=list)

    @pydantic.field_validator("title")
    @classmethod
    def shouts(cls, title: str) -> str:
        if title.isupper():
            raise ValueError("not so loud")
        return title


class Node(pydantic.BaseModel):
    label: str
    children: list[Node] = pydantic.Field(default_factory=list)


def no_context() -> Any:
    """No function of these wants a context."""


def arguments(function: Any, **sent: Any) -> dict[str, Any]:
    identity = {"user_id": "ann", "app_id": "shop", "_context": {}, "action": "create"}
    found = Action("create", function)
    return found.arguments({**sent, **identity}, no_context)


def test_a_model_is_the_whole() -> None:
    def create(order: Order) -> Order:
        return order

    found = Action("create", create)
    assert set(found.input["properties"]) == {"action", "title", "due", "lines"}
    assert found.input["required"] == ["action", "title"]
    assert found.input["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
    assert found.input["$defs"]["Line"]["properties"]["item"]["minLength"] == 1
    assert "user_id" in found.result["$defs"]["Order"]["properties"]
    got = arguments(create, title="x", due="2026-03-01T10:00:00Z", lines=[{"item": "a"}])["order"]
    assert (got.user_id, got.due.tzinfo, got.lines[0].count) == ("ann", dt.timezone.utc, 1)
    assert found.answer(got)["lines"] == [{"item": "a", "count": 1}]
    for sent, path in (
        ({"title": "LOUD"}, "/title"),
        ({"title": "x", "lines": [{"item": "a"}, {}]}, "/lines/1/item"),
        ({"title": "x", "more": 1}, "/more"),
        ({}, "/title"),
    ):
        with pytest.raises(Misfit) as raised:
            arguments(create, **sent)
        assert raised.value.pointer() == path


def test_models_within_and_holding_themselves() -> None:
    def create(nodes: list[Node], line: Line | None = None) -> list[Node]:
        return nodes

    found = Action("create", create)
    assert found.input["properties"]["nodes"]["items"] == {"$ref": "#/$defs/Node"}
    children = found.input["$defs"]["Node"]["properties"]["children"]
    assert children["items"] == {"$ref": "#/$defs/Node"}
    got = arguments(create, nodes=[{"label": "a", "children": [{"label": "b"}]}])
    assert got["nodes"][0].children[0].label == "b"

    def whole(node: Node) -> None: ...

    assert Action("create", whole).input["required"] == ["action", "label"]
    assert arguments(whole, label="a")["node"].label == "a"

    class Items(pydantic.RootModel[list[int]]):
        pass

    def root(items: Any) -> None: ...

    root.__annotations__ = {"items": Items}
    with pytest.raises(TypeError, match="Items is no object"):
        Action("create", root)
