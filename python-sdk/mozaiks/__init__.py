"""What is behind the objects that plugins import from `core`."""

from typing import TYPE_CHECKING, Any

from mozaiks import _original, errors
from mozaiks.errors import (
    HostError,
    NetworkDenied,
    PermissionDenied,
    QuotaExceeded,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from mozaiks.errors import DatabaseUnavailable, StorageFull

__all__ = [
    "DatabaseUnavailable",
    "HostError",
    "NetworkDenied",
    "PermissionDenied",
    "QuotaExceeded",
    "StorageFull",
    "UpstreamError",
    "UpstreamTimeout",
]
__version__ = "0.1.0"

_original.install()


def __getattr__(name: str) -> Any:
    if name in {"DatabaseUnavailable", "StorageFull"}:
        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
