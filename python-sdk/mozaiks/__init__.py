"""What is behind the objects that plugins import from `core`."""

from mozaiks.errors import DatabaseUnavailable, HostError, StorageFull

__all__ = ["DatabaseUnavailable", "HostError", "StorageFull"]
__version__ = "0.1.0"
