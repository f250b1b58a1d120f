"""Errors that the gateway's services raise in plugin code.

Database trouble is raised as PyMongo's own exceptions. Two of them have subclasses here, which tell
the gateway how to answer when a plugin lets them pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure, ServerSelectionTimeoutError


class HostError(Exception):
    """The gateway did not do what was asked.

    Attributes:
        error_code: `VALIDATION_ERROR`, `NOT_FOUND`, `LIMIT_EXCEEDED`, ...
        details: What the gateway adds, if anything.
    """

    def __init__(self, error_code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.details = details


class DatabaseUnavailable(ServerSelectionTimeoutError):
    """The database cannot be reached. Also PyMongo's `ServerSelectionTimeoutError`."""

    error_code = "DATABASE_UNAVAILABLE"


class StorageFull(OperationFailure):
    """The database has no room left. Also PyMongo's `OperationFailure` with code 14031."""

    error_code = "STORAGE_FULL"

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, 14031, details)
