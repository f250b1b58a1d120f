"""JSON Schemas of types, and what makes values of the types out of JSON that fits."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from typing import Any

from mozaiks.actions import _objects
from mozaiks.actions._errors import Misfit, Unsupported
from mozaiks.actions._field import limited
from mozaiks.actions._scalars import WRITTEN, scalar

# What has been converted already, by shape and value: without it unions of types that hold each
# other would be tried again on every level.
Memo = dict[tuple[int, int], Any]
Convert = Callable[[Any, Memo], Any]
Schema = dict[str, Any]

_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    abc.Sequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    abc.MutableSequence: list,
    abc.Set: set,
    abc.MutableSet: set,
}
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)
_UNIONS = (typing.Union, types.UnionType)
# Deeper than any type that was meant.
_MAX_DEPTH = 40


@dataclasses.dataclass(frozen=True)
class Shape:
    """A type as JSON.

    Attributes:
        schema: What fits.
        convert: Makes a value of what fits, or raises `Misfit`.
        late: How late it is tried among the types of a union.
    """

    schema: Schema
    convert: Convert
    late: int = 1


class Named:
    """A shape with a name, which may hold itself."""

    def __init__(self, name: str) -> None:
        """Not known yet but for its name.

        Args:
            name: Among the `$defs`.
        """
        self.name = name
        self.whole: Convert | None = None
        self.shape = Shape({"$ref": f"#/$defs/{name}"}, self.convert)

    def convert(self, value: Any, memo: Memo) -> Any:
        """As `Shape.convert`; of one value once.

        Args:
            value: JSON.
            memo: What has been converted already.

        Returns:
            A value of the type.

        Raises:
            Misfit: If it does not fit.
        """
        assert self.whole is not None, "a shape is complete before a call comes"
        # Texts and numbers are shared: their ids say nothing of where they stand.
        if type(value) not in (dict, list):
            return self.whole(value, memo)
        key = (id(self), id(value))
        if key not in memo:
            try:
                memo[key] = self.whole(value, memo)
            except Misfit as misfit:
                memo[key] = misfit
        found = memo[key]
        if isinstance(found, Misfit):
            raise Misfit(found.message, found.path)
        return found


class Shapes:
    """Shapes of the types that one schema holds.

    Attributes:
        definitions: Schemas of its named types, for `$defs`.
    """

    def __init__(self, *, written: bool = False) -> None:
        """Holds nothing.

        Args:
            written: Whether the schema is of results: there what has no schema may be anything.
        """
        self.written = written
        self.definitions: dict[str, Schema] = {}
        self._known: dict[Any, Named] = {}
        self._depth = 0

    def of(self, wanted: Any) -> Shape:
        """The shape of a type.

        Args:
            wanted: The type, as an annotation has it.

        Returns:
            Its shape.

        Raises:
            Unsupported: If JSON has no form for it.
        """
        if self._depth >= _MAX_DEPTH:
            raise Unsupported(f"it is nested more than {_MAX_DEPTH} levels deep")
        self._depth += 1
        try:
            return self._of(wanted)
        except Unsupported:
            if self.written:
                return _ANYTHING
            raise
        finally:
            self._depth -= 1

    def named(self, key: Any, name: str, build: Callable[[str], Shape]) -> Shape:
        """The shape of a type that has a name of its own, made once.

        Args:
            key: The type.
            name: Its name; one that is taken gets a number.
            build: Makes it, given the name that it has got.

        Returns:
            A reference to it.
        """
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Named(self.free(name))
            # The place is taken before what it holds is looked at.
            self.definitions[found.name] = {}
            built = build(found.name)
            self.definitions[found.name], found.whole = built.schema, built.convert
        return found.shape

    def free(self, name: str) -> str:
        """A name for a definition that no other has.

        Args:
            name: What it should be.

        Returns:
            What it can be.
        """
        name = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in name)
        found, number = name, 1
        while found in self.definitions:
            number += 1
            found = f"{name}_{number}"
        return found

    def _of(self, wanted: Any) -> Shape:
        if wanted is Any or wanted is object:
            return _ANYTHING
        if wanted is None:
            wanted = type(None)
        found = scalar(wanted)
        if found is not None:
            schema, make, late = found
            if self.written:
                schema = WRITTEN.get(wanted, schema)
            return Shape(dict(schema), lambda value, _: make(value), late)
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is typing.Annotated:
            inner = self.of(arguments[0])
            return dataclasses.replace(inner, schema=limited(inner.schema, arguments[1:]))
        if origin in _UNIONS:
            return self._union(arguments)
        if origin is typing.Literal:
            return _literal(arguments)
        collection = origin or wanted
        if collection is tuple:
            return self._tuple(arguments)
        if _is_in(collection, _LISTS):
            return self._list(collection, *(arguments or (Any,)))
        if _is_in(collection, _DICTS):
            return self._dict(*(arguments or (Any, Any)))
        if isinstance(wanted, typing.NewType):
            return self.of(wanted.__supertype__)
        if hasattr(wanted, "__value__") and origin is None:
            # `type Tree = …`, which may name itself.
            return self.named(wanted, wanted.__name__, lambda _: self.of(wanted.__value__))
        if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
            return _enumeration(wanted)
        found_object = _objects.shape(self, wanted)
        if found_object is not None:
            return found_object
        shown = wanted.__qualname__ if isinstance(wanted, type) else repr(wanted)
        raise Unsupported(f"{shown} has no form in JSON")

    def _union(self, wanted: tuple[Any, ...]) -> Shape:
        shapes = [self.of(each) for each in wanted]
        if any(not shape.schema for shape in shapes):
            return _ANYTHING
        # What takes fewer values is tried first; of equals the order is the author's.
        tried = sorted(shapes, key=lambda shape: shape.late)

        def convert(value: Any, memo: Memo) -> Any:
            misfits = []
            for shape in tried:
                try:
                    return shape.convert(value, memo)
                except Misfit as misfit:
                    misfits.append(misfit)
            # Of several the one that got furthest says most.
            raise max(misfits, key=lambda misfit: len(misfit.path))

        schemas: list[Schema] = []
        for shape in shapes:
            if shape.schema not in schemas:
                schemas.append(shape.schema)
        late = max(shape.late for shape in shapes)
        return Shape(schemas[0] if len(schemas) == 1 else {"anyOf": schemas}, convert, late)

    def _list(self, kind: Any, item: Any) -> Shape:
        inner, make = self.of(item), _LISTS[kind]
        schema: Schema = {"type": "array", "items": inner.schema}
        if kind in _SETS:
            schema["uniqueItems"] = not self.written

        def convert(value: Any, memo: Memo) -> Any:
            items = _converted(_list_of(value), inner, memo)
            try:
                return make(items)
            except TypeError:
                raise Misfit("values that a set can hold are wanted") from None

        return Shape(schema, convert)

    def _tuple(self, wanted: tuple[Any, ...]) -> Shape:
        if not wanted:
            inner = _ANYTHING
        elif len(wanted) == 2 and wanted[1] is Ellipsis:
            inner = self.of(wanted[0])
        else:
            return self._fixed_tuple([] if wanted == ((),) else [self.of(each) for each in wanted])
        return Shape(
            {"type": "array", "items": inner.schema},
            lambda value, memo: tuple(_converted(_list_of(value), inner, memo)),
        )

    def _fixed_tuple(self, shapes: list[Shape]) -> Shape:
        count = len(shapes)

        def convert(value: Any, memo: Memo) -> Any:
            if len(_list_of(value)) != count:
                raise Misfit(f"an array of {count} is wanted")
            pairs = enumerate(zip(shapes, value, strict=True))
            return tuple(at_step(shape, at, item, memo) for at, (shape, item) in pairs)

        schema: Schema = {"type": "array", "minItems": count, "maxItems": count}
        if shapes:
            schema["prefixItems"] = [shape.schema for shape in shapes]
        return Shape(schema, convert)

    def _dict(self, key: Any, item: Any) -> Shape:
        keys, inner = self.of(key), self.of(item)
        schema: Schema = {"type": "object"}
        as_int = keys.schema.get("type") == "integer"
        if as_int:
            schema["propertyNames"] = {"pattern": "^-?[0-9]{1,18}$"}
        elif key is not Any and key is not str:
            if keys.schema.get("type") != "string" and "$ref" not in keys.schema:
                raise Unsupported(f"keys are strings in JSON, not {key!r}")
            schema["propertyNames"] = keys.schema
        if inner.schema:
            schema["additionalProperties"] = inner.schema

        def key_of(name: str, memo: Memo) -> Any:
            if as_int:
                try:
                    return int(name)
                except ValueError:
                    raise Misfit("a key that is an integer is wanted", [name]) from None
            return keys.convert(name, memo)

        def convert(value: Any, memo: Memo) -> Any:
            if type(value) is not dict:
                raise Misfit("an object is wanted")
            return {
                key_of(name, memo): at_step(inner, name, item, memo) for name, item in value.items()
            }

        return Shape(schema, convert)


_ANYTHING = Shape({}, lambda value, _: value, late=9)


def _is_in(kind: Any, kinds: Any) -> bool:
    try:
        return kind in kinds
    except TypeError:
        return False


def _list_of(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Misfit("an array is wanted")
    return value


def _converted(items: list[Any], inner: Shape, memo: Memo) -> list[Any]:
    convert = inner.convert
    converted: list[Any] = []
    try:
        for item in items:
            converted.append(convert(item, memo))
    except Misfit as misfit:
        raise misfit.within(len(converted)) from None
    return converted


def at_step(shape: Shape, step: str | int, value: Any, memo: Memo) -> Any:
    """Converts what is one level further in.

    Args:
        shape: Its shape.
        step: The key or position there.
        value: JSON.
        memo: What has been converted already.

    Returns:
        A value of the type.

    Raises:
        Misfit: If it does not fit, with the step in its path.
    """
    try:
        return shape.convert(value, memo)
    except Misfit as misfit:
        raise misfit.within(step) from None


def _choice(schema: Schema, made: dict[tuple[type, Any], Any]) -> Shape:
    def convert(value: Any, _: Memo) -> Any:
        try:
            return made[type(value), value]
        except (KeyError, TypeError):
            shown = ", ".join(repr(value) for _, value in made)
            raise Misfit(f"one of {shown} is wanted") from None

    return Shape(schema, convert, late=0)


def _values(wanted: tuple[Any, ...]) -> dict[tuple[type, Any], Any]:
    made: dict[tuple[type, Any], Any] = {}
    for each in wanted:
        value = each.value if isinstance(each, enum.Enum) else each
        if type(value) not in (str, int, float, bool, type(None)):
            raise Unsupported(f"{each!r} has no form in JSON")
        made.setdefault((type(value), value), each)
    if not made:
        raise Unsupported("there is nothing to choose from")
    return made


def _literal(wanted: tuple[Any, ...]) -> Shape:
    made = _values(wanted)
    values = [value for _, value in made]
    return _choice({"const": values[0]} if len(values) == 1 else _options(values), made)


def _enumeration(wanted: type[enum.Enum]) -> Shape:
    made = _values(tuple(wanted))
    return _choice(_options([value for _, value in made]), made)


def _options(values: list[Any]) -> Schema:
    schema: Schema = {"enum": values}
    if all(type(value) is str for value in values):
        schema = {"type": "string", **schema}
    return schema
