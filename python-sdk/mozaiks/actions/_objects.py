"""Types whose JSON is an object of certain names: dataclasses, TypedDicts, models of pydantic."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mozaiks import _json
from mozaiks.actions._errors import Misfit, Unsupported

if TYPE_CHECKING:
    from mozaiks.actions._shapes import Memo, Shape, Shapes

_QUALIFIERS = ("Required", "NotRequired", "ReadOnly")


@dataclasses.dataclass(frozen=True)
class Property:
    """A name of an object.

    Attributes:
        name: The name.
        shape: What it may hold.
        required: Whether it must be there.
    """

    name: str
    shape: Shape
    required: bool


def is_object(wanted: Any) -> bool:
    """Whether a type is one of these.

    Args:
        wanted: The type.

    Returns:
        Whether it is.
    """
    return _is_dataclass(wanted) or _is_typed_dict(wanted) or _is_model(wanted)


def shape(shapes: Shapes, wanted: Any) -> Shape | None:
    """The shape of a type, if it is one of these.

    Args:
        shapes: Those of the same schema.
        wanted: The type.

    Returns:
        A reference to it; None for other types.

    Raises:
        Unsupported: If something in it has no form in JSON.
    """
    if _is_model(wanted):
        return shapes.named(wanted, wanted.__name__, lambda name: _model(shapes, wanted, name))
    if _is_dataclass(wanted):
        return shapes.named(wanted, wanted.__name__, lambda _: _dataclass(shapes, wanted))
    if _is_typed_dict(wanted):
        return shapes.named(wanted, wanted.__name__, lambda _: _typed_dict(shapes, wanted))
    return None


def with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    """A schema that names a default, where JSON has a form for it.

    Args:
        schema: Of what the default stands for.
        default: The default.

    Returns:
        A schema.
    """
    try:
        return {**schema, "default": _json.loads(_json.dumps(default))}
    except (TypeError, ValueError):
        return schema


def hints_of(holder: Any) -> dict[str, Any]:
    """The annotations of a class or function, with what is written as text looked up.

    Args:
        holder: The class or function.

    Returns:
        Types by name.

    Raises:
        Unsupported: If a name in them is not there.
    """
    try:
        return typing.get_type_hints(holder, include_extras=True)
    except Exception as error:
        raise Unsupported(f"an annotation cannot be looked up: {error}") from None


def _is_dataclass(wanted: Any) -> bool:
    return isinstance(wanted, type) and dataclasses.is_dataclass(wanted)


def _is_typed_dict(wanted: Any) -> bool:
    # Those of typing_extensions are no class of typing's.
    return isinstance(wanted, type) and hasattr(wanted, "__required_keys__")


def _is_model(wanted: Any) -> bool:
    return isinstance(wanted, type) and all(
        callable(getattr(wanted, name, None))
        for name in ("model_json_schema", "model_validate_json", "model_dump")
    )


def _property(shapes: Shapes, owner: type, name: str, wanted: Any, required: bool) -> Property:
    try:
        return Property(name, shapes.of(wanted), required)
    except Unsupported as error:
        raise Unsupported(f"{owner.__name__}.{name}: {error}") from None


def _dataclass(shapes: Shapes, wanted: Any) -> Shape:
    hints = hints_of(wanted)
    properties, defaults = [], {}
    for field in dataclasses.fields(wanted):
        if not (field.init or shapes.written):
            continue
        has_default = field.default is not dataclasses.MISSING
        made = field.default_factory is not dataclasses.MISSING
        required = shapes.written or not (has_default or made)
        properties.append(_property(shapes, wanted, field.name, hints[field.name], required))
        if has_default and not shapes.written:
            defaults[field.name] = field.default
    known = {each.name for each in properties} | {"self"}
    beside = [each for each in _needed(wanted.__init__) if each not in known]
    if beside and not shapes.written:
        raise Unsupported(f"{wanted.__name__} needs {beside[0]}, which is no field")

    def make(values: dict[str, Any]) -> Any:
        try:
            return wanted(**values)
        except ValueError as error:
            # What `__post_init__` does not take.
            raise Misfit(str(error) or "it is not taken") from None

    return _of_properties(properties, defaults, make)


def _needed(init: Any) -> list[str]:
    code = init.__code__
    names: list[str] = list(code.co_varnames[: code.co_argcount])
    names = names[: len(names) - len(init.__defaults__ or ())]
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return names + [each for each in keywords if each not in (init.__kwdefaults__ or {})]


def _typed_dict(shapes: Shapes, wanted: Any) -> Shape:
    properties = []
    for name, hint in hints_of(wanted).items():
        required = name in wanted.__required_keys__
        while (qualifier := _qualifier(hint)) is not None:
            # As text they are not among the class's own lists.
            required = {"Required": True, "NotRequired": False}.get(qualifier, required)
            hint = typing.get_args(hint)[0]
        properties.append(_property(shapes, wanted, name, hint, required))
    return _of_properties(properties, {}, lambda values: values)


def _qualifier(hint: Any) -> str | None:
    name = getattr(typing.get_origin(hint), "_name", None)
    return name if name in _QUALIFIERS else None


def _of_properties(
    properties: list[Property], defaults: dict[str, Any], make: Callable[[dict[str, Any]], Any]
) -> Shape:
    from mozaiks.actions._shapes import Shape, at_step

    by_name = {each.name: each for each in properties}
    # What tells one object of a union from another is looked at first.
    ordered = sorted(properties, key=lambda each: each.shape.late)

    def convert(value: Any, memo: Memo) -> Any:
        if type(value) is not dict:
            raise Misfit("an object is wanted")
        for name in value:
            if name not in by_name:
                raise Misfit("it is not known here", [name])
        made = {}
        for each in ordered:
            if each.name in value:
                made[each.name] = at_step(each.shape, each.name, value[each.name], memo)
            elif each.required:
                raise Misfit("it is missing", [each.name])
        return make(made)

    return Shape(object_schema(properties, defaults), convert)


def object_schema(properties: list[Property], defaults: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has these names and no others.

    Args:
        properties: The names.
        defaults: What those stand for that may be missing.

    Returns:
        A schema.
    """
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            each.name: with_default(each.shape.schema, defaults[each.name])
            if each.name in defaults
            else each.shape.schema
            for each in properties
        },
        "additionalProperties": False,
    }
    required = [each.name for each in properties if each.required]
    if required:
        schema["required"] = required
    return schema


