"""Finds a plugin's lifecycle functions and the files that are parts of it; used by the gateway."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mozaiks.plugin import _handler
from mozaiks.plugin._context import PluginContext

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

# Functions that a part's file may have, in the order in which they are looked for.
PART_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "controllers": ("handler",),
    "events": ("listener", "handler"),
    "middleware": ("middleware", "handler"),
    "jobs": ("run", "handler"),
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
            _import_database(module)

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
        # Outer layers first: what comes later is wrapped by them.
        for part in parts.get("middleware", []):
            handler = self._part("middleware", part)
            self._context.register_middleware(handler, part.get("order", 10))
        await self._call("on_load")
        await self._call("register_routes")
        for part in parts.get("controllers", []):
            handler = self._part("controllers", part)
            options = {
                key: part[key]
                for key in (
                    "requires_auth",
                    "roles",
                    "rate_limit",
                    "request_schema",
                    "response_schema",
                    "timeout_seconds",
                )
                if part.get(key) is not None
            }
            self._context.register_route(part["method"], part["path"], handler, **options)
        for part in parts.get("events", []):
            self._context.on(part["event"], self._part("events", part))
        for part in parts.get("jobs", []):
            options = {
                key: part[key]
                for key in ("timezone", "missed", "timeout_seconds")
                if part.get(key) is not None
            }
            name = part.get("name") or _stem(part["file"]).replace("/", ".")
            self._context.schedule_task(
                part["cron"], self._part("jobs", part), name=name, **options
            )
        self._context._listeners.end_loading()

    def _part(self, folder: str, part: dict[str, Any]) -> Function:
        stem = _stem(part["file"])
        module = importlib.import_module(f"{self._package}.{folder}.{stem.replace('/', '.')}")
        _import_database(module)
        wanted = part.get("function")
        names = (wanted,) if wanted else (*PART_FUNCTIONS[folder], stem.rsplit("/", 1)[-1])
        for name in names:
            function = getattr(module, name, None)
            if callable(function):
                context = self._context
                takes = _handler.arity(function, 2)
                if folder == "controllers" and takes == 2 and _second(function) == "ctx":
                    return _with_context(function, context)
                return function  # type: ignore[no-any-return]
        looked_for = " or ".join(names)
        raise LookupError(f"{folder}/{part['file']} has no function {looked_for}")

    async def _call(self, name: str, *more: Any) -> Any:
        function = self.functions.get(name)
        if function is None:
            return None
        arguments = (self._context, *more)
        return await _handler.call(function, *arguments[: _handler.arity(function, len(arguments))])


def _second(function: Function) -> str:
    return list(inspect.signature(function).parameters)[1]


def _with_context(function: Function, context: PluginContext | None) -> Function:
    async def handler(request: Any) -> Any:
        return await _handler.call(function, request, context)

    return handler


def _stem(file: str) -> str:
    return file[:-3] if file.endswith(".py") else file


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


def _import_database(module: ModuleType) -> None:
    """Imports what is behind `ctx.db` while the plugin is loaded, where its code names it.

    The first use would hold the loop for as long.
    """
    codes = [found.__code__ for found in vars(module).values() if inspect.isfunction(found)]
    while codes:
        code = codes.pop()
        if "db" in code.co_names:
            importlib.import_module("mozaiks.database")
            return
        codes.extend(const for const in code.co_consts if inspect.iscode(const))
