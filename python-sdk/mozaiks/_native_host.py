"""The gateway itself, through the module that it builds into its interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import _mozaiks_native as native

from mozaiks.errors import HostError


class NativeHost:
    """Speaks to the gateway for whichever plugin runs at the moment."""

    serves_database = True

    async def request(self, operation: str, payload: bytes) -> bytes:
        """Does something that takes time.

        Args:
            operation: Its name.
            payload: Its arguments.

        Returns:
            The answer.

        Raises:
            HostError: If the gateway did not do it.
        """
        try:
            try:
                future = native.request(operation, payload)
            except RuntimeError:
                # Not the gateway's own loop: a thread of the plugin, with a loop of its own.
                return await asyncio.to_thread(native.request_blocking, operation, payload)
            return await future
        except native.HostError as error:
            raise HostError(error.code, error.message, error.details) from None

    def query(self, operation: str, payload: bytes) -> bytes:
        """Answers at once from memory.

        Args:
            operation: Its name.
            payload: Its arguments.

        Returns:
            The answer.

        Raises:
            HostError: If the gateway does not know.
        """
        try:
            return native.query(operation, payload)
        except native.HostError as error:
            raise HostError(error.code, error.message, error.details) from None

    def publish(self, event: str, data: bytes) -> None:
        """Publishes an event.

        Args:
            event: Its name.
            data: A JSON object.

        Raises:
            HostError: If the name is not one or the data is too large.
        """
        try:
            native.publish(event, data)
        except native.HostError as error:
            raise HostError(error.code, error.message, error.details) from None

    def register_event(self, pattern: str, callback: Callable[..., Any]) -> int:
        """Sends events to a function.

        Args:
            pattern: Which events.
            callback: The function.

        Returns:
            The registration's id.
        """
        return self._register("event", pattern, callback)

    def register_websocket_message(self, message_type: str, callback: Callable[..., Any]) -> int:
        """Sends WebSocket messages of a type to a function.

        Args:
            message_type: Which messages.
            callback: The function.

        Returns:
            The registration's id.
        """
        return self._register("websocket", message_type, callback)

    def unregister(self, registration: int) -> None:
        """Ends a registration.

        Args:
            registration: Its id.
        """
        native.unregister(registration)

    def _register(
        self, kind: Literal["event", "websocket"], key: str, callback: Callable[..., Any]
    ) -> int:
        try:
            return native.register_handler(kind, key, callback)
        except native.HostError as error:
            raise HostError(error.code, error.message, error.details) from None
