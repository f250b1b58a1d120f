"""What plugins are told, configure and store in tests."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mozaiks import _json
from mozaiks.errors import HostError

# Longest key and largest value, in bytes, as the gateway has them.
_MAX_KEY, _MAX_VALUE = 512, 1 << 20


@dataclass
class StartedPlugin:
    """What is known of a plugin that a test has started."""

    name: str
    version: str
    data_dir: Path
    defaults: dict[str, Any]
    config: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class _Value:
    value: Any
    ends: float | None


@dataclass
class _Stream:
    body: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


current_plugin: ContextVar[StartedPlugin | None] = ContextVar("current_plugin", default=None)


def within(plugin: StartedPlugin, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs as the plugin which has registered it, whoever is the cause.

    Args:
        plugin: The plugin.
        function: Async or plain.

    Returns:
        An async function.
    """

    async def run(*arguments: Any) -> Any:
        before = current_plugin.set(plugin)
        try:
            answer = function(*arguments)
            return await answer if inspect.isawaitable(answer) else answer
        finally:
            current_plugin.reset(before)

    return run


class PluginData:
    """Configuration, storage and streams of started plugins."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], dict[str, _Value]] = defaultdict(dict)
        self._streams: dict[int, _Stream] = {}
        self._numbers = itertools.count(1)

    def stored(self, plugin: str, app_id: str = "default") -> dict[str, Any]:
        """What a plugin has stored.

        Args:
            plugin: Its name.
            app_id: In which app.

        Returns:
            Values by key.
        """
        values = self._stored[app_id, plugin]
        return {key: value.value for key, value in sorted(values.items()) if _lives(value)}

    def running(self) -> StartedPlugin:
        """The plugin whose code runs.

        Returns:
            What is known of it.
        """
        return _plugin()

    async def streamed(self, stream: int) -> bytes:
        """The whole of an answer that comes in pieces.

        Args:
            stream: Its number.

        Returns:
            What was written.
        """
        found = self._streams[stream]
        await found.ended.wait()
        return bytes(found.body)

    def query(self, operation: str) -> Any:
        """Answers `plugin.describe`, `plugin.config` and `plugin.app`.

        Args:
            operation: Which.

        Returns:
            The answer.
        """
        from mozaiks.testing._gateway import current_app

        plugin = _plugin()
        if operation == "plugin.app":
            return current_app.get()
        if operation == "plugin.config":
            return {**plugin.defaults, **plugin.config.get(current_app.get(), {})}
        return {
            "name": plugin.name,
            "version": plugin.version,
            "generation": 1,
            "data_dir": str(plugin.data_dir),
        }

    def write(self, stream: int, piece: bytes) -> bool:
        """Takes a piece of a stream.

        Args:
            stream: Its number.
            piece: The piece.

        Returns:
            Whether anybody reads it.
        """
        self._streams[stream].body += piece
        return True

    def request(self, app_id: str, operation: str, payload: dict[str, Any]) -> Any:
        """Does what a context asks for.

        Args:
            app_id: In which app.
            operation: What.
            payload: Its arguments.

        Returns:
            The answer.

        Raises:
            HostError: As the gateway would.
        """
        plugin = _plugin()
        if operation == "plugin.config_set":
            plugin.config.setdefault(app_id, {})[payload["key"]] = payload["value"]
            return True
        if operation == "stream.open":
            number = next(self._numbers)
            self._streams[number] = _Stream()
            return number
        if operation == "stream.close":
            self._streams[payload["stream"]].ended.set()
            return True
        values = self._stored[app_id, plugin.name]
        if operation == "storage.list":
            return _page(values, payload)
        key = payload["key"]
        if not 0 < len(key.encode()) <= _MAX_KEY:
            raise HostError("VALIDATION_ERROR", f"a key has 1 to {_MAX_KEY} bytes")
        found = values.get(key)
        if found is not None and not _lives(found):
            del values[key]
            found = None
        if operation == "storage.get":
            return {"found": found is not None, "value": None if found is None else found.value}
        if operation == "storage.delete":
            return values.pop(key, None) is not None
        if operation == "storage.increment":
            before = 0 if found is None else found.value
            if isinstance(before, bool) or not isinstance(before, (int, float)):
                raise HostError("VALIDATION_ERROR", f"the value under {key!r} is no number")
            ends = None if found is None else found.ends
            values[key] = _Value(before + payload["by"], ends)
            return values[key].value
        if operation == "storage.set":
            if len(_json.dumps(payload.get("value"))) > _MAX_VALUE:
                raise HostError("VALIDATION_ERROR", f"a value has at most {_MAX_VALUE} bytes")
            ttl = payload.get("ttl")
            ends = None if ttl is None else time.monotonic() + ttl
            values[key] = _Value(payload.get("value"), ends)
            return True
        raise HostError("NOT_FOUND", f"mozaiks.testing has no stand-in for {operation}")


def _plugin() -> StartedPlugin:
    plugin = current_plugin.get()
    if plugin is None:
        raise RuntimeError("no plugin runs here: start one with mozaiks.testing.start_plugin")
    return plugin


def _lives(value: _Value) -> bool:
    return value.ends is None or value.ends > time.monotonic()


def _page(values: dict[str, _Value], payload: dict[str, Any]) -> dict[str, Any]:
    prefix, after = payload.get("prefix", ""), payload.get("cursor") or ""
    keys = sorted(key for key in values if key.startswith(prefix) and key > after)
    living = [key for key in keys if _lives(values[key])]
    limit = payload.get("limit", 100)
    page = living[:limit]
    items = [{"key": key, "value": values[key].value, "expires_at": None} for key in page]
    more = {"next_cursor": page[-1]} if len(living) > limit and page else {}
    return {"items": items, **more}
