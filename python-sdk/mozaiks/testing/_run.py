"""Calls plugins as the gateway does."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import itertools
import sys
import types
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozaiks import _host, _json
from mozaiks.actions._declare import finish
from mozaiks.testing._gateway import TestGateway, current_app

_loads = itertools.count(1)


@dataclass(frozen=True)
class PluginCode:
    """A plugin that was imported."""

    module: types.ModuleType
    execute: Callable[[dict[str, Any]], Any]


def load_plugin(path: str | Path) -> PluginCode:
    """Imports a plugin as a package of its own.

    Args:
        path: The plugin's directory.

    Returns:
        Its module with `execute`.

    Raises:
        FileNotFoundError: If there is no `logic.py`.
        LookupError: If it defines neither `execute` nor `run`, and no action.
        TypeError: If an action's signature has no JSON Schema.
    """
    directory = resolved(path)
    package, module = load_package(directory)
    function = entry_of(package, module)
    if not callable(function):
        raise LookupError(f"{directory.name} defines neither execute(data) nor run(data)")
    return PluginCode(module, function)


def entry_of(package: str, module: types.ModuleType) -> Callable[..., Any] | None:
    """What answers calls of a plugin: its actions, its `execute`, or both.

    Args:
        package: Its package's name.
        module: Its entry.

    Returns:
        A function of a call's data; None where it has neither.

    Raises:
        TypeError: If an action's signature has no JSON Schema.
    """
    function = getattr(module, "execute", None) or getattr(module, "run", None)
    answering, _ = finish(sys.modules[package], function)
    return answering


def resolved(path: str | Path) -> Path:
    """The whole path of a directory.

    Args:
        path: The directory.

    Returns:
        Its path without links.
    """
    return Path(path).resolve()


def load_package(directory: Path) -> tuple[str, types.ModuleType]:
    """Imports a plugin's package and its entry.

    Args:
        directory: The plugin's directory.

    Returns:
        The package's name and the entry's module.

    Raises:
        FileNotFoundError: If there is no `logic.py`.
    """
    relative = next(
        (name for name in ("logic", "backend.logic") if _file(directory, name).is_file()), None
    )
    is_of_parts = any((directory / name).is_file() for name in ("plugin.json", "manifest.json"))
    if relative is None and not is_of_parts:
        raise FileNotFoundError(f"{directory} has neither logic.py nor backend/logic.py")
    package = f"_mozaiks_test_plugins_{next(_loads)}_{directory.name.replace('-', '_')}"
    init = directory / "__init__.py"
    if init.is_file():
        spec = importlib.util.spec_from_file_location(
            package, init, submodule_search_locations=[str(directory)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{init} cannot be imported")
        root = importlib.util.module_from_spec(spec)
        sys.modules[package] = root
        spec.loader.exec_module(root)
    else:
        root = types.ModuleType(package)
        root.__path__ = [str(directory)]
        sys.modules[package] = root
    if relative is None:
        return package, root
    return package, importlib.import_module(f"{package}.{relative}")


async def run_plugin(
    path: str | Path | PluginCode,
    action: str | None = None,
    *,
    user_id: str = "test-user",
    app_id: str = "default",
    username: str | None = None,
    roles: Iterable[str] = (),
    is_superadmin: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    """Calls a plugin as the gateway does for an authenticated user.

    Works within a `TestGateway`, which loads each plugin once. Subscribers of events that the call
    publishes have run when it returns.

    Args:
        path: The plugin's directory, or what `load_plugin` gave.
        action: What the client puts under `action`, if anything.
        user_id: Who calls.
        app_id: In which app.
        username: The caller's name.
        roles: The caller's roles.
        is_superadmin: Whether the caller is one.
        fields: What else the client sends. Identity fields among it are overwritten.

    Returns:
        The plugin's dict as a client gets it, read from JSON.

    Raises:
        TypeError: If the plugin returns no dict, or one that JSON cannot carry.
        RuntimeError: If there is no `TestGateway`.
    """
    host = _host.get()
    if not isinstance(host, TestGateway):
        raise RuntimeError("run_plugin works within a TestGateway (pytest's fixture `gateway`)")
    token = current_app.set(app_id)
    try:
        code = path if isinstance(path, PluginCode) else _loaded(host, path)
        body = dict(fields) if action is None else {"action": action, **fields}
        data: dict[str, Any] = _json.loads(_json.dumps(body))
        data.pop("_entitlements", None)
        data["user_id"], data["app_id"] = user_id, app_id
        data["_context"] = {
            "app_id": app_id,
            "user_id": user_id,
            "username": username,
            "roles": list(roles),
            "is_superadmin": is_superadmin,
            "request_id": uuid.uuid4().hex,
        }
        if inspect.iscoroutinefunction(code.execute):
            result = await code.execute(data)
        else:
            result = await asyncio.to_thread(code.execute, data)
            if inspect.isawaitable(result):
                result = await result
        if not isinstance(result, dict):
            raise TypeError(f"the plugin returned {type(result).__name__}, not a dict")
        answer: dict[str, Any] = _json.loads(_json.dumps(result))
        await host.settle()
        return answer
    finally:
        current_app.reset(token)


def _loaded(host: TestGateway, path: str | Path) -> PluginCode:
    key = str(Path(path).resolve())
    if key not in host.loaded:
        host.loaded[key] = load_plugin(path)
    code: PluginCode = host.loaded[key]
    return code


def _file(directory: Path, dotted: str) -> Path:
    return directory.joinpath(*dotted.split(".")).with_suffix(".py")
