"""Recording stand-ins for the gateway's services."""

from __future__ import annotations

import datetime as dt
import fnmatch
import inspect
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mozaiks.errors import HostError
from mozaiks.testing._groups import RecordingGroups

# What the gateway itself tells of: no plugin can emit it.
OWN_EVENTS = frozenset(
    {
        "notification_created",
        "plugin_changed",
        "plugin_config_updated",
        "plugin_disabled",
        "plugin_enabled",
        "plugin_executed",
        "plugin_execution_error",
        "plugin_failed",
        "plugin_job_failed",
        "plugin_loaded",
        "plugin_permission_denied",
        "plugin_reloaded",
        "plugin_unloaded",
        "settings_updated",
        "user:connected",
        "user:disconnected",
    }
)


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat()


@dataclass(frozen=True)
class PublishedEvent:
    """An event that was published."""

    app_id: str
    name: str
    data: dict[str, Any]
    timestamp: str


@dataclass(frozen=True)
class FailedDelivery:
    """A subscriber that raised."""

    event: PublishedEvent
    callback: Callable[..., Any]
    error: BaseException


class RecordingEvents:
    """Remembers events and hands them to subscribers when it is told to."""

    def __init__(self) -> None:
        self.all: list[PublishedEvent] = []
        self.failures: list[FailedDelivery] = []
        self.delivered = 0
        self._pending: deque[PublishedEvent] = deque()
        self._subscriptions: dict[int, tuple[str, Callable[..., Any], int]] = {}
        # The name of the event that is being delivered.
        self.delivering = ""

    def published(self, name: str | None = None) -> list[dict[str, Any]]:
        """The data of events.

        Args:
            name: Of this name or pattern only.

        Returns:
            The data, in the order of publishing.
        """
        return [
            event.data
            for event in self.all
            if name is None or fnmatch.fnmatchcase(event.name, name)
        ]

    def publish(self, app_id: str, name: str, data: dict[str, Any]) -> None:
        """Remembers an event.

        Args:
            app_id: The app it happened in.
            name: Its name.
            data: What is said about it.

        Raises:
            HostError: If the name is none.
        """
        if not name or "*" in name or any(c.isspace() for c in name) or len(name) > 200:
            raise HostError("VALIDATION_ERROR", f"{name!r} cannot be the name of an event")
        if name in OWN_EVENTS:
            raise HostError("VALIDATION_ERROR", f"the event {name!r} is the gateway's own")
        self.record(app_id, name, data)

    def record(self, app_id: str, name: str, data: dict[str, Any]) -> None:
        """Remembers an event of the gateway's own.

        Args:
            app_id: The app it happened in.
            name: Its name.
            data: What is said about it.
        """
        event = PublishedEvent(app_id, name, data, _now())
        self.all.append(event)
        self._pending.append(event)

    def subscribe(
        self, registration: int, pattern: str, callback: Callable[..., Any], priority: int = 10
    ) -> None:
        """Adds a subscriber.

        Args:
            registration: Its id.
            pattern: What it wants.
            callback: What is called.
            priority: Lower ones are called first.
        """
        self._subscriptions[registration] = (pattern, callback, priority)
        ordered = sorted(self._subscriptions.items(), key=lambda each: each[1][2])
        self._subscriptions = dict(ordered)

    def unsubscribe(self, registration: int) -> None:
        """Ends a subscription.

        Args:
            registration: Its id.
        """
        self._subscriptions.pop(registration, None)

    async def deliver(self) -> None:
        """Calls the subscribers of all events so far, and of those that they publish."""
        while self._pending:
            event = self._pending.popleft()
            for pattern, callback, _ in list(self._subscriptions.values()):
                if not fnmatch.fnmatchcase(event.name, pattern):
                    continue
                self.delivering = event.name
                try:
                    answer = callback(dict(event.data))
                    if inspect.isawaitable(answer):
                        await answer
                    self.delivered += 1
                except Exception as error:
                    self.failures.append(FailedDelivery(event, callback, error))

    def history(self, app_id: str, name: str, limit: int) -> list[dict[str, Any]]:
        """The latest events of a name.

        Args:
            app_id: The app.
            name: The name.
            limit: How many at most.

        Returns:
            Entries as the gateway gives them.
        """
        found = [event for event in self.all if event.app_id == app_id and event.name == name]
        latest = found[-limit:] if limit > 0 else []
        return [{"timestamp": event.timestamp, "data": event.data} for event in latest]

    def stats(self, app_id: str) -> dict[str, Any]:
        """The numbers of an app.

        Args:
            app_id: The app.

        Returns:
            As the gateway gives them.
        """
        by_type: dict[str, int] = defaultdict(int)
        for event in self.all:
            if event.app_id == app_id:
                by_type[event.name] += 1
        return {
            "events_published": sum(by_type.values()),
            "events_delivered": self.delivered,
            "delivery_failures": len(self.failures),
            "events_by_type": dict(by_type),
        }


