"""Errors that the gateway's services raise in plugin code.

Database trouble is raised as PyMongo's own exceptions. Two of them have subclasses here, which tell
the gateway how to answer when a plugin lets them pass. PyMongo, which takes 9 MB and a tenth of a
second, is imported by who uses the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mozaiks._database_errors import DatabaseUnavailable, StorageFull

__all__ = [
    "DatabaseUnavailable",
    "EntityNotMigrated",
    "HostError",
    "NetworkDenied",
    "PermissionDenied",
    "QuotaExceeded",
    "StorageFull",
    "UpstreamError",
    "UpstreamTimeout",
    "of_code",
]


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


class PermissionDenied(HostError):
    """The plugin may not do that: its manifest does not ask for it, or no admin has granted it.

    Attributes:
        permission: The entry of `permissions` that is missing.
    """

    def __init__(self, error_code: str, message: str, details: Any = None) -> None:
        super().__init__(error_code, message, details)
        found = details.get("permission") if isinstance(details, Mapping) else None
        self.permission = found if isinstance(found, str) else ""


class QuotaExceeded(HostError):
    """What the plugin may store is used up; taking away still works."""


class EntityNotMigrated(HostError):
    """The collection of an entity is not there yet: its migration was not run in this app."""


class NetworkDenied(HostError):
    """The gateway does not send the request: where it goes is not reached from here."""


class UpstreamTimeout(HostError):
    """Who was asked did not answer in time."""


class UpstreamError(HostError):
    """Who was asked cannot be reached, or answered what cannot be taken."""


_KINDS: dict[str, type[HostError]] = {
    "PERMISSION_DENIED": PermissionDenied,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "ENTITY_NOT_MIGRATED": EntityNotMigrated,
    "NETWORK_DENIED": NetworkDenied,
    "UPSTREAM_TIMEOUT": UpstreamTimeout,
    "UPSTREAM_ERROR": UpstreamError,
}


def of_code(error_code: str, message: str, details: Any = None) -> HostError:
    """The error for a code.

    Args:
        error_code: What the gateway says.
        message: A sentence.
        details: What the gateway adds, decoded.

    Returns:
        The error, of the class that the code has.
    """
    return _KINDS.get(error_code, HostError)(error_code, message, details)


def __getattr__(name: str) -> Any:
    if name in {"DatabaseUnavailable", "StorageFull"}:
        from mozaiks import _database_errors

        return getattr(_database_errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
