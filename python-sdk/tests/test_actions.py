"""What signatures come to: schemas, arguments, answers."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import pytest
from bson import ObjectId
from typing_extensions import NotRequired

from mozaiks.actions import Call, Field
from mozaiks.actions._build import Action
from mozaiks.actions._errors import Misfit

Function = Callable[..., Any]
CONTEXT = {"app_id": "shop", "user_id": "ann", "username": "Ann", "roles": ["a"], "request_id": "r"}


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


Name = NewType("Name", str)


class Address(TypedDict):
    street: str
    city: NotRequired[str]


@dataclass
class Line:
    item: str
    count: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass
class Tree:
    label: str
    children: list[Tree] = field(default_factory=list)


@dataclass
class Left:
    child: Left | Right | None
    kind: Literal["left"] = "left"


@dataclass
class Right:
    child: Left | Right | None
    kind: Literal["right"] = "right"


@dataclass
class Order:
    title: str
    user_id: str
    lines: list[Line] = field(default_factory=list)
    action: str = ""


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("an even number is wanted")


def no_context() -> Any:
    """No function of these wants a context."""


def made(function: Function) -> Action:
    return Action("create", function)


def arguments(function: Function, **sent: Any) -> dict[str, Any]:
    identity = {"user_id": "ann", "app_id": "shop", "_context": CONTEXT, "action": "create"}
    return made(function).arguments({**sent, **identity}, no_context)


def one(annotation: Any) -> Function:
    def create(value: Any) -> None: ...

    create.__annotations__ = {"value": annotation}
    return create


def schema_of(annotation: Any) -> Any:
    return made(one(annotation)).input["properties"]["value"]


def value_of(annotation: Any, value: Any) -> Any:
    return arguments(one(annotation), value=value)["value"]


UTC = dt.timezone.utc
STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NULL = {"type": "null"}
MOMENT = {"type": "string", "format": "date-time"}
ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("annotation", "schema", "sent", "value"),
    [
        (str, STRING, "a", "a"),
        (int, {"type": "integer"}, 1.0, 1),
        (int, {"type": "integer"}, 10**30, 10**30),
        (float, {"type": "number"}, 1, 1.0),
        (bool, {"type": "boolean"}, True, True),
        (None, NULL, None, None),
        (Any, {}, [1, {"a": None}], [1, {"a": None}]),
        (list, {"type": "array", "items": {}}, [1, "a"], [1, "a"]),
        (list[int], {"type": "array", "items": {"type": "integer"}}, [1, 2], [1, 2]),
        (set[str], {"type": "array", "items": STRING, "uniqueItems": True}, ["a"], {"a"}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1], (1,)),
        (
            tuple[int, str],
            {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "prefixItems": [{"type": "integer"}, STRING],
            },
            [1, "a"],
            (1, "a"),
        ),
        (dict, {"type": "object"}, {"a": 1}, {"a": 1}),
        (
            dict[str, int],
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"a": 1},
            {"a": 1},
        ),
        (
            dict[int, str],
            {
                "type": "object",
                "propertyNames": {"pattern": "^-?[0-9]{1,18}$"},
                "additionalProperties": STRING,
            },
            {"-7": "a"},
            {-7: "a"},
        ),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "b"),
        (Literal[1], {"const": 1}, 1, 1),
        (Colour, {"type": "string", "enum": ["red", "blue"]}, "red", Colour.RED),
        (Level, {"enum": [1, 2]}, 2, Level.HIGH),
        # As authors of older Pythons write them.
        (Optional[str], {"anyOf": [STRING, NULL]}, None, None),  # noqa: UP045 - what is tested
        (Union[int, str], {"anyOf": [INTEGER, STRING]}, "7", "7"),  # noqa: UP007 - what is tested
        (str | dt.datetime, {"anyOf": [STRING, MOMENT]}, "soon", "soon"),
        (
            str | dt.datetime,
            {"anyOf": [STRING, MOMENT]},
            "2026-03-01T10:00:00Z",
            dt.datetime(2026, 3, 1, 10, tzinfo=UTC),
        ),
        (float | int, {"anyOf": [{"type": "number"}, {"type": "integer"}]}, 3, 3),
        (
            dt.datetime,
            MOMENT,
            "2026-03-01t10:00:00.1234567+02:00",
            dt.datetime(2026, 3, 1, 10, 0, 0, 123456, dt.timezone(dt.timedelta(hours=2))),
        ),
        (dt.date, {"type": "string", "format": "date"}, "2024-02-29", dt.date(2024, 2, 29)),
        (
            dt.time,
            {"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"},
            "09:30:00.5",
            dt.time(9, 30, 0, 500000),
        ),
        (uuid.UUID, {"type": "string", "format": "uuid"}, str(ID), ID),
        (
            decimal.Decimal,
            {"type": ["number", "string"], "pattern": r"^-?\d{1,400}(\.\d{1,400})?$"},
            "1.10",
            decimal.Decimal("1.10"),
        ),
        (
            ObjectId,
            {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"},
            "a" * 24,
            ObjectId("a" * 24),
        ),
        (Name, STRING, "x", "x"),
        (
            Annotated[int, Field(ge=1, lt=9, description="how many")],
            {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "description": "how many"},
            3,
            3,
        ),
        (
            Annotated[str, Field(min_length=1, max_length=5, pattern="^a")],
            {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a"},
            "abc",
            "abc",
        ),
        (
            Annotated[list[str], Field(max_length=2)],
            {"type": "array", "items": STRING, "maxItems": 2},
            [],
            [],
        ),
        (
            Annotated[str | None, Field(max_length=2)],
            {"anyOf": [STRING, NULL], "maxLength": 2},
            "a",
            "a",
        ),
    ],
)
def test_types_have_a_schema_and_a_value(
    annotation: Any, schema: Any, sent: Any, value: Any
) -> None:
    assert schema_of(annotation) == schema
    got = value_of(annotation, sent)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "sent", "path"),
    [
        (str, 1, ""),
        (int, True, ""),
        (int, 1.5, ""),
        (float, 10**400, ""),
        (float, False, ""),
        (bool, 1, ""),
        (list[int], [1, "a"], "/1"),
        (list[int], {}, ""),
        (tuple[int, str], [1], ""),
        (set[Any], [[]], ""),
        (dict[str, int], {"a": 1, "b/c": "x"}, "/b~1c"),
        (dict[int, int], {"x": 1}, "/x"),
        (Literal[1], True, ""),
        (Colour, "green", ""),
        (dt.datetime, "2026-02-30T10:00:00Z", ""),
        (dt.datetime, "2026-02-03T10:00:00", ""),
        (dt.datetime, 7, ""),
        (dt.date, "2026-02-30", ""),
        (dt.date, "20260203", ""),
        (dt.time, "25:00", ""),
        (uuid.UUID, "x", ""),
        (decimal.Decimal, "1e999999999", ""),
        (decimal.Decimal, "NaN", ""),
        (decimal.Decimal, "٣", ""),
        (ObjectId, "x", ""),
        (list[Line], [{"item": "a"}, {"item": "a", "count": "x"}], "/1/count"),
        (list[Line], [{}], "/0/item"),
        (list[Line], [{"item": "a", "colour": 1}], "/0/colour"),
        (Address | None, {"street": 1}, "/street"),
        (dict[str, Even], {"a": {"number": 3}}, "/a"),
        (Tree | None, {"label": "a", "children": [{"label": 1}]}, "/children/0/label"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(annotation: Any, sent: Any, path: str) -> None:
    with pytest.raises(Misfit) as raised:
        value_of(annotation, sent)
    assert raised.value.pointer() == "/value" + path


def test_parameters_and_defaults() -> None:
    async def create(
        call: Call, title: str, due: dt.datetime | None = None, *, colour: Colour = Colour.RED
    ) -> Line:
        """Makes a thing."""
        return Line(title)

    found = made(create)
    assert found.description == "Makes a thing."
    assert found.input == {
        "type": "object",
        "properties": {
            "action": {"const": "create"},
            "title": STRING,
            "due": {"anyOf": [MOMENT, NULL], "default": None},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        },
        "additionalProperties": False,
        "required": ["action", "title"],
    }
    got = arguments(create, title="Milk", due="2026-03-01T10:00:00Z")
    call = got.pop("call")
    assert got == {"title": "Milk", "due": dt.datetime(2026, 3, 1, 10, tzinfo=UTC)}
    assert (call.user_id, call.app_id, call.action, call.username) == (
        "ann",
        "shop",
        "create",
        "Ann",
    )
    assert (call.roles, call.request_id, call.is_superadmin) == (("a",), "r", False)
    with pytest.raises(Misfit, match="missing"):
        arguments(create)
    with pytest.raises(Misfit) as raised:
        arguments(create, title="Milk", call="mine")
    assert raised.value.pointer() == "/call"


def test_identity_is_the_gateways() -> None:
    async def create(
        user_id: str, app_id: str, action: str, _context: dict[str, Any], title: str
    ) -> None: ...

    assert set(made(create).input["properties"]) == {"action", "title"}
    assert made(create).input["required"] == ["action", "title"]
    got = arguments(create, title="x")
    assert (got["user_id"], got["app_id"], got["action"]) == ("ann", "shop", "create")
    assert got["_context"] is CONTEXT

    def order(order: Order) -> None: ...

    found = made(order)
    assert set(found.input["properties"]) == {"action", "title", "lines"}
    assert found.input["properties"]["action"] == {"const": "create"}
    assert found.input["required"] == ["action", "title"]
    assert arguments(order, title="x")["order"] == Order("x", "ann", [], "create")

    def hidden(user_jwt: str) -> None: ...

    with pytest.raises(TypeError, match="parameter user_jwt"):
        made(hidden)


def test_one_object_is_the_whole_and_may_hold_itself() -> None:
    def create(tree: Tree) -> Tree:
        return tree

    found = made(create)
    node: dict[str, Any] = {
        "type": "object",
        "properties": {
            "label": STRING,
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
        },
        "additionalProperties": False,
        "required": ["label"],
    }
    assert found.input == {
        **node,
        "properties": {"action": {"const": "create"}, **node["properties"]},
        "required": ["action", "label"],
        "$defs": {"Tree": node},
    }
    assert found.result["$ref"] == "#/$defs/Tree"
    got = arguments(create, label="a", children=[{"label": "b"}])
    assert got["tree"] == Tree("a", [Tree("b")])

    default = Line("x")

    def with_default(line: Line = default) -> None: ...

    with pytest.raises(TypeError, match="give the fields of Line their defaults"):
        made(with_default)


def test_further_names_where_the_function_takes_them() -> None:
    def create(title: str, **rest: int) -> None: ...

    assert made(create).input["additionalProperties"] == {"type": "integer"}
    assert arguments(create, title="x", a=1) == {"title": "x", "a": 1}
    with pytest.raises(Misfit):
        arguments(create, title="x", a="x")


def test_two_types_of_one_name() -> None:
    other: Any = dataclass(
        type("Line", (), {"__annotations__": {"n": int}, "__module__": __name__})
    )
    found = schema_of(tuple[Line, other])
    assert [item["$ref"] for item in found["prefixItems"]] == ["#/$defs/Line", "#/$defs/Line_2"]


def test_unions_of_types_that_hold_each_other_are_converted_once() -> None:
    for leaf, fits in ((None, True), ("x", False)):
        value: Any = leaf
        for depth in range(60):
            value = {"child": value, "kind": "left" if depth % 2 else "right"}
        if fits:
            assert isinstance(value_of(Left | Right, value), Left)
        else:
            with pytest.raises(Misfit):
                value_of(Left | Right, value)


def test_ten_thousand_items() -> None:
    sent = [{"item": str(number), "count": number} for number in range(10_000)]
    got = value_of(list[Line], sent)
    assert (len(got), got[-1]) == (10_000, Line("9999", 9999))


class Odd: ...


async def stream(call: Call) -> AsyncIterator[int]:
    yield 1


def pieces() -> Iterator[int]:
    yield 1


class Holder:
    def method(self, title: str) -> None: ...


def unknown_name(title: Any) -> None: ...


unknown_name.__annotations__ = {"title": "Nowhere"}


def positional(title: str, /) -> None: ...


def several(*titles: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (one(Odd), r"test_actions.py, line \d+: .*create\(\).*parameter value: Odd has no form"),
        (one(list[complex]), "parameter value: complex has no form"),
        (one(bytes), "parameter value: bytes"),
        (one(Callable[[], int]), "parameter value: .*Callable"),
        (one(dict[tuple[int, int], str]), "parameter value: keys are strings"),
        (one(Literal[b"x"]), "parameter value: b'x'"),
        (one(Annotated[str, Field(pattern="(")]), "parameter value: .*regular expression"),
        (stream, r"stream\(\).*a route"),
        (pieces, r"pieces\(\).*a route"),
        (Holder.method, "not a method"),
        (unknown_name, "parameter title: 'Nowhere'"),
        (positional, "parameter title"),
        (several, "parameter titles"),
    ],
)
def test_what_has_no_schema_is_named(function: Function, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        made(function)


def test_results() -> None:
    def create() -> None: ...

    def result_of(annotation: Any, value: Any) -> tuple[Any, Any]:
        create.__annotations__ = {"return": annotation}
        found = made(create)
        return found.result, found.answer(value)

    wrapped = {"type": "object", "properties": {"result": NULL}, "required": ["result"]}
    assert result_of(None, None) == (wrapped, {"result": None})
    schema, answer = result_of(list[Line], [Line("a")])
    assert schema["properties"]["result"] == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert schema["$defs"]["Line"]["required"] == ["item", "count", "tags"]
    assert answer == {"result": [Line("a")]}
    schema, answer = result_of(Line, Line("a"))
    assert schema["$ref"] == "#/$defs/Line"
    assert answer == {"item": "a", "count": 1, "tags": []}
    assert result_of(dict[str, int], {"a": 1})[1] == {"a": 1}
    assert result_of(Line | None, None)[1] == {"result": None}
    assert result_of(Line | Address, {"street": "x"})[1] == {"street": "x"}
    failure = {"error": "gone", "error_code": "NOT_FOUND"}
    assert result_of(list[Line], failure)[1] == failure
    assert result_of(Odd, {"a": 1})[0]["properties"]["result"] == {}
    create.__annotations__ = {}
    found = made(create)
    assert (found.answer({"a": 1}), found.answer(7)) == ({"a": 1}, {"result": 7})
    assert found.result == {"type": "object"}
