"""An action, made of a function: its schemas, and how it is called."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mozaiks.actions._call import Call
from mozaiks.actions._errors import ActionError, Misfit, Unsupported
from mozaiks.actions._objects import Property, hints_of, is_object, object_schema
from mozaiks.actions._shapes import Memo, Shape, Shapes, at_step
from mozaiks.plugin import _handler

if TYPE_CHECKING:
    from mozaiks.plugin import PluginContext

Function = Callable[..., Any]
Schema = dict[str, Any]

# What the gateway puts into a call's data: never asked of a client, never taken from one.
INJECTED = ("user_id", "app_id", "_context", "action")
# What the gateway takes out of it.
TAKEN_OUT = ("_entitlements", "user_jwt")
_MAX_DESCRIPTION = 2000


class Action:
    """One action of a plugin.

    Attributes:
        name: What a client puts under `action`.
        description: The function's docstring.
        input: JSON Schema of what a client sends, without what the gateway puts in.
        result: JSON Schema of the answer.
        is_async: Whether calling it gives a coroutine.
    """

    def __init__(self, name: str, function: Function) -> None:
        """Looks at the function's signature.

        Args:
            name: The action's name.
            function: What the plugin has.

        Raises:
            TypeError: If something in the signature has no form in JSON; names the parameter.
        """
        self.name = name
        self.function = function
        self.is_async = _handler.is_async(function)
        self.description = (inspect.getdoc(function) or "")[:_MAX_DESCRIPTION] or None
        self._injected: list[str] = []
        self._calls: list[str] = []
        self._properties: list[Property] = []
        self._whole: tuple[str, Shape, list[str]] | None = None
        self._rest: tuple[str, Shape] | None = None
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise self._wrong(
                "an action answers once; pieces are sent by a route (ctx.register_route)"
            )
        try:
            hints = hints_of(function)
            signature = inspect.signature(function)
        except (Unsupported, ValueError) as error:
            raise self._wrong(self._unresolved() or str(error)) from None
        self.input = self._read(signature, hints)
        self.result, self._is_object = self._read_result(hints.get("return", Any))

    def _wrong(self, reason: str) -> TypeError:
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        name = getattr(self.function, "__qualname__", repr(self.function))
        place = ""
        if code is not None:
            file = code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
            place = f"{file}, line {code.co_firstlineno}: "
        return TypeError(f"{place}{name}(), the action {self.name!r}: {reason}")

    def _unresolved(self) -> str | None:
        """Which parameter's annotation cannot be looked up."""
        held = dict(getattr(self.function, "__annotations__", {}))
        scope = getattr(inspect.unwrap(self.function), "__globals__", {})
        for name, annotation in held.items():
            probe = type("Probe", (), {"__annotations__": {name: annotation}})
            try:
                typing.get_type_hints(probe, dict(scope))
            except Exception as error:
                what = "what it returns" if name == "return" else f"parameter {name}"
                return f"{what}: {annotation!r} cannot be looked up: {error}"
        return None

    def _read(self, signature: inspect.Signature, hints: dict[str, Any]) -> Schema:
        shapes, defaults = Shapes(), {}
        values: list[tuple[inspect.Parameter, Any]] = []
        for name, parameter in signature.parameters.items():
            hint = hints.get(name, inspect.Parameter.empty)
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise self._wrong(f"parameter {name}: it cannot be given by name")
            if hint is Call or (hint is parameter.empty and name == "call"):
                self._calls.append(name)
            elif hint is parameter.empty and name in ("self", "cls"):
                raise self._wrong("an action is a function, not a method")
            elif parameter.kind is parameter.VAR_KEYWORD:
                wanted = Any if hint is parameter.empty else hint
                self._rest = (name, self._shape(shapes, name, wanted))
            elif name in INJECTED:
                self._injected.append(name)
            elif name in TAKEN_OUT:
                raise self._wrong(f"parameter {name}: the gateway takes it out of every call")
            else:
                values.append((parameter, Any if hint is parameter.empty else hint))
        if len(values) == 1 and is_object(values[0][1]) and self._rest is None:
            return self._read_whole(shapes, *values[0])
        for parameter, wanted in values:
            required = parameter.default is parameter.empty
            shape = self._shape(shapes, parameter.name, wanted)
            self._properties.append(Property(parameter.name, shape, required))
            if not required:
                defaults[parameter.name] = parameter.default
        schema = object_schema(self._properties, defaults)
        if self._rest is not None:
            schema["additionalProperties"] = self._rest[1].schema or True
        return self._finished(schema, shapes)

    def _read_whole(self, shapes: Shapes, parameter: inspect.Parameter, wanted: Any) -> Schema:
        """The only parameter, which is an object, is the call's data."""
        shape = self._shape(shapes, parameter.name, wanted)
        if parameter.default is not parameter.empty:
            raise self._wrong(
                f"parameter {parameter.name}: it is the whole of what a client sends; "
                f"give the fields of {wanted.__name__} their defaults"
            )
        schema = dict(shapes.definitions[shape.schema["$ref"].removeprefix("#/$defs/")])
        if schema.get("type") != "object":
            raise self._wrong(f"parameter {parameter.name}: {wanted.__name__} is no object in JSON")
        properties = dict(schema.get("properties", {}))
        for name in TAKEN_OUT:
            if name in properties:
                raise self._wrong(
                    f"parameter {parameter.name}: the gateway takes {name} out of every call"
                )
        injected = [name for name in INJECTED if properties.pop(name, None) is not None]
        schema["properties"] = properties
        if "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in injected]
        self._whole = (parameter.name, shape, injected)
        return self._finished(schema, shapes)

    def _shape(self, shapes: Shapes, name: str, wanted: Any) -> Shape:
        try:
            return shapes.of(wanted)
        except (Unsupported, RecursionError) as error:
            raise self._wrong(f"parameter {name}: {error}") from None

    def _finished(self, schema: Schema, shapes: Shapes) -> Schema:
        required = ["action", *schema.get("required", [])]
        properties = {"action": {"const": self.name}, **schema["properties"]}
        schema = {**schema, "properties": properties, "required": required}
        return {**schema, "$defs": shapes.definitions} if shapes.definitions else schema

    def _read_result(self, wanted: Any) -> tuple[Schema, bool | None]:
        """The answer's schema, and whether it is the result itself; None where that shows."""
        if wanted is Any:
            return {"type": "object"}, None
        shapes = Shapes(written=True)
        try:
            schema = shapes.of(wanted).schema
        except RecursionError:
            schema = {}
        itself = _is_object(wanted)
        if not itself:
            schema = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
        return ({**schema, "$defs": shapes.definitions} if shapes.definitions else schema), itself

    def arguments(
        self, data: dict[str, Any], find_context: Callable[[], PluginContext]
    ) -> dict[str, Any]:
        """What the function is called with.

        Args:
            data: What the gateway has made of the client's object.
            find_context: Gives the plugin's context.

        Returns:
            Arguments by name.

        Raises:
            Misfit: If the client's object does not fit.
        """
        memo: Memo = {}
        arguments = {name: data.get(name) for name in self._injected}
        for name in self._calls:
            arguments[name] = Call(self.name, data, find_context)
        if self._whole is not None:
            name, shape, injected = self._whole
            arguments[name] = shape.convert(_sent(data, injected), memo)
            return arguments
        left = _sent(data, ())
        for each in self._properties:
            if each.name in left:
                value = left.pop(each.name)
                arguments[each.name] = at_step(each.shape, each.name, value, memo)
            elif each.required:
                raise Misfit("it is missing", [each.name])
        for name, value in left.items():
            if self._rest is None or name in arguments or name in self._calls:
                raise Misfit("it is not known here", [name])
            arguments[name] = at_step(self._rest[1], name, value, memo)
        return arguments

    def answer(self, result: Any) -> Any:
        """The dict that a result is answered as.

        Args:
            result: What the function returned.

        Returns:
            The dict; what is none is the gateway's to refuse.
        """
        if isinstance(result, dict):
            is_failure = isinstance(result.get("error"), str)
            return result if self._is_object is not False or is_failure else {"result": result}
        if self._is_object is False:
            return {"result": result}
        if dataclasses.is_dataclass(result) and not isinstance(result, type):
            return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        dump = getattr(result, "model_dump", None)
        if callable(dump):
            return dump()
        return result if self._is_object else {"result": result}

    def refusal(self, data: dict[str, Any], error: Misfit | ActionError) -> dict[str, Any]:
        """What a client is told that has sent something else, or that the action refuses.

        Args:
            data: What it has sent.
            error: What was raised.

        Returns:
            The dict.
        """
        if isinstance(error, ActionError):
            return error.answer()
        path = error.pointer()
        return {
            "error": f"the action {self.name} does not take this: {path or 'the body'}: "
            f"{error.message}",
            "error_code": "VALIDATION_ERROR",
            "details": {"path": path, "action": self.name},
            "request_id": (data.get("_context") or {}).get("request_id"),
        }


def _sent(data: dict[str, Any], injected: Any) -> dict[str, Any]:
    """What is the client's, and what of the gateway's is asked for."""
    reserved = (*INJECTED, *TAKEN_OUT)
    return {name: value for name, value in data.items() if name not in reserved or name in injected}


def _is_object(wanted: Any) -> bool:
    origin = typing.get_origin(wanted)
    if origin is typing.Annotated:
        return _is_object(typing.get_args(wanted)[0])
    if _is_union(wanted):
        return all(_is_object(each) for each in typing.get_args(wanted))
    kind = origin or wanted
    return is_object(wanted) or (isinstance(kind, type) and issubclass(kind, (dict, Mapping)))


def _is_union(wanted: Any) -> bool:
    import types

    return typing.get_origin(wanted) in (typing.Union, types.UnionType)
