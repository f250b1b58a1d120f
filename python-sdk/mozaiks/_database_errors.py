"""Errors of the database that are PyMongo's as well; `mozaiks.errors` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure, ServerSelectionTimeoutError


class DatabaseUnavailable(ServerSelectionTimeoutError):
    """The database cannot be reached. Also PyMongo's `ServerSelectionTimeoutError`."""

    error_code = "DATABASE_UNAVAILABLE"


class StorageFull(OperationFailure):
    """The database has no room left. Also PyMongo's `OperationFailure` with code 14031."""

    error_code = "STORAGE_FULL"

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, 14031, details)
