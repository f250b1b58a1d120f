"""Pushes to the WebSocket connections of users of the caller's app."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict, TypeVar, overload

from mozaiks import _host
from mozaiks._original import Guided

F = TypeVar("F", bound=Callable[..., Any])


class GroupPresence(TypedDict):
    """Who is in a group and connected.

    Attributes:
        users: The users, sorted.
        count: How many they are.
    """

    users: list[str]
    count: int


class UserConnections:
    """All connections of one user, where existing plugins expect a list of them."""

    def __init__(self, user_id: str) -> None:
        """Names the user.

        Args:
            user_id: A user of the caller's app.
        """
        self.user_id = user_id

    async def send_json(self, message: Any) -> None:
        """Sends a message to every connection of the user.

        Args:
            message: A dict; it arrives as it is.
        """
        await websocket_manager.send_to_user(self.user_id, message)


class ActiveConnections(Mapping[str, list[UserConnections]]):
    """Who is connected, by user, as it is at the moment. Nothing can be put in."""

    def __getitem__(self, user_id: str) -> list[UserConnections]:
        if not websocket_manager.is_connected(user_id):
            raise KeyError(user_id)
        return [UserConnections(user_id)]

    def __contains__(self, user_id: object) -> bool:
        return isinstance(user_id, str) and websocket_manager.is_connected(user_id)

    def __iter__(self) -> Iterator[str]:
        return iter(websocket_manager.connected_users())

    def __len__(self) -> int:
        return len(websocket_manager.connected_users())


class WebSocketManager(Guided):
    """Sends messages to connected users and hears what they send."""

    _known_as = "websocket_manager"

    @property
    def active_connections(self) -> ActiveConnections:
        """Who is connected, by user; for each one entry that stands for all connections."""
        return ActiveConnections()

    async def send_to_user(self, user_id: str, message: Any) -> int:
        """Sends a message to every connection of a user.

        Args:
            user_id: A user of the caller's app.
            message: A dict; it arrives as it is.

        Returns:
            How many connections were reached.

        Raises:
            TypeError: If the message holds what JSON cannot carry.
            HostError: If it is no object or too large.
        """
        return int(await _host.request("ws.send_to_user", {"user_id": user_id, "message": message}))

    async def broadcast(self, message: Any) -> int:
        """Sends a message to every connection of the caller's app.

        Returns when the message is on its way: what is sent to one of the users afterwards arrives
        after it.

        Args:
            message: A dict; it arrives as it is.

        Returns:
            How many connections it goes to.
        """
        return int(await _host.request("ws.broadcast", {"message": message}))

    async def send_to_connection(self, connection_id: str, message: Any) -> bool:
        """Sends a message to one connection of the caller's app.

        Args:
            connection_id: As handlers of `on_message` get it.
            message: A dict; it arrives as it is.

        Returns:
            Whether the connection was there.
        """
        payload = {"connection_id": connection_id, "message": message}
        return bool(await _host.request("ws.send_to_connection", payload))

    def is_connected(self, user_id: str) -> bool:
        """Whether a user of the caller's app has a connection.

        Args:
            user_id: The user.

        Returns:
            Whether a message would reach anybody.
        """
        return bool(_host.query("ws.is_connected", {"user_id": user_id}))

    def connected_users(self) -> list[str]:
        """The users of the caller's app that have a connection.

        Returns:
            Their ids, sorted.
        """
        users: list[str] = _host.query("ws.connected_users")
        return users

    async def subscribe(self, target: str | int, group: str, *, presence: bool = False) -> int:
        """Puts a connection, or a user with every connection, into a group of the caller's app.

        Who may be in a group is the plugin's decision alone: clients cannot ask for it. A
        connection that breaks and comes back within the time that messages are kept is in its
        groups again and has what they were sent meanwhile. A user is in it with connections to
        come too, until taken out or away for longer than that.

        Args:
            target: A connection's id, as handlers of `on_message` get it, or a user's.
            group: The group's name, 1 to 128 bytes; it is there while somebody is in it.
            presence: Whether the group's members are told from now on who comes and goes, by
                `{"type": "group_presence", "joined": [...], "left": [...], "count": n}`.

        Returns:
            How many connections are in the group by that; 0 where there is no such connection or
            user.

        Raises:
            HostError: If the name is none (`VALIDATION_ERROR`), or there are too many groups,
                members or groups of the user (`LIMIT_EXCEEDED`).
        """
        payload = {"target": target, "group": group, "presence": presence}
        return int(await _host.request("ws.subscribe", payload))

    async def unsubscribe(self, target: str | int, group: str) -> bool:
        """Takes a connection out of a group, or a user, in whichever way it has come in.

        Args:
            target: A connection's id or a user's.
            group: The group's name.

        Returns:
            Whether it was in the group.
        """
        return bool(await _host.request("ws.unsubscribe", {"target": target, "group": group}))

    async def send_to_group(self, group: str, message: Any) -> int:
        """Sends a message to every connection in a group of the caller's app.

        Args:
            group: The group's name.
            message: A dict; it arrives with the group's name under `_group`.

        Returns:
            How many connections were reached.

        Raises:
            TypeError: If the message holds what JSON cannot carry.
            HostError: If it is no object or too large.
        """
        return int(await _host.request("ws.send_to_group", {"group": group, "message": message}))

    def presence(self, group: str) -> GroupPresence:
        """Who is in a group of the caller's app and connected.

        Args:
            group: The group's name.

        Returns:
            The users and how many they are.
        """
        present: GroupPresence = _host.query("ws.presence", {"group": group})
        return present

    @overload
    def on_message(self, message_type: str, handler: F) -> F: ...

    @overload
    def on_message(self, message_type: str, handler: None = None) -> Callable[[F], F]: ...

    def on_message(self, message_type: str, handler: F | None = None) -> F | Callable[[F], F]:
        """Calls a function with the messages of a type that users send. Also a decorator.

        Args:
            message_type: What the message has under `type`.
            handler: `async def` or `def`, called with `(data, connection_id)`.

        Returns:
            The function, or a decorator where none is given.
        """
        if handler is None:

            def decorate(function: F) -> F:
                return self.on_message(message_type, function)

            return decorate
        if not callable(handler):
            raise TypeError("a message's handler must be a function")
        _host.register("websocket", {"type": message_type}, handler)
        return handler


websocket_manager = WebSocketManager()
