"""What stands in for the gateway in tests."""

from __future__ import annotations

import inspect
import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from pymongo.uri_parser import parse_uri

from mozaiks import _host, _json
from mozaiks.database import _transport
from mozaiks.errors import HostError
from mozaiks.testing._broadcasts import RecordingBroadcasts, RecordingSchedule
from mozaiks.testing._docstore import Docstore, find_docstore
from mozaiks.testing._files import MemoryFiles
from mozaiks.testing._hooks import MemoryHooks
from mozaiks.testing._http import RecordingHttp
from mozaiks.testing._numbers import inexact
from mozaiks.testing._plugin_data import PluginData, current_plugin, within
from mozaiks.testing._services import (
    RecordingEvents,
    RecordingNotifications,
    RecordingWebSockets,
)


def _with_id(
    callback: Callable[..., Any], ids: Iterator[int], events: RecordingEvents
) -> Callable[..., Any]:
    return lambda data: callback(data, next(ids), events.delivering)


current_app: ContextVar[str] = ContextVar("current_app", default="default")


class TestGateway:
    """Stands behind the objects of `core` and remembers what is done with them.

    Attributes:
        events: What was published, and who subscribed.
        websocket: What was pushed.
        notifications: What was created.
        broadcasts: What `broadcast_service` was asked for.
        scheduled: What `digest_scheduler` is to send later.
        settings: User id to plugin to settings.
        plugins: What started plugins have configured and stored.
        hooks: What was registered for hooks.
        files: What started plugins have written with `ctx.files`.
    """

    # pytest would take it for a test otherwise.
    __test__ = False

    serves_database = False

    def __init__(self, database_uri: str | None = None) -> None:
        """Prepares a gateway.

        Args:
            database_uri: Where documents go: else `TEST_MONGODB_URI`, else a `docstore` process
                (`MOZAIKS_DOCSTORE` or on the path), started when the database is first used.
        """
        self.events = RecordingEvents()
        self.hooks = MemoryHooks()
        self.websocket = RecordingWebSockets()
        self.notifications = RecordingNotifications()
        self.broadcasts = RecordingBroadcasts(self.notifications)
        self.scheduled = RecordingSchedule(self.notifications)
        self.settings: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self.plugins = PluginData()
        self.http = RecordingHttp()
        self.files = MemoryFiles()
        self._uri = database_uri or os.environ.get("TEST_MONGODB_URI")
        self._docstore: Docstore | None = None
        self._database = f"mozaiks_test_{uuid.uuid4().hex[:12]}"
        self._database_used = False
        self._ids = itertools.count(1)
        self._before: _host.Host | None = None
        self.loaded: dict[str, Any] = {}
        self.registered: dict[str, list[tuple[dict[str, Any], Callable[..., Any]]]] = {}

    # What tests use.

    @property
    def database_uri(self) -> str:
        """Where documents go."""
        if self._uri is None:
            program = find_docstore()
            if program is None:
                raise RuntimeError(
                    "no database for this test: set TEST_MONGODB_URI, or MOZAIKS_DOCSTORE to the "
                    "docstore program"
                )
            self._docstore = Docstore(program)
            self._uri = self._docstore.uri
        return self._uri

    async def settle(self) -> None:
        """Lets subscribers have the events that were published so far."""
        await self.events.deliver()

    async def aclose(self) -> None:
        """Drops the test's database and stops what was started."""
        if self._database_used:
            await _transport.client().drop_database(self._database)
        await _transport.close_clients()
        if self._docstore is not None:
            self._docstore.close()
            self._docstore = None

    async def __aenter__(self) -> TestGateway:
        self._before = _host.install(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        finally:
            _host.install(self._before)

    # What the objects of `core` use.

    def database_target(self) -> tuple[str, str]:
        """Where documents go.

        Returns:
            The URI and the test's own database.
        """
        self._database_used = True
        uri = self.database_uri
        parse_uri(uri, warn=False, validate=False)
        return uri, self._database

    async def request(self, operation: str, payload: bytes) -> bytes:
        """Does what a manager asks for.

        Args:
            operation: Its name.
            payload: Its arguments.

        Returns:
            The answer.

        Raises:
            HostError: If the stand-in knows no such operation.
        """
        if operation == "stream.write":
            # The stream's number in eight bytes, then the piece itself.
            return _json.dumps(self.plugins.write(int.from_bytes(payload[:8], "big"), payload[8:]))
        if operation == "http.request":
            return self.http.request(payload)
        if operation.startswith("hooks."):
            return _json.dumps(await self.hooks.run(operation, _json.loads(payload)))
        if operation.startswith("files."):
            name = self.plugins.running().name
            return self.files.request(current_app.get(), name, operation, payload)
        if operation.startswith(("plugin.", "storage.", "stream.")):
            arguments = _json.loads(payload)
            return _json.dumps(self.plugins.request(current_app.get(), operation, arguments))
        action = self._requests().get(operation)
        if action is None:
            raise HostError("NOT_FOUND", f"mozaiks.testing has no stand-in for {operation}")
        return _json.dumps(action(_json.loads(payload)))

    def query(self, operation: str, payload: bytes) -> bytes:
        """Answers what a manager asks.

        Args:
            operation: Its name.
            payload: Its arguments.

        Returns:
            The answer.

        Raises:
            HostError: If the stand-in knows no such operation.
        """
        arguments = _json.loads(payload)
        app_id = current_app.get()
        if operation.startswith("plugin."):
            return _json.dumps(self.plugins.query(operation))
        if operation == "hooks.list":
            return _json.dumps(self.hooks.list(arguments["name"]))
        if operation == "events.history":
            return _json.dumps(
                self.events.history(app_id, arguments["event"], arguments.get("limit", 10))
            )
        if operation == "events.stats":
            return _json.dumps(self.events.stats(app_id))
        if operation == "ws.is_connected":
            return _json.dumps(self.websocket.is_connected(arguments["user_id"]))
        if operation == "ws.connected_users":
            return _json.dumps(self.websocket.connected_users())
        if operation == "ws.presence":
            return _json.dumps(self.websocket.groups.presence(arguments["group"]))
        raise HostError("NOT_FOUND", f"mozaiks.testing has no stand-in for {operation}")

    def publish(self, event: str, data: bytes) -> None:
        """Remembers an event.

        Args:
            event: Its name.
            data: A JSON object.
        """
        self.events.publish(current_app.get(), event, _json.loads(data))

    def register(self, kind: str, spec: bytes, callback: Callable[..., Any]) -> int:
        """Registers a function.

        Args:
            kind: `event`, `websocket`, `route`, `job` or `execute`.
            spec: What for.
            callback: The function.

        Returns:
            The registration's id.

        Raises:
            HostError: If the stand-in knows no such kind.
        """
        registration = next(self._ids)
        wanted = _json.loads(spec)
        if kind == "event":
            if wanted.get("with_id"):
                callback = _with_id(callback, self._ids, self.events)
            plugin = current_plugin.get()
            if plugin is not None:
                callback = within(plugin, callback)
            if wanted.get("pages"):
                # There are no pages here.
                return registration
            priority = wanted.get("priority", 10)
            self.events.subscribe(registration, wanted["pattern"], callback, priority)
        elif kind == "websocket":
            self.websocket.subscribe(registration, wanted["type"], callback)
        elif kind == "hook":
            plugin = current_plugin.get()
            if plugin is not None:
                callback = within(plugin, callback)
            name = plugin.name if plugin is not None else ""
            self.hooks.register(registration, name, wanted, callback)
        elif kind in ("route", "execute", "job", "widget"):
            plugin = current_plugin.get()
            if plugin is not None:
                wanted["plugin"] = plugin.name
            self.registered.setdefault(kind, []).append((wanted, callback))
        else:
            raise HostError("NOT_FOUND", f"mozaiks.testing knows no registration {kind}")
        return registration

    def unregister(self, registration: int) -> None:
        """Takes a function away.

        Args:
            registration: The registration's id.
        """
        self.hooks.unregister(registration)
        self.events.unsubscribe(registration)
        self.websocket.unsubscribe(registration)

    async def run_job(self, name: str, **about: Any) -> None:
        """Runs a scheduled job once, whatever its schedule says.

        Args:
            name: The job's name.
            **about: What its `run` is to say beside `job`, `trigger` and `attempt`.

        Raises:
            LookupError: If nothing has been scheduled under this name.
        """
        for spec, run in self.registered.get("job", []):
            if spec["name"] == name:
                done = run({"job": name, "trigger": "manual", "attempt": 1, **about})
                if inspect.isawaitable(done):
                    await done
                return
        known = ", ".join(spec["name"] for spec, _ in self.registered.get("job", []))
        raise LookupError(f"there is no job {name!r}; there are: {known or 'none'}")

    def _requests(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        sockets, notifications = self.websocket, self.notifications
        groups = sockets.groups
        broadcasts, scheduled, app_id = self.broadcasts, self.scheduled, current_app.get()
        return {
            "ws.send_to_user": lambda p: sockets.send_to_user(p["user_id"], p["message"]),
            "ws.broadcast": lambda p: sockets.broadcast(p["message"]),
            "ws.send_to_connection": lambda p: sockets.send_to_connection(
                p["connection_id"], p["message"]
            ),
            "ws.subscribe": lambda p: groups.subscribe(p["target"], p["group"]),
            "ws.unsubscribe": lambda p: groups.unsubscribe(p["target"], p["group"]),
            "ws.send_to_group": lambda p: groups.send(p["group"], p["message"]),
            "settings.get": self._get_settings,
            "settings.get_all": lambda p: self._settings_of(p["user_id"]),
            "settings.save": self._save_settings,
            "notifications.create": notifications.create,
            "notifications.create_bulk": lambda p: [
                notifications.create({**p, "user_id": user_id}) for user_id in p["user_ids"]
            ],
            "notifications.list": self._list_notifications,
            "notifications.mark_read": self._mark_read,
            "notifications.mark_all_read": self._mark_all_read,
            "notifications.delete": lambda p: notifications.delete(p["user_id"], p["id"]),
            "notifications.get_preferences": lambda p: notifications.preferences.get(
                p["user_id"], {}
            ),
            "notifications.update_preferences": self._update_preferences,
            "broadcast.create": lambda p: broadcasts.create(app_id, p),
            "broadcast.get": lambda p: broadcasts.get(app_id, p["id"]),
            "broadcast.cancel": lambda p: broadcasts.cancel(app_id, p["id"]),
            "broadcast.list": lambda p: broadcasts.latest(app_id),
            "digest.schedule": lambda p: scheduled.schedule(app_id, p),
            "digest.cancel": lambda p: scheduled.cancel(app_id, p["id"]),
            "digest.list": lambda p: scheduled.latest(app_id),
        }

    def _settings_of(self, user_id: str) -> dict[str, dict[str, Any]]:
        return self.settings.setdefault((current_app.get(), user_id), {})

    def _get_settings(self, payload: dict[str, Any]) -> dict[str, Any]:
        return self._settings_of(payload["user_id"]).get(payload["plugin"], {})

    def _save_settings(self, payload: dict[str, Any]) -> bool:
        user_id, plugin, settings = payload["user_id"], payload["plugin"], payload["settings"]
        message = "a number of more than 64 bits is not kept exactly; save it as a string"
        if problems := [{"path": path, "message": message} for path in inexact(settings)]:
            message = f"the settings cannot be saved: {problems[0]['path']}: {message}"
            raise HostError("VALIDATION_ERROR", message, {"problems": problems})
        self._settings_of(user_id)[plugin] = settings
        data = {"user_id": user_id, "plugin": plugin, "settings": settings}
        self.events.record(current_app.get(), "settings_updated", data)
        return True

    def _list_notifications(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        found = self.notifications.of(payload["user_id"])
        if payload.get("unread_only"):
            found = [each for each in found if not each["read"]]
        offset = int(payload.get("offset", 0))
        return found[offset : offset + int(payload.get("limit", 20))]

    def _mark_read(self, payload: dict[str, Any]) -> bool:
        found = self.notifications.find(payload["user_id"], payload["id"])
        if found is not None:
            found["read"] = bool(payload.get("read", True))
        return found is not None

    def _mark_all_read(self, payload: dict[str, Any]) -> int:
        unread = [each for each in self.notifications.of(payload["user_id"]) if not each["read"]]
        for each in unread:
            each["read"] = True
        return len(unread)

    def _update_preferences(self, payload: dict[str, Any]) -> dict[str, Any]:
        preferences = self.notifications.preferences.setdefault(payload["user_id"], {})
        preferences.update(payload["preferences"])
        return preferences
