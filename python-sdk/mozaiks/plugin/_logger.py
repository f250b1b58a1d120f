"""Logging under a plugin's name, with fields."""

from __future__ import annotations

import logging
from typing import Any


class PluginLogger:
    """Writes to the gateway's log as `mozaiks_plugins.<name>`.

    Each method takes a message with `%` arguments and fields by keyword; or a dict of fields first
    and the message second, as in `logger.error({"error": error}, "It failed")`.
    """

    def __init__(self, plugin: str) -> None:
        """Takes the plugin's name.

        Args:
            plugin: The name.
        """
        self._logger = logging.getLogger(f"mozaiks_plugins.{plugin}")

    def debug(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs for whoever looks for a fault."""
        self._log(logging.DEBUG, message, arguments, fields)

    def info(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs what happens."""
        self._log(logging.INFO, message, arguments, fields)

    def warning(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs what is odd."""
        self._log(logging.WARNING, message, arguments, fields)

    warn = warning

    def error(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs what failed."""
        self._log(logging.ERROR, message, arguments, fields)

    def critical(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs what must not be."""
        self._log(logging.CRITICAL, message, arguments, fields)

    fatal = critical

    def exception(self, message: Any, *arguments: Any, **fields: Any) -> None:
        """Logs what failed, with the exception that is being handled."""
        self._log(logging.ERROR, message, arguments, fields, exc_info=True)

    def _log(
        self,
        level: int,
        message: Any,
        arguments: tuple[Any, ...],
        fields: dict[str, Any],
        exc_info: bool = False,
    ) -> None:
        if not self._logger.isEnabledFor(level):
            return
        if isinstance(message, dict):
            fields = {**message, **fields}
            message, arguments = (arguments[0], arguments[1:]) if arguments else ("", ())
        text = str(message)
        # As in `console.log`, what the text has no place for comes after it.
        if arguments and "%" not in text:
            text, arguments = " ".join([text, *map(str, arguments)]), ()
        extra = {"fields": {str(name): _plain(value) for name, value in fields.items()}}
        self._logger.log(level, text, *arguments, exc_info=exc_info, extra=extra)


def _plain(value: Any, depth: int = 4) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth and isinstance(value, (list, tuple)):
        return [_plain(each, depth - 1) for each in value]
    if depth and isinstance(value, dict):
        return {str(name): _plain(each, depth - 1) for name, each in value.items()}
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return repr(value)
