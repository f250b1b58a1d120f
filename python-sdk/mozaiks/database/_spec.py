"""The spellings that PyMongo accepts for sorts, projections and hints, made into documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING

Sort = Any
Hint = Any


def sort_document(key_or_list: Sort, direction: int | str | None = None) -> dict[str, Any]:
    """A sort as a document.

    Args:
        key_or_list: `"a"`, `[("a", 1), "b"]` or `{"a": 1}`.
        direction: For a single key; ascending where none is given.

    Returns:
        Field to direction, in order.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is empty.
    """
    if isinstance(key_or_list, str):
        return {key_or_list: ASCENDING if direction is None else direction}
    if direction is not None:
        raise TypeError("direction can only be given with a single key")
    if isinstance(key_or_list, Mapping):
        document = dict(key_or_list)
    elif isinstance(key_or_list, Sequence):
        document = {}
        for entry in key_or_list:
            if isinstance(entry, str):
                document[entry] = ASCENDING
            elif isinstance(entry, Sequence) and len(entry) == 2 and isinstance(entry[0], str):
                document[entry[0]] = entry[1]
            else:
                raise TypeError("if no direction is given, keys must be (key, direction) pairs")
    else:
        raise TypeError(f"a sort must be a str, list or mapping, not {type(key_or_list)}")
    if not document:
        raise ValueError("key_or_list must not be empty")
    return document


def projection_document(projection: Any) -> dict[str, Any]:
    """A projection as a document.

    Args:
        projection: A mapping, or an iterable of field names.

    Returns:
        The mapping; `_id` alone for an empty list.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(projection, Mapping):
        return dict(projection)
    if isinstance(projection, str) or not hasattr(projection, "__iter__"):
        raise TypeError(f"projection must be a mapping or a list of fields, not {projection!r}")
    names = list(projection)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a projection's field names must be instances of str")
    return dict.fromkeys(names, 1) or {"_id": 1}


def hint(value: Hint) -> str | dict[str, Any]:
    """A hint as the server takes it.

    Args:
        value: An index's name, or its keys.

    Returns:
        The name or a document.
    """
    return value if isinstance(value, str) else sort_document(value)


def collation(value: Any) -> Any:
    """A collation as a document.

    Args:
        value: A `Collation` or a mapping.

    Returns:
        The document.
    """
    document = getattr(value, "document", value)
    if not isinstance(document, Mapping):
        raise TypeError("collation must be a Collation or a mapping")
    return document


def check_filter(value: Any) -> Mapping[str, Any]:
    """Checks that a filter is one.

    Args:
        value: The filter; `None` stands for all documents.

    Returns:
        The filter.

    Raises:
        TypeError: If it is no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(
            "filter must be an instance of dict, bson.son.SON, or any other type that inherits "
            f"from collections.Mapping, not {type(value)}"
        )
    return value


def check_count(name: str, value: Any) -> int:
    """Checks a whole number.

    Args:
        name: What it is, for the error.
        value: The number.

    Returns:
        The number.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value)}")
    return value


def given(**options: Any) -> dict[str, Any]:
    """Options that were given.

    Args:
        options: All of them.

    Returns:
        Those that are not `None`.
    """
    return {name: value for name, value in options.items() if value is not None}
