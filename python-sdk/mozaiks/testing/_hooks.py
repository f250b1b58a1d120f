"""Hooks in tests: chains over what has been registered, in the order that the gateway has."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mozaiks import _json
from mozaiks.errors import HostError

_logger = logging.getLogger("mozaiks.testing")


@dataclass(frozen=True)
class _Function:
    registration: int
    plugin: str
    spec: dict[str, Any]
    callback: Callable[..., Any]


class MemoryHooks:
    """The hooks of a `TestGateway`."""

    def __init__(self) -> None:
        """Without any."""
        self._functions: list[_Function] = []

    def register(
        self, registration: int, plugin: str, spec: dict[str, Any], callback: Callable[..., Any]
    ) -> None:
        """Adds a function.

        Args:
            registration: Its number.
            plugin: Whose it is.
            spec: What for.
            callback: The function.
        """
        self._functions.append(_Function(registration, plugin, spec, callback))
        self._functions.sort(
            key=lambda each: (each.spec.get("priority", 10), each.plugin, each.registration)
        )

    def unregister(self, registration: int) -> None:
        """Takes a function away.

        Args:
            registration: Its number.
        """
        kept = [each for each in self._functions if each.registration != registration]
        self._functions = kept

    def list(self, name: str) -> list[dict[str, Any]]:
        """The functions of a hook.

        Args:
            name: The hook.

        Returns:
            Of each what the gateway says.
        """
        return [
            {
                "plugin": each.plugin,
                "type": each.spec.get("hook_type", "filter"),
                "priority": each.spec.get("priority", 10),
                "required": each.spec.get("required", False),
                "public": each.spec.get("public", False),
            }
            for each in self._functions
            if each.spec["hook_name"] == name
        ]

    async def run(self, operation: str, payload: dict[str, Any]) -> Any:
        """Applies a hook.

        Args:
            operation: `hooks.apply` or `hooks.do`.
            payload: Name, value and arguments.

        Returns:
            The value, as the last filter left it.

        Raises:
            HostError: `HOOK_FAILED` where a function failed that is required.
        """
        name, value, args = payload["name"], payload.get("value"), payload.get("args", [])
        wanted = "action" if operation == "hooks.do" else "filter"
        for each in list(self._functions):
            spec = each.spec
            if spec["hook_name"] != name or spec.get("hook_type", "filter") != wanted:
                continue
            given = args if wanted == "action" else [value, *args]
            try:
                result = each.callback(*_json.loads(_json.dumps(given)))
                result = await result if inspect.isawaitable(result) else result
                result = _json.loads(_json.dumps(result))
            except Exception as error:
                if spec.get("required"):
                    message = f"the hook {name!r} failed in the plugin {each.plugin}"
                    raise HostError("HOOK_FAILED", message) from error
                _logger.warning("the hook %s failed: %r", name, error)
                continue
            if wanted == "filter" and result is not None:
                value = result
        return value