def _model(shapes: Shapes, wanted: Any, name: str) -> Shape:
    from mozaiks.actions._shapes import Shape

    try:
        schema: dict[str, Any] = wanted.model_json_schema(
            mode="serialization" if shapes.written else "validation",
            ref_template="#/$defs/{model}",
        )
    except Exception as error:
        # pydantic's own classes of errors are not known here.
        reason = str(error).split("\n", 1)[0]
        raise Unsupported(f"{wanted.__name__} has no schema: {reason}") from None
    parts: dict[str, Any] = schema.pop("$defs", {})
    names = {}
    root = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if root in parts:
        # A model that holds itself is one of its own parts.
        schema, names[root] = parts.pop(root), name
    for part in parts:
        names[part] = shapes.free(part)
        shapes.definitions[names[part]] = {}
    for part, held in parts.items():
        shapes.definitions[names[part]] = _renamed(held, names)

    def convert(value: Any, _: Memo) -> Any:
        try:
            return wanted.model_validate_json(_json.dumps(value))
        except ValueError as error:
            raise _of_model(error, value) from None

    return Shape(_renamed(schema, names), convert)


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    """A schema of pydantic's whose parts have other names here."""
    if isinstance(schema, list):
        return [_renamed(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            part = value.removeprefix("#/$defs/")
            renamed[key] = f"#/$defs/{names.get(part, part)}"
        elif key == "discriminator" and isinstance(value, dict) and "propertyName" in value:
            # OpenAPI's own, with names that are no longer right.
            continue
        elif key in ("const", "enum", "default", "examples"):
            renamed[key] = value
        else:
            renamed[key] = _renamed(value, names)
    return renamed


def _of_model(error: ValueError, value: Any) -> Misfit:
    found: list[dict[str, Any]] = error.errors() if hasattr(error, "errors") else []
    if not found:
        return Misfit(str(error))
    path: list[str | int] = []
    for step in found[0].get("loc", ()):
        # Between the keys stand names of pydantic's own, such as a union's alternatives.
        inside = isinstance(value, dict) and step in value
        if inside or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            path.append(step)
            value = value[step]
        elif found[0].get("type") == "missing" and step == found[0]["loc"][-1]:
            path.append(step)
    return Misfit(str(found[0].get("msg", error)), path)
