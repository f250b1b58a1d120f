"""What is checked before a model writes, by the entity's own types."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bson.decimal128 import Decimal128, create_decimal128_context
from bson.int64 import Int64
from pymongo.errors import DuplicateKeyError, WriteError

from mozaiks.errors import HostError
from mozaiks.plugin._models import Document, _collection, _field, _invalid

# The column that says whose a document is: the gateway sets it where users are kept apart, and
# what ids of users look like is the identity provider's to say.
OWNER = "user_id"

# Documents that a model's class looks at in one update.
MAX_LOOKED_AT = 1000

# `DocumentValidationFailure`.
NOT_VALID = 121


def _column(entity: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for column in entity["columns"]:
        if column["name"] == name:
            found: Mapping[str, Any] = column
            return found
    raise _invalid(name, f"{entity['entity_name']} has no column {name!r}")


def fitting(entity: Mapping[str, Any], values: Mapping[str, Any]) -> Document:
    """Values as they are stored.

    Args:
        entity: The entity.
        values: Values of columns.

    Returns:
        The same, of the columns' types.

    Raises:
        HostError: `VALIDATION_ERROR` for an unknown column or a value that does not fit.
    """
    return {name: _fit(_column(entity, name), value) for name, value in values.items()}


def complete(entity: Mapping[str, Any], values: Mapping[str, Any]) -> Document:
    """A new document: what was given, and defaults for the rest.

    Args:
        entity: The entity.
        values: Values of columns.

    Returns:
        All columns, but those without a value that the gateway or the database sets.

    Raises:
        HostError: As `fitting`; also for a column that must have a value.
    """
    document = fitting(entity, values)
    for column in entity["columns"]:
        name = column["name"]
        if name in document:
            continue
        default = column.get("default")
        if default is not None:
            document[name] = _default(column, default)
        elif name == OWNER:
            # Set by the gateway where it is to be.
            continue
        elif column["nullable"]:
            document[name] = None
        elif column["primary_key"] and column["type"] == "uuid":
            document[name] = str(uuid.uuid4())
        else:
            raise _invalid(name, f"{name} must have a value")
    return document


def _default(column: Mapping[str, Any], default: Mapping[str, Any]) -> Any:
    if default["kind"] == "uuid":
        return str(uuid.uuid4())
    if default["kind"] == "now":
        # As precise as the database keeps it.
        now = dt.datetime.now(dt.timezone.utc)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
    return _fit(column, default["value"])


def _fit(column: Mapping[str, Any], value: Any) -> Any:
    name = column["name"]
    if value is None:
        if column["nullable"]:
            return None
        raise _invalid(name, f"{name} must have a value")
    if name == OWNER:
        return _text({}, name, str(value) if isinstance(value, uuid.UUID) else value)
    return _FITS[column["type"]](column, name, value)


def _wrong(name: str, what: str, value: Any) -> HostError:
    return _invalid(name, f"{name} must be {what}, not {type(value).__name__}")


def _uuid(_: Mapping[str, Any], name: str, value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        try:
            return str(uuid.UUID(value))
        except ValueError:
            raise _invalid(name, f"{name} must be a UUID") from None
    raise _wrong(name, "a UUID", value)


def _text(column: Mapping[str, Any], name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    most = column.get("max_length")
    if most is not None and len(value) > most:
        raise _invalid(name, f"{name} has {len(value)} characters; {most} are allowed")
    return value


def _whole(bits: int) -> Callable[[Mapping[str, Any], str, Any], int]:
    def fit(_: Mapping[str, Any], name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(name, "a whole number", value)
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise _invalid(name, f"{name} must have {bits} bits at most")
        return int(value) if bits == 32 else Int64(value)

    return fit


def _decimal(_: Mapping[str, Any], name: str, value: Any) -> Decimal128:
    if isinstance(value, Decimal128):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str, decimal.Decimal)):
        raise _wrong(name, "a number", value)
    try:
        number = decimal.Decimal(str(value))
    except ArithmeticError:
        raise _invalid(name, f"{name} must be a number") from None
    if not number.is_finite():
        raise _invalid(name, f"{name} must be a number that is finite")
    with decimal.localcontext(create_decimal128_context()) as context:
        return Decimal128(context.create_decimal(number))


def _double(_: Mapping[str, Any], name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
        raise _wrong(name, "a number", value)
    return float(value)


def _boolean(_: Mapping[str, Any], name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _date(_: Mapping[str, Any], name: str, value: Any) -> dt.datetime:
    if isinstance(value, str):
        try:
            # Before Python 3.11 only the sign, not the letter, was read.
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise _invalid(name, f"{name} must be a moment in ISO 8601") from None
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.timezone.utc)
    raise _wrong(name, "a moment", value)


def _json(_: Mapping[str, Any], name: str, value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        raise _wrong(name, "a dict or a list", value)
    return value


def _array(column: Mapping[str, Any], name: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, "a list", value)
    items = column["items"]
    return [
        _FITS[items["type"]](items, f"{name}[{at}]", each)
        if each is not None
        else _null(f"{name}[{at}]")
        for at, each in enumerate(value)
    ]


def _null(name: str) -> Any:
    raise _invalid(name, f"{name} must have a value")


def _enum(column: Mapping[str, Any], name: str, value: Any) -> str:
    if value not in column["values"]:
        raise _invalid(name, f"{name} must be one of {', '.join(column['values'])}")
    return str(value)


_FITS: dict[str, Callable[[Mapping[str, Any], str, Any], Any]] = {
    "uuid": _uuid,
    "text": _text,
    "integer": _whole(32),
    "bigint": _whole(64),
    "decimal": _decimal,
    "double": _double,
    "boolean": _boolean,
    "date": _date,
    "json": _json,
    "array": _array,
    "enum": _enum,
}


async def targets_exist(
    entity: Mapping[str, Any], entities: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Looks whether what foreign keys refer to is there, in the plugin's own entities.

    Args:
        entity: The entity that is written.
        entities: All of the plugin's.
        values: What is written.

    Raises:
        HostError: `VALIDATION_ERROR` for a target that is not there.
    """
    by_table = {each["table_name"]: each for each in entities.values()}
    for key in entity["foreign_keys"]:
        value = values.get(key["column"])
        target = by_table.get(key["table"])
        if value is None or target is None:
            continue
        wanted = {_field(target, key["target"]): value}
        if await _collection(target).find_one(wanted, {"_id": 1}) is None:
            what = f"{key['column']} refers to {key['table']}({key['target']}), which has no such"
            raise _invalid(key["column"], what)


