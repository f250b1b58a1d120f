"""Runs a migration that is Python; used by the gateway."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mozaiks.plugin import _handler


def of(package: str) -> Callable[..., Any]:
    """What runs migrations of a load of a plugin.

    Args:
        package: The load's package in `sys.modules`.

    Returns:
        An async function of one step: `file`, `source` and `direction`.
    """
    return functools.partial(_run, package)


async def _run(package: str, step: dict[str, Any]) -> None:
    """Runs `up(db)` or `down(db)`.

    The text comes from the gateway, which has taken its checksum: what the file says by now is
    not asked for. The database knows the call, and does, refuses or just notes what it is told.
    """
    database = importlib.import_module("mozaiks.database")
    module = _module(package, step["file"], step["source"])
    function = getattr(module, step["direction"], None)
    if not callable(function):
        raise LookupError(f"migrations/{step['file']} has no function {step['direction']}(db)")
    await _handler.call(function, *(database.db,)[: _handler.arity(function, 1)])


def _module(package: str, file: str, source: str) -> ModuleType:
    folder = f"{package}.migrations"
    stem = os.path.splitext(file)[0]
    module = ModuleType(f"{folder}.{stem}")
    # `from ..utils import prices` works as in the plugin's other files.
    module.__package__ = folder
    root = sys.modules.get(package)
    directory = next(iter(getattr(root, "__path__", [])), "")
    module.__file__ = os.path.join(directory, "migrations", file)
    code = compile(source, module.__file__, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module
