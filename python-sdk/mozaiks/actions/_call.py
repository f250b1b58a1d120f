"""Who calls an action, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mozaiks.plugin import PluginContext


class Call:
    """One call of an action; an action that has a parameter of this type is given it.

    Everything but `data` is the gateway's own word: no client can fake it.
    """

    __slots__ = ("_context", "_find_context", "action", "data")

    def __init__(
        self, action: str, data: dict[str, Any], find_context: Callable[[], PluginContext]
    ) -> None:
        """Made for each call.

        Args:
            action: The action's name.
            data: What `execute` would be given.
            find_context: Gives the plugin's context.
        """
        self.action = action
        self.data = data
        self._context: dict[str, Any] = data.get("_context") or {}
        self._find_context = find_context

    @property
    def user_id(self) -> str:
        """Who calls."""
        return str(self.data["user_id"])

    @property
    def app_id(self) -> str:
        """The app that the call is for."""
        return str(self.data["app_id"])

    @property
    def username(self) -> str | None:
        """The caller's name, where the token has one."""
        return self._context.get("username")

    @property
    def roles(self) -> tuple[str, ...]:
        """The caller's roles."""
        return tuple(self._context.get("roles") or ())

    @property
    def is_superadmin(self) -> bool:
        """Whether the caller is a superadmin."""
        return bool(self._context.get("is_superadmin"))

    @property
    def request_id(self) -> str:
        """The request's id, as in the log and in `X-Request-Id`."""
        return str(self._context.get("request_id"))

    @property
    def context(self) -> dict[str, Any]:
        """What `execute` has under `_context`."""
        return self._context

    @property
    def ctx(self) -> PluginContext:
        """The plugin's context, as the functions of its life are given it."""
        return self._find_context()

    def __repr__(self) -> str:
        return f"<Call {self.action}>"