@contextmanager
def conflicts(name: str) -> Iterator[None]:
    """Says what the database refuses as the rest of the model does.

    Args:
        name: The entity's name.

    Yields:
        Nothing.

    Raises:
        HostError: `CONFLICT` for a value that must be there once, `VALIDATION_ERROR` for what the
            collection's rules do not allow.
    """
    try:
        yield
    except DuplicateKeyError as error:
        columns = (error.details or {}).get("keyPattern") or {}
        which = ", ".join(columns) or "a unique column"
        raise HostError("CONFLICT", f"{name} has a document with this {which} already") from None
    except WriteError as error:
        if error.code != NOT_VALID:
            raise
        raise _invalid("", f"the collection of {name} does not allow that") from None


def _model_class(entity: Mapping[str, Any]) -> Any:
    """The class of `model_code`, made once for each text."""
    code = entity.get("model_code")
    if not code:
        return None
    name = entity["entity_name"]
    if code not in _classes:
        try:
            import pydantic
        except ImportError:
            what = f"{name} has a model of pydantic's, which is not installed for the plugin"
            raise _invalid("model_code", what) from None
        module: dict[str, Any] = {"__name__": f"{name}_model"}
        exec(compile(code, f"entities/{name}.model", "exec", dont_inherit=True), module)
        found = [
            each
            for each in module.values()
            if isinstance(each, type)
            and issubclass(each, pydantic.BaseModel)
            and each.__module__ == module["__name__"]
        ]
        named = [each for each in found if each.__name__ == name] or found
        if not named:
            raise _invalid("model_code", f"the code of {name}'s model has no class of pydantic's")
        if len(_classes) >= 256:
            _classes.clear()
        _classes[code] = named[-1]
    return _classes[code]


_classes: dict[str, Any] = {}


def validated(entity: Mapping[str, Any], values: Mapping[str, Any]) -> Document:
    """Values as the entity's own class leaves them, where it has one.

    Args:
        entity: The entity.
        values: Values of columns.

    Returns:
        The values; those that the class has a default for are among them.

    Raises:
        HostError: `VALIDATION_ERROR` for what the class does not take.
    """
    model = _model_class(entity)
    if model is None:
        return dict(values)
    import pydantic

    try:
        made = model.model_validate(dict(values))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise _invalid(path, f"{path}: {first['msg']}" if path else first["msg"]) from None
    columns = {column["name"] for column in entity["columns"]}
    dumped = made.model_dump()
    unset = {name for name, value in dumped.items() if value is None and name not in values}
    return {
        **values,
        **{name: dumped[name] for name in dumped if name in columns and name not in unset},
    }


async def still_valid(
    entity: Mapping[str, Any],
    collection: Any,
    wanted: Mapping[str, Any],
    values: Mapping[str, Any],
    shown: Callable[[Mapping[str, Any], Mapping[str, Any]], Document],
) -> None:
    """Looks whether documents are valid for the entity's own class once they are changed.

    Args:
        entity: The entity.
        collection: Its collection.
        wanted: Which documents.
        values: What they are to have.
        shown: Makes a document as models give it.

    Raises:
        HostError: `VALIDATION_ERROR` for one that is not, `LIMIT_EXCEEDED` for too many.
    """
    count = 0
    async for document in collection.find(wanted).limit(MAX_LOOKED_AT + 1):
        count += 1
        if count > MAX_LOOKED_AT:
            what = f"over {MAX_LOOKED_AT} documents would change, each of which is looked at"
            raise HostError("LIMIT_EXCEEDED", what)
        after = {**shown(entity, document), **values}
        validated(entity, {name: _python(value) for name, value in after.items()})


def _python(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value
