"""`@action`, and the actions that a plugin has declared."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from mozaiks.actions._build import Action
from mozaiks.actions._errors import ActionError, Misfit
from mozaiks.plugin import _handler

if TYPE_CHECKING:
    from mozaiks.plugin import PluginContext

F = TypeVar("F", bound=Callable[..., Any])
Execute = Callable[[dict[str, Any]], Any]
Declared = tuple[str, str | None, str, str]

# Where a plugin's package keeps its table: it goes with the package.
_KEY = "__mozaiks_actions__"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


class Table:
    """The actions of one load of a plugin."""

    def __init__(self) -> None:
        """Empty, until the import has ended."""
        self.functions: list[tuple[str, Callable[..., Any]]] = []
        self.actions: dict[str, Action] = {}
        self.is_open = True
        self.context: PluginContext | None = None

    def finish(self) -> None:
        """Looks at all signatures: names that come later in the module are there now.

        Raises:
            TypeError: If one has no JSON Schema, or two actions have one name.
        """
        self.is_open = False
        for name, function in self.functions:
            made, before = Action(name, function), self.actions.get(name)
            if before is not None:
                raise TypeError(
                    f"two functions are the action {name!r}: {_shown(before.function)} and "
                    f"{_shown(function)}"
                )
            self.actions[name] = made

    def find_context(self) -> PluginContext:
        """The plugin's context: that of its life, where it has one.

        Returns:
            The context.
        """
        if self.context is None:
            from mozaiks.plugin import PluginContext

            self.context = PluginContext()
        return self.context


def action(name: str) -> Callable[[F], F]:
    """Makes a function what answers calls whose `action` has this name.

    Its parameters are what a client sends, checked by the gateway before it is called; one that is
    annotated with `Call` is given the call. `user_id`, `app_id`, `action` and `_context` are the
    gateway's own word. What it returns is the answer, under `result` where it is no object.

    Args:
        name: Letters, digits and `_ . : -`, at most 64.

    Returns:
        A decorator that gives the function back as it is.

    Raises:
        TypeError: If there is no name.
        ValueError: If it is not one.
        RuntimeError: After the plugin's import.
    """
    if not isinstance(name, str):
        raise TypeError('an action has a name: write @action("create")')
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is no name of an action: letters, digits and _ . : - are, at most 64"
        )
    table = _table(sys._getframe(1).f_globals)

    def declare(function: F) -> F:
        if not callable(function):
            raise TypeError(f"the action {name!r} must be a function")
        table.functions.append((name, function))
        return function

    return declare


def _table(scope: dict[str, Any]) -> Table:
    package = str(scope.get("__name__", "")).partition(".")[0]
    root = sys.modules.get(package)
    held = scope if root is None else vars(root)
    table: Table = held.setdefault(_KEY, Table())
    if not table.is_open:
        raise RuntimeError("actions are declared while the plugin is imported, not later")
    return table


def table_of(root: ModuleType) -> Table | None:
    """The actions of a plugin's package.

    Args:
        root: The package.

    Returns:
        Its table, where it has declared any.
    """
    table: Table | None = vars(root).get(_KEY)
    return table


def finish(root: ModuleType, execute: Execute | None) -> tuple[Execute | None, list[Declared]]:
    """Ends the declaring; called by the gateway when a plugin has been imported.

    Args:
        root: The plugin's package.
        execute: Its own `execute`, where it has one.

    Returns:
        What answers calls in its place; and of each action its name, its description and its two
        schemas as JSON.

    Raises:
        TypeError: If a signature has no JSON Schema, or two actions have one name.
    """
    table = table_of(root)
    if table is None or not table.functions:
        return execute, []
    table.finish()
    declared: list[Declared] = [
        (each.name, each.description, json.dumps(each.input), json.dumps(each.result))
        for each in table.actions.values()
    ]
    return _entry(table, execute), declared


def _entry(table: Table, execute: Execute | None) -> Execute:
    """What answers a call: its action, or else `execute`."""
    actions = table.actions

    def find(data: dict[str, Any]) -> Action | None:
        wanted = data.get("action")
        return actions.get(wanted) if type(wanted) is str else None

    def run_plain(data: dict[str, Any]) -> Any:
        found = find(data)
        if found is None:
            return _unknown(table, data) if execute is None else execute(data)
        try:
            arguments = found.arguments(data, table.find_context)
            return found.answer(found.function(**arguments))
        except (Misfit, ActionError) as error:
            return found.refusal(data, error)

    async def run(data: dict[str, Any]) -> Any:
        found = find(data)
        if found is None:
            return _unknown(table, data) if execute is None else await _handler.call(execute, data)
        try:
            arguments = found.arguments(data, table.find_context)
            function = found.function
            if found.is_async:
                return found.answer(await function(**arguments))
            result = await asyncio.to_thread(functools.partial(function, **arguments))
            return found.answer(await result if inspect.isawaitable(result) else result)
        except (Misfit, ActionError) as error:
            return found.refusal(data, error)

    functions = [each.function for each in actions.values()]
    functions += [] if execute is None else [execute]
    # Plain functions run on the gateway's threads for them, where nothing else is to be awaited.
    return run if any(_handler.is_async(each) for each in functions) else run_plain


def _unknown(table: Table, data: dict[str, Any]) -> dict[str, Any]:
    names = list(table.actions)
    wanted = data.get("action")
    known = ", ".join(names[:20])
    if isinstance(wanted, str):
        near = get_close_matches(wanted, names, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        sentence = f"there is no action {wanted!r} here: {known}{meant}"
    else:
        sentence = f"an action is wanted: {known}"
    details = {"path": "/action", "actions": names}
    return {"error": sentence, "error_code": "VALIDATION_ERROR", "details": details}


def _shown(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", repr(function))
    return f"{getattr(function, '__module__', '')}.{name}"
