"""`ctx`: what the lifecycle functions of a plugin are given."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from mozaiks import _enabling, _host, _json
from mozaiks import files as _files
from mozaiks import http as _http
from mozaiks.event_bus import event_bus
from mozaiks.files import Files
from mozaiks.http import Http
from mozaiks.plugin import _handler, _models
from mozaiks.plugin._info import PluginInfo
from mozaiks.plugin._listeners import Listeners
from mozaiks.plugin._logger import PluginLogger
from mozaiks.plugin._models import Models
from mozaiks.plugin._request import Request
from mozaiks.websocket import websocket_manager

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class PluginContext:
    """Everything a plugin can do with the gateway, for one load of it.

    Every method has the camel-case name of the original plugin host too.

    Attributes:
        plugin: Which plugin this is.
        logger: Logs under the plugin's name, with fields.
        db: The app's database, as `core.config.database.db`.
    """

    def __init__(self) -> None:
        """Asks the gateway which plugin runs; made by the gateway."""
        described: dict[str, Any] = _host.query("plugin.describe")
        self.plugin = PluginInfo(
            name=described["name"],
            version=described["version"],
            generation=int(described["generation"]),
            data_dir=Path(described["data_dir"]),
        )
        self.logger = PluginLogger(self.plugin.name)
        self._middleware: list[tuple[int, int, Handler, bool]] = []
        self._layers: list[Handler] = []
        self._goes_round = False
        self._listeners = Listeners()
        self._numbers = itertools.count(1)
        self._tasks = 0
        self._enablings = _enabling.Table()
        self._execute: Handler | None = None
        self._closed = False

    @property
    def db(self) -> Any:
        """The app's database."""
        # Imported by who uses it: it brings PyMongo.
        from mozaiks.database import db

        return db

    @property
    def models(self) -> Models:
        """The plugin's entities in the caller's app: `ctx.models["Cart"]` or `ctx.models.Cart`."""
        return _models.models

    @property
    def app_id(self) -> str | None:
        """The app of the running call; None in `on_load` and `on_unload` for many apps."""
        app_id: str | None = _host.query("plugin.app")
        return app_id

    @property
    def http(self) -> Http:
        """Requests to others, as `mozaiks.http`."""
        return _http.client

    @property
    def files(self) -> Files:
        """Files of the plugin in the caller's app, as `mozaiks.files`."""
        return _files.client

    # Routes

    def register_route(
        self,
        method: str | list[str] | dict[str, Any],
        path: str | None = None,
        handler: Handler | None = None,
        *,
        requires_auth: bool = True,
        roles: list[str] | None = None,
        rate_limit: int | None = None,
        request_schema: dict[str, Any] | None = None,
        response_schema: dict[str, Any] | None = None,
        timeout_seconds: float | None = None,
        raw_body: bool = False,
    ) -> None:
        """Serves a route under `/api/plugins/{name}{path}`.

        Args:
            method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`, or several; or everything in one dict
                with the keys `method`, `url` or `path`, and `handler`.
            path: Begins with `/`; parameters are written `{id}` or `:id`.
            handler: Called with `(request)` or `(request, reply)`; async or plain.
            requires_auth: Whether a token is wanted.
            roles: Roles of which the caller must have one.
            rate_limit: Calls a minute of one user (of one address without a user).
            request_schema: JSON Schema (2020-12) over `{body, query, params}`.
            response_schema: JSON Schema of the answer.
            timeout_seconds: One call's limit.
            raw_body: Whether `request.raw` is to have the body byte for byte, for signatures.

        Raises:
            HostError: `VALIDATION_ERROR` for a bad method, path or schema, `CONFLICT` for a route
                that the plugin has already.
        """
        if isinstance(method, dict):
            given = {_snake(key): value for key, value in method.items()}
            given.setdefault("path", given.pop("url", None))
            verbs, way, function = given.pop("method"), given.pop("path"), given.pop("handler")
            self.register_route(verbs, way, function, **given)
            return
        self._check_open()
        if not callable(handler):
            raise TypeError("a route's handler must be a function")
        served = _handler.route(handler, self._middleware_in_force)
        for verb in [method] if isinstance(method, str) else method:
            spec = {
                "method": verb.upper(),
                "path": path,
                "requires_auth": requires_auth,
                "roles": roles or [],
                "rate_limit": rate_limit,
                "request_schema": request_schema,
                "response_schema": response_schema,
                "timeout_seconds": timeout_seconds,
                "raw_body": raw_body or None,
            }
            _host.register("route", spec, served, handler)

    def route(
        self, path: str, methods: list[str] | None = None, **options: Any
    ) -> Callable[[F], F]:
        """As `register_route`, as a decorator.

        Args:
            path: As there.
            methods: `GET` where none are given.
            **options: As there.

        Returns:
            The decorator.
        """

        def decorate(function: F) -> F:
            self.register_route(methods or ["GET"], path, function, **options)
            return function

        return decorate

    def register_middleware(self, handler: Handler, order: int = 10) -> None:
        """Runs a function round the plugin's routes and `execute`.

        Args:
            handler: `async (request, call_next)`; what it returns is the answer, with or without
                `await call_next(request)`.
            order: Lower ones are outer ones.
        """
        self._check_open()
        if not callable(handler):
            raise TypeError("a middleware must be a function")
        if not self._goes_round and self._execute is not None:
            _host.register("execute", {}, self._execute_through)
            self._goes_round = True
        run = _enabling.current()
        if run is None:
            self._add_middleware(order, handler, False)
        else:
            make = functools.partial(self._add_middleware, order, handler, True)
            run.once("middleware", order, handler, make)

    def _add_middleware(self, order: int, handler: Handler, by_enabling: bool) -> int:
        number = next(self._numbers)
        self._middleware.append((order, number, handler, by_enabling))
        self._order_middleware()
        # No number of the gateway's, which are positive.
        return -number

    def _order_middleware(self) -> None:
        self._middleware.sort(key=lambda entry: entry[:2])
        self._layers = [handler for _, _, handler, _ in self._middleware]

    def _middleware_in_force(self) -> list[Handler]:
        return self._layers

    async def _execute_through(self, data: dict[str, Any]) -> Any:
        execute = self._execute
        assert execute is not None, "registered only where there is one"
        context = data.get("_context") or {}
        head = {
            "method": "POST",
            "path": "",
            "app_id": context.get("app_id"),
            "context": context,
            "request_id": context.get("request_id"),
            "body": data,
        }

        async def inner(request: Request) -> Any:
            return await _handler.call(execute, request.body)

        return await _handler.through(self._middleware_in_force(), Request(head), inner)

    # Sockets

    def on_websocket_message(self, message_type: str, handler: Handler) -> None:
        """Calls a function with the messages of a type that users send.

        Args:
            message_type: What the message has under `type`; `ping` and `auth` are the gateway's.
            handler: Called with `(data, connection_id)`, or with `(data)`.
        """
        self._check_open()
        if not callable(handler):
            raise TypeError("a message's handler must be a function")
        if _handler.arity(handler, 2) < 2:
            function = handler

            async def only_data(data: Any, connection_id: str) -> Any:
                return await _handler.call(function, data)

            # The same in each app, as the function is.
            only_data.__module__ = getattr(function, "__module__", "")
            only_data.__qualname__ = _enabling.name_of(function)
            handler = only_data
        websocket_manager.on_message(message_type, handler)

    async def send_websocket_message(self, connection_id: str, message: Any) -> bool:
        """Sends a message to one connection of the caller's app.

        Args:
            connection_id: As handlers get it.
            message: A dict.

        Returns:
            Whether the connection was there.
        """
        return await websocket_manager.send_to_connection(connection_id, message)

    # Jobs

    @overload
    def schedule_task(
        self,
        cron: str,
        handler: F,
        *,
        name: str | None = None,
        timezone: str = "UTC",
        missed: str = "skip",
        timeout_seconds: float | None = None,
    ) -> F: ...

    @overload
    def schedule_task(
        self,
        cron: str,
        handler: None = None,
        *,
        name: str | None = None,
        timezone: str = "UTC",
        missed: str = "skip",
        timeout_seconds: float | None = None,
    ) -> Callable[[F], F]: ...

    def schedule_task(
        self,
        cron: str,
        handler: Handler | None = None,
        *,
        name: str | None = None,
        timezone: str = "UTC",
        missed: str = "skip",
        timeout_seconds: float | None = None,
    ) -> Any:
        """Runs a function at certain times, once in each app, whichever gateway does it.

        Call it in `on_load` or `on_enable`, so that every gateway knows the job. Without a handler
        it is a decorator: `@ctx.schedule_task("*/5 * * * *")`.

        Args:
            cron: Minute, hour, day of the month, month, day of the week; seconds before them where
                there are six fields.
            handler: Called with nothing, with `(ctx)`, or with `(ctx, run)`, where `run` has `job`,
                `run_id`, `app_id`, `due_at`, `attempt` and `trigger` (`schedule` or `manual`).
                Async or plain.
            name: The job's name, of which the plugin has one each; the function's where it is
                missing.
            timezone: An IANA name.
            missed: What becomes of runs whose time passed while no gateway could begin them: `skip`
                leaves them out, `run_once` makes up for all of them with one.
            timeout_seconds: One run's limit, up to an hour.

        Returns:
            The handler, or the decorator.

        Raises:
            HostError: `VALIDATION_ERROR` for a bad expression, time zone or name, `CONFLICT` for a
                name that the plugin has already, `LIMIT_EXCEEDED` for too many jobs.
        """
        if handler is None:

            def decorate(function: F) -> F:
                self.schedule_task(
                    cron,
                    function,
                    name=name,
                    timezone=timezone,
                    missed=missed,
                    timeout_seconds=timeout_seconds,
                )
                return function

            return decorate
        self._check_open()
        if not callable(handler):
            raise TypeError("a job's handler must be a function")
        spec = {
            "name": name or self._job_name(handler),
            "cron": cron,
            "timezone": timezone,
            "missed": missed,
            "timeout_seconds": timeout_seconds,
        }
        _host.register("job", spec, _handler.job(handler, self), handler)
        return handler

    def _job_name(self, handler: Handler) -> str:
        named = getattr(handler, "__name__", "")
        if named.isidentifier():
            return named
        # A lambda has no name; the order in which jobs are made is the same at each load, and in
        # each run of `on_enable`.
        run = _enabling.current()
        if run is not None:
            run.unnamed_jobs += 1
            return f"task-{self._tasks + run.unnamed_jobs}"
        self._tasks += 1
        return f"task-{self._tasks}"

    # Events

    def on(self, event: str, handler: Handler, priority: int = 10) -> None:
        """Calls a function with the data of each event of a name.

        The functions that `on_load` and `on_enable` give for one event are called one after the
        other. One that raises keeps none of the others from it, and is called again alone.

        Args:
            event: A name or a pattern.
            handler: Async or plain.
            priority: Lower ones are called first; of equal ones the one that was given first.
        """
        self._check_open()
        if not callable(handler):
            raise TypeError("an event's handler must be a function")
        self._listeners.add(event, handler, priority)

    def emit(self, event: str, data: Any = None) -> None:
        """Publishes an event and returns at once.

        Args:
            event: Its name; the gateway's own cannot be emitted.
            data: A dict that JSON can carry.
        """
        self._check_open()
        event_bus.publish(event, data)

    # Configuration

    def get_config(self, key: str | None = None, default: Any = None) -> Any:
        """Reads the plugin's configuration.

        Args:
            key: One key; everything where it is missing.
            default: What to give where the key is not set.

        Returns:
            The value.
        """
        self._check_open()
        config = self.plugin.config
        return config if key is None else config.get(key, default)

    async def set_config(self, key: str, value: Any) -> None:
        """Sets one key of the plugin's configuration in the caller's app.

        Args:
            key: The key.
            value: What JSON can carry; it must fit the manifest's `config_schema`.

        Raises:
            HostError: `VALIDATION_ERROR` naming what does not fit.
        """
        self._check_open()
        payload = _json.dumps({"key": key, "value": value})
        await _host.request_encoded("plugin.config_set", payload)

    # Storage

    async def get_storage(self, key: str, default: Any = None) -> Any:
        """Reads a value.

        Args:
            key: Its key.
            default: What to give where there is none.

        Returns:
            The value.
        """
        self._check_open()
        found = cast("dict[str, Any]", await _host.request("storage.get", {"key": key}))
        return found["value"] if found["found"] else default

    async def set_storage(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keeps a value, for the plugin in the caller's app.

        Args:
            key: Its key, at most 512 bytes.
            value: What JSON can carry, at most 1 MiB.
            ttl: Seconds after which it goes.

        Raises:
            HostError: `VALIDATION_ERROR`, or `QUOTA_EXCEEDED`.
        """
        self._check_open()
        payload = _json.dumps({"key": key, "value": value, "ttl": ttl})
        await _host.request_encoded("storage.set", payload)

    async def delete_storage(self, key: str) -> bool:
        """Takes a value away.

        Args:
            key: Its key.

        Returns:
            Whether there was one.
        """
        self._check_open()
        return bool(await _host.request("storage.delete", {"key": key}))

    async def list_storage(
        self, prefix: str = "", limit: int = 100, cursor: str | None = None
    ) -> dict[str, Any]:
        """Lists values by their keys.

        Args:
            prefix: What the keys begin with.
            limit: How many at most, up to 1000.
            cursor: `next_cursor` of the answer before.

        Returns:
            `items`, each with `key`, `value` and `expires_at`, and `next_cursor` where there is
            more.
        """
        self._check_open()
        payload = {"prefix": prefix, "limit": limit, "cursor": cursor}
        listed: dict[str, Any] = await _host.request("storage.list", payload)
        return listed

    async def increment_storage(self, key: str, by: int | float = 1) -> int | float:
        """Adds to a number, in one step whoever else does.

        Args:
            key: Its key; a missing one counts as 0.
            by: What to add.

        Returns:
            The new number.

        Raises:
            HostError: `VALIDATION_ERROR` where the value is no number.
        """
        self._check_open()
        number: int | float = await _host.request("storage.increment", {"key": key, "by": by})
        return number

    # Life

    @contextmanager
    def _enabling(self, number: int | None) -> Iterator[None]:
        """One run of `on_enable`; `number` says which enabling it is of, where that has several."""
        if self._enablings.begin(number):
            self._listeners.begin_enabling()
            self._middleware = [entry for entry in self._middleware if not entry[3]]
            self._order_middleware()
        with _enabling.running(self._enablings):
            yield

    def _close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(
                f"this context is that of generation {self.plugin.generation} of "
                f"{self.plugin.name}, which has been unloaded"
            )

    # The names of the original plugin host.

    registerRoute = register_route  # noqa: N815
    onWebSocketMessage = on_websocket_message  # noqa: N815
    sendWebSocketMessage = send_websocket_message  # noqa: N815
    scheduleTask = schedule_task  # noqa: N815
    getConfig = get_config  # noqa: N815
    setConfig = set_config  # noqa: N815
    getStorage = get_storage  # noqa: N815
    setStorage = set_storage  # noqa: N815
    deleteStorage = delete_storage  # noqa: N815
    listStorage = list_storage  # noqa: N815
    incrementStorage = increment_storage  # noqa: N815
    registerMiddleware = register_middleware  # noqa: N815


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
