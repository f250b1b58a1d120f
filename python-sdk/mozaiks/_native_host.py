"""The gateway itself, through the module that it builds into its interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

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

    def register(self, kind: str, spec: bytes, callback: Callable[..., Any]) -> int:
        """Registers a function.

        Args:
            kind: What for.
            spec: A JSON object with what exactly.
            callback: The function.

        Returns:
            The registration's id.

        Raises:
            HostError: If the gateway does not take it.
        """
        try:
            return native.register_handler(kind, spec, callback)
        except native.HostError as error:
            raise HostError(error.code, error.message, error.details) from None

    def unregister(self, registration: int) -> None:
        """Ends a registration.

        Args:
            registration: Its id.
        """
        native.unregister(registration)
