"""What is behind the objects that plugins import from `core`."""

from mozaiks import _original
from mozaiks.errors import (
    DatabaseUnavailable,
    HostError,
    NetworkDenied,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    UpstreamError,
    UpstreamTimeout,
)

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
