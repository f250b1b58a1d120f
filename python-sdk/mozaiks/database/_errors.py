"""Turns what the gateway and the server say into PyMongo's exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import bson
from pymongo.errors import (
    CursorNotFound,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

from mozaiks._database_errors import DatabaseUnavailable, StorageFull
from mozaiks.errors import HostError, of_code

_DUPLICATE_KEY = frozenset({11000, 11001, 12582})
_NOT_PRIMARY = frozenset({10058, 10107, 13435, 11600, 11602, 13436, 189, 91})
_OUT_OF_DISK_SPACE = 14031
_OUR_OWN = frozenset({"PERMISSION_DENIED", "QUOTA_EXCEEDED"})


def from_host(error: HostError) -> PyMongoError | HostError:
    """The exception that PyMongo would raise, or the gateway's own.

    Args:
        error: What the gateway said; its details are the server's answer as BSON.

    Returns:
        The exception.
    """
    details = error.details
    reply: Mapping[str, Any] | None = None
    if isinstance(details, (bytes, bytearray)) and details:
        reply = bson.decode(details)
    elif isinstance(details, Mapping):
        reply = details
    message = str(error)
    if error.error_code in _OUR_OWN:
        return of_code(error.error_code, message, reply)
    if error.error_code == "DATABASE_UNAVAILABLE":
        unavailable = DatabaseUnavailable(message)
        for label in (reply or {}).get("errorLabels", ()):
            unavailable._add_error_label(label)
        return unavailable
    if error.error_code == "STORAGE_FULL":
        return StorageFull(message, reply)
    code = reply.get("code") if reply else None
    if code is not None:
        return from_reply(message, code, reply)
    if error.error_code == "VALIDATION_ERROR":
        return InvalidOperation(message)
    return OperationFailure(message, None, reply)


def from_reply(message: str, code: int, reply: Mapping[str, Any] | None) -> PyMongoError:
    """The exception for an answer with `ok: 0`.

    Args:
        message: What the server says.
        code: Its code.
        reply: The whole answer.

    Returns:
        The exception.
    """
    if code in _NOT_PRIMARY:
        return NotPrimaryError(message, reply)
    if code in _DUPLICATE_KEY:
        return DuplicateKeyError(message, code, reply)
    if code == 50:
        return ExecutionTimeout(message, code, reply)
    if code == 43:
        return CursorNotFound(message, code, reply)
    if code == _OUT_OF_DISK_SPACE:
        return StorageFull(message, reply)
    return OperationFailure(message, code, reply)


def check_write(reply: Mapping[str, Any]) -> None:
    """Raises what a write command of one operation answered.

    Args:
        reply: The answer.

    Raises:
        DuplicateKeyError: If a unique index says that it exists.
        WriteError: If the server refused it otherwise.
        WriteConcernError: If it was done, but not as safely as asked.
    """
    errors = reply.get("writeErrors")
    if errors:
        raise_write_error(errors[-1])
    concern = reply.get("writeConcernError")
    if concern:
        raise_write_concern_error(concern)


def raise_write_error(error: Mapping[str, Any]) -> NoReturn:
    """Raises the error of one operation.

    Args:
        error: An entry of `writeErrors`.
    """
    code = error.get("code")
    message = str(error.get("errmsg"))
    if code in _DUPLICATE_KEY:
        raise DuplicateKeyError(message, code, error)
    if code == _OUT_OF_DISK_SPACE:
        raise StorageFull(message, error)
    raise WriteError(message, code, error)


def raise_write_concern_error(error: Mapping[str, Any]) -> NoReturn:
    """Raises that a write is less safe than asked.

    Args:
        error: The server's `writeConcernError`.
    """
    details = error.get("errInfo")
    if isinstance(details, Mapping) and details.get("wtimeout"):
        raise WTimeoutError(str(error.get("errmsg")), error.get("code"), error)
    raise WriteConcernError(str(error.get("errmsg")), error.get("code"), error)
