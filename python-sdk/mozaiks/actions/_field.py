"""What an annotation says beyond a type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mozaiks.actions._errors import Unsupported


@dataclass(frozen=True)
class Field:
    """Limits of a value, in `Annotated[int, Field(ge=1)]`. What pydantic has is understood as well.

    Attributes:
        ge: The least number.
        gt: Less than the least number.
        le: The greatest number.
        lt: More than the greatest number.
        multiple_of: What a number is a multiple of.
        min_length: Least characters, items or keys.
        max_length: Most of them.
        pattern: A regular expression that is found in the text.
        description: What it is for.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str | None = None


_NUMBERS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}
_NUMBER = (int, float)


def limited(schema: dict[str, Any], metadata: Any) -> dict[str, Any]:
    """A schema with what stands beside its type in `Annotated`.

    Args:
        schema: Of the type.
        metadata: What stands beside it; what is not understood is left alone.

    Returns:
        A schema.

    Raises:
        Unsupported: If a pattern is no regular expression.
    """
    added: dict[str, Any] = {}
    branches = (schema, *schema.get("anyOf", ()))
    kinds = [_LENGTHS[each["type"]] for each in branches if str(each.get("type")) in _LENGTHS]
    for each in _flat(metadata):
        for name, keyword in _NUMBERS.items():
            value = getattr(each, name, None)
            if type(value) in _NUMBER:
                added[keyword] = value
        for kind in kinds:
            for name, bound in (("min_length", "min"), ("max_length", "max")):
                value = getattr(each, name, None)
                if type(value) is int:
                    added[bound + kind] = value
        pattern = getattr(each, "pattern", None)
        if isinstance(pattern, str):
            added["pattern"] = _expression(pattern)
        for name in ("description", "documentation"):
            text = getattr(each, name, None)
            if isinstance(text, str):
                added["description"] = text
    if not added:
        return schema
    if schema.keys() & added.keys():
        return {"allOf": [schema], **added}
    return {**schema, **added}


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for each in metadata:
        yield each
        # pydantic keeps the limits of its `Field` in a list of its own.
        more = getattr(each, "metadata", None)
        if isinstance(more, (list, tuple)):
            yield from more


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise Unsupported(f"the pattern {pattern!r} is no regular expression: {error}") from None
    return pattern
