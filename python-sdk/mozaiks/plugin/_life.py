"""Finds a plugin's lifecycle functions and runs the steps of its life; used by the gateway."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mozaiks.plugin import _handler
from mozaiks.plugin._context import PluginContext
from mozaiks.plugin._parts import Parts, import_database

Function = Callable[..., Any]

# What a lifecycle function may be called: ours first, then the names of other plugin hosts.
NAMES: dict[str, tuple[str, ...]] = {
    "on_load": ("on_load", "onLoad", "initialize", "Initialize"),
    "register_routes": ("register_routes", "registerRoutes", "RegisterRoutes"),
    "on_enable": ("on_enable", "onEnable"),
    "on_disable": ("on_disable", "onDisable"),
    "on_unload": ("on_unload", "onUnload", "cleanup", "Cleanup"),
    "check_health": ("check_health", "checkHealth"),
    "on_config_change": ("on_config_change", "onConfigChange"),
}


class Life:
    """The lifecycle functions of one load of a plugin, and the context they share."""

    def __init__(self, package: str, module: ModuleType, execute: Function | None) -> None:
        """Looks for the functions.

        Args:
            package: The plugin's package in `sys.modules`.
            module: Its entry.
            execute: `execute`, where it has one.
        """
        self._package = package
        self._execute = execute
        self._context: PluginContext | None = None
        self.functions = _functions(module)
        if self.functions:
            import_database(module)

    async def run(self, step: dict[str, Any]) -> Any:
        """Runs one step.

        Args:
            step: `name`; for `on_load` also the `parts` of the manifest, for `on_config_change`
                what has `changed`, for `on_enable` in one app of many the `round`: all of one
                enabling of the load have the same.

        Returns:
            What the function returned; for `check_health` in any case whether it is well.
        """
        name = step["name"]
        if name == "on_load":
            return await self._load(step.get("parts") or {})
        if name == "on_unload":
            try:
                return await self._call("on_unload")
            finally:
                if self._context is not None:
                    self._context._close()
        if name == "on_enable" and self._context is not None:
            with self._context._enabling(step.get("round")):
                return await self._call(name)
        if name == "on_config_change":
            return await self._call(name, step.get("changed") or {})
        return await self._call(name)

    async def _load(self, parts: dict[str, list[dict[str, Any]]]) -> None:
        self._context = PluginContext()
        self._context._execute = self._execute
        # Only where the plugin has typed actions is there something to share the context with.
        actions = getattr(sys.modules.get(self._package), "__mozaiks_actions__", None)
        if actions is not None:
            actions.context = self._context
        own = Parts(self._package, self._context, parts)
        # Outer layers first: what comes later is wrapped by them.
        own.register_middleware()
        await self._call("on_load")
        await self._call("register_routes")
        own.register()
        self._context._listeners.end_loading()

    async def _call(self, name: str, *more: Any) -> Any:
        function = self.functions.get(name)
        if function is None:
            return None
        arguments = (self._context, *more)
        return await _handler.call(function, *arguments[: _handler.arity(function, len(arguments))])


def _functions(module: ModuleType) -> dict[str, Function]:
    holders: list[Any] = [module]
    factory = getattr(module, "new_plugin", None) or getattr(module, "NewPlugin", None)
    if callable(factory):
        holders.append(factory())
    elif getattr(module, "plugin", None) is not None:
        holders.append(module.plugin)
    found: dict[str, Function] = {}
    for step, names in NAMES.items():
        for holder in holders:
            function = next(
                (
                    each
                    for each in (getattr(holder, name, None) for name in names)
                    if callable(each)
                ),
                None,
            )
            if function is not None:
                found.setdefault(step, function)
    return found


def metadata(module: ModuleType) -> dict[str, Any]:
    """What `get_metadata` says, for what the manifest leaves open.

    Args:
        module: The plugin's entry.

    Returns:
        Version, description and the like.
    """
    get = getattr(module, "get_metadata", None) or getattr(module, "GetMetadata", None)
    if not callable(get):
        return {}
    found = get()
    return dict(found) if isinstance(found, dict) else {}
