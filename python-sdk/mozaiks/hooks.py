"""Hooks: filters that change a value on its way, actions that are told of something."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

from mozaiks import _declare, _host, _json

F = TypeVar("F", bound=Callable[..., Any])


class HookEntry(TypedDict):
    """A function of a hook."""

    plugin: str
    type: str
    priority: int
    required: bool
    public: bool


class Hooks:
    """Carries values through functions of plugins.

    Lower priorities come first, of equal ones the plugin's name decides. A function has a second, a
    chain five; where one fails or gives `None`, the value goes on as it was.
    """

    def __init__(self) -> None:
        # Weak, so that functions of a plugin that was unloaded do not stay.
        self._registrations: dict[tuple[str, Any], list[int]] = {}

    def register(
        self,
        name: str,
        callback: F,
        priority: int = 10,
        type: str = "filter",  # noqa: A002 - the name that plugins write
        *,
        required: bool = False,
        public: bool = False,
    ) -> F:
        """Calls a function whenever a hook is applied in an app that the plugin is on for.

        Args:
            name: The hook, such as `product.price`.
            callback: Of a filter called with `(value, *args)`, of an action with `(*args)`; async
                or plain.
            priority: Lower ones come first.
            type: `filter` or `action`.
            required: Whether its failure is that of the whole chain.
            public: Whether it takes part where a page applies the hook.

        Returns:
            The function.

        Raises:
            TypeError: If the callback cannot be called.
            HostError: If the name is not one; `PermissionDenied` for a hook that is not the
                plugin's own and that it has no permission for.
        """
        if not callable(callback):
            raise TypeError("a hook's callback must be a function")
        spec = {
            "hook_name": name,
            "hook_type": type,
            "priority": priority,
            "required": required,
            "public": public,
        }
        registration = _host.register("hook", spec, callback)
        key = (name, _weak(callback, lambda ref: self._registrations.pop((name, ref), None)))
        self._registrations.setdefault(key, []).append(registration)
        return callback

    def unregister(self, name: str, callback: Callable[..., Any]) -> bool:
        """Ends a registration.

        Args:
            name: The hook.
            callback: The function.

        Returns:
            Whether there was one.
        """
        key = (name, _weak(callback))
        registrations = self._registrations.get(key)
        if not registrations:
            return False
        registration = registrations.pop()
        if not registrations:
            del self._registrations[key]
        # With many apps `on_enable` has registered in each: the last one ends it.
        if registration not in registrations:
            _host.unregister(registration)
        return True

    def list(self, name: str) -> list[HookEntry]:
        """The functions of a hook in the caller's app, in the order of their calls.

        Args:
            name: The hook.

        Returns:
            Of each `plugin`, `type`, `priority`, `required` and `public`.
        """
        entries: list[HookEntry] = _host.query("hooks.list", {"name": name})
        return entries

    async def apply(self, name: str, value: Any, *args: Any) -> Any:
        """Sends a value through the filters of a hook.

        Args:
            name: The hook.
            value: What JSON can carry.
            *args: What the filters are given beside it.

        Returns:
            The value as the last filter left it.

        Raises:
            HostError: `HOOK_FAILED` where a filter failed that is required, `LIMIT_EXCEEDED` for
                hooks applied within hooks too deep.
        """
        payload = _json.dumps({"name": name, "value": value, "args": args})
        return await _host.request_encoded("hooks.apply", payload)

    async def do(self, name: str, *args: Any) -> None:
        """Calls the actions of a hook one after the other, and waits for them.

        Args:
            name: The hook.
            *args: What they are given.

        Raises:
            HostError: As `apply`.
        """
        await _host.request_encoded("hooks.do", _json.dumps({"name": name, "args": args}))


def _weak(callback: Callable[..., Any], when_gone: Callable[[Any], Any] | None = None) -> Any:
    """A weak reference to a function or method; what allows none is taken as it is."""
    try:
        if hasattr(callback, "__self__"):
            return weakref.WeakMethod(callback, when_gone)
        return weakref.ref(callback, when_gone)
    except TypeError:
        return callback


hooks = Hooks()


def on_hook(
    name: str,
    priority: int = 10,
    type: str = "filter",  # noqa: A002 - the name that plugins write
    *,
    required: bool = False,
    public: bool = False,
) -> Callable[[F], F]:
    """Registers the decorated function for a hook.

    Args:
        name: The hook.
        priority: Lower ones come first.
        type: `filter` or `action`.
        required: Whether its failure is that of the whole chain.
        public: Whether it takes part where a page applies the hook.

    Returns:
        The decorator.
    """

    def decorate(function: F) -> F:
        if _declare.of_part(function):
            return _declare.mark(
                function,
                "hooks",
                hook_name=name,
                hook_type=type,
                priority=priority,
                required=required,
                public=public,
            )
        return hooks.register(name, function, priority, type, required=required, public=public)

    return decorate