@dataclass(frozen=True)
class SentMessage:
    """A message that was pushed."""

    user_id: str | None
    connection_id: str | None
    message: Any


class RecordingWebSockets:
    """Remembers pushes; connections are made by the test."""

    def __init__(self) -> None:
        self.sent: list[SentMessage] = []
        self._connections: dict[str, str] = {}
        self._handlers: dict[int, tuple[str, Callable[..., Any]]] = {}
        self.groups = RecordingGroups(self._connections)

    def connect(self, user_id: str) -> str:
        """Gives a user a connection.

        Args:
            user_id: The user.

        Returns:
            The connection's id.
        """
        connection_id = uuid.uuid4().hex
        self._connections[connection_id] = user_id
        return connection_id

    def disconnect(self, connection_id: str) -> None:
        """Takes a connection away.

        Args:
            connection_id: The connection.
        """
        self._connections.pop(connection_id, None)

    def sent_to(self, user_id: str) -> list[Any]:
        """What was pushed to a user, whether connected or not.

        Args:
            user_id: The user.

        Returns:
            The messages, in order.
        """
        return [sent.message for sent in self.sent if sent.user_id == user_id]

    async def receive(self, message_type: str, data: Any, connection_id: str) -> int:
        """Hands a message to the handlers of its type, as if a client had sent it.

        Args:
            message_type: Its type.
            data: The message.
            connection_id: Where it comes from.

        Returns:
            How many handlers there were.
        """
        handlers = [call for kind, call in self._handlers.values() if kind == message_type]
        for handler in handlers:
            answer = handler(data, connection_id)
            if inspect.isawaitable(answer):
                await answer
        return len(handlers)

    def subscribe(self, registration: int, message_type: str, handler: Callable[..., Any]) -> None:
        """Adds a handler.

        Args:
            registration: Its id.
            message_type: What it handles.
            handler: What is called.
        """
        self._handlers[registration] = (message_type, handler)

    def unsubscribe(self, registration: int) -> None:
        """Takes a handler away.

        Args:
            registration: Its id.
        """
        self._handlers.pop(registration, None)

    def send_to_user(self, user_id: str, message: Any) -> int:
        """Remembers a push.

        Args:
            user_id: To whom.
            message: The message.

        Returns:
            How many connections the user has.
        """
        self.sent.append(SentMessage(user_id, None, message))
        return sum(user == user_id for user in self._connections.values())

    def broadcast(self, message: Any) -> int:
        """Remembers a push to all.

        Args:
            message: The message.

        Returns:
            How many connections there are.
        """
        self.sent.append(SentMessage(None, None, message))
        return len(self._connections)

    def send_to_connection(self, connection_id: str, message: Any) -> bool:
        """Remembers a push to a connection.

        Args:
            connection_id: The connection.
            message: The message.

        Returns:
            Whether it exists.
        """
        user_id = self._connections.get(connection_id)
        self.sent.append(SentMessage(user_id, connection_id, message))
        return user_id is not None

    def is_connected(self, user_id: str) -> bool:
        """Whether a user has a connection.

        Args:
            user_id: The user.

        Returns:
            Whether there is one.
        """
        return user_id in self._connections.values()

    def connected_users(self) -> list[str]:
        """Who has a connection.

        Returns:
            The users, sorted.
        """
        return sorted(set(self._connections.values()))


@dataclass
class RecordingNotifications:
    """Keeps notifications in memory."""

    created: list[dict[str, Any]] = field(default_factory=list)
    preferences: dict[str, dict[str, Any]] = field(default_factory=dict)

    def create(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Creates a notification.

        Args:
            payload: As `create_notification` sends it.

        Returns:
            The notification.
        """
        notification = {
            "id": uuid.uuid4().hex[:24],
            "user_id": payload["user_id"],
            "type": payload["notification_type"],
            "title": payload["title"],
            "message": payload["message"],
            "metadata": payload.get("metadata") or {},
            "channels": payload.get("channels") or ["in_app"],
            "delivered": True,
            "read": False,
            "created_at": _now(),
        }
        self.created.append(notification)
        return notification

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """The notifications of a user, newest first.

        Args:
            user_id: The user.

        Returns:
            The notifications.
        """
        return [each for each in reversed(self.created) if each["user_id"] == user_id]

    def find(self, user_id: str, notification_id: str) -> dict[str, Any] | None:
        """A notification of a user.

        Args:
            user_id: The user.
            notification_id: The notification.

        Returns:
            The notification, if there is one.
        """
        return next((each for each in self.of(user_id) if each["id"] == notification_id), None)

    def delete(self, user_id: str, notification_id: str) -> bool:
        """Deletes a notification of a user.

        Args:
            user_id: The user.
            notification_id: The notification.

        Returns:
            Whether there was one.
        """
        found = self.find(user_id, notification_id)
        if found is not None:
            self.created.remove(found)
        return found is not None
