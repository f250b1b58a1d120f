"""Groups of connections, as plugins under test have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mozaiks.errors import HostError

_MAX_NAME_BYTES = 128


class RecordingGroups:
    """Remembers who is in which group, and what groups were sent."""

    def __init__(self, connections: Mapping[str, str]) -> None:
        """Takes the connections that there are.

        Args:
            connections: Users by the ids of their connections, as they are at any time.
        """
        self.sent: list[tuple[str, Any]] = []
        self._connections = connections
        self._targets: dict[str, set[str]] = {}

    def subscribe(self, target: str | int, group: str) -> int:
        """Puts a connection or a user into a group.

        Args:
            target: A connection's id or a user's.
            group: The group.

        Returns:
            How many connections are in it by that.

        Raises:
            HostError: If the group's name is none.
        """
        if not 1 <= len(group.encode()) <= _MAX_NAME_BYTES:
            raise HostError("VALIDATION_ERROR", "a group's name has 1 to 128 bytes")
        reached = len(self._reached({str(target)}))
        if reached:
            self._targets.setdefault(group, set()).add(str(target))
        return reached

    def unsubscribe(self, target: str | int, group: str) -> bool:
        """Takes a connection or a user out of a group.

        Args:
            target: A connection's id or a user's.
            group: The group.

        Returns:
            Whether it was in it.
        """
        targets = self._targets.get(group, set())
        # A user goes with the connections that came in by themselves.
        gone = {one for one in targets if target in (one, self._connections.get(one))}
        targets -= gone
        if not targets:
            self._targets.pop(group, None)
        return bool(gone)

    def send(self, group: str, message: Any) -> int:
        """Remembers a message to a group.

        Args:
            group: The group.
            message: The message.

        Returns:
            How many connections are in it.
        """
        self.sent.append((group, message))
        return len(self._reached(self._targets.get(group, set())))

    def sent_to(self, group: str) -> list[Any]:
        """What was sent to a group, whether anybody was in it or not.

        Args:
            group: The group.

        Returns:
            The messages, in order.
        """
        return [message for name, message in self.sent if name == group]

    def presence(self, group: str) -> dict[str, Any]:
        """Who is in a group and connected.

        Args:
            group: The group.

        Returns:
            The users, and how many they are.
        """
        reached = self._reached(self._targets.get(group, set()))
        users = sorted({self._connections[connection] for connection in reached})
        return {"users": users, "count": len(users)}

    def _reached(self, targets: set[str]) -> set[str]:
        return {
            connection
            for connection, user in self._connections.items()
            if connection in targets or user in targets
        }
