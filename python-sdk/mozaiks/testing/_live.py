"""Takes plugins through their life in tests, and sends them requests, messages and jobs."""

from __future__ import annotations

import base64
import importlib
import json
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mozaiks import _declare, _host, _json
from mozaiks.plugin._life import Life
from mozaiks.testing._gateway import TestGateway, current_app
from mozaiks.testing._parts import files_of, parts_of
from mozaiks.testing._plugin_data import StartedPlugin, current_plugin
from mozaiks.testing._run import PluginCode, entry_of, load_package, resolved, run_plugin

_STATUSES = {
    "VALIDATION_ERROR": 422,
    "NOT_FOUND": 404,
    "FORBIDDEN": 403,
    "FEATURE_GATED": 403,
    "CONFLICT": 409,
    "LIMIT_EXCEEDED": 429,
}


@dataclass(frozen=True)
class RouteAnswer:
    """What a route answers.

    Attributes:
        status: The HTTP status.
        headers: Headers that the plugin has set, by their names in lower case.
        body: JSON as values, text, or bytes; None where there is none.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


class LivePlugin:
    """A plugin that has been loaded and enabled; made by `start_plugin`."""

    def __init__(
        self, gateway: TestGateway, about: StartedPlugin, life: Life, code: PluginCode | None
    ) -> None:
        """Takes what `start_plugin` has prepared."""
        self._gateway = gateway
        self._about = about
        self._life = life
        self._code = code

    @property
    def stored(self) -> dict[str, Any]:
        """What it has stored in the app `default`, by key."""
        return self._gateway.plugins.stored(self._about.name)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | str | None = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        user_id: str | None = None,
        roles: Iterable[str] = (),
        app_id: str = "default",
    ) -> RouteAnswer:
        """Calls a route as a client does. Rates and schemas are the gateway's to check.

        Args:
            method: `GET`, ...
            path: Below `/api/plugins/{name}`.
            json: A body of JSON.
            body: Any other body.
            query: The query.
            headers: Headers.
            user_id: Who calls; nobody without a token where it is missing.
            roles: The caller's roles.
            app_id: In which app.

        Returns:
            The answer.
        """
        fitting = [
            (spec, served, params)
            for spec, served in self._gateway.registered.get("route", [])
            if spec.get("plugin") == self._about.name
            and (params := _params(spec["path"], path)) is not None
        ]
        if not fitting:
            return _refusal(404, "NOT_FOUND")
        for spec, served, params in fitting:
            if spec["method"] != method.upper():
                continue
            if user_id is None and (spec.get("requires_auth", True) or spec.get("roles")):
                return _refusal(401, "AUTH_REQUIRED")
            if spec.get("roles") and not set(spec["roles"]) & set(roles):
                return _refusal(403, "FORBIDDEN")
            head = _head(method, path, params, query, headers, app_id)
            if user_id is not None:
                head["context"] = _context(user_id, app_id, roles, head["request_id"])
            _put_body(head, json, body, bool(spec.get("raw_body")))
            with self._running(app_id):
                answer = await self._decoded(await served(head))
                await self._gateway.settle()
            return answer
        return _refusal(405, "METHOD_NOT_ALLOWED")

    async def execute(
        self,
        action: str | None = None,
        *,
        user_id: str = "test-user",
        app_id: str = "default",
        **more: Any,
    ) -> dict[str, Any]:
        """Calls an action or `execute`, as `run_plugin` does. Middleware is left out.

        Args:
            action: What the client puts under `action`, if anything.
            user_id: Who calls.
            app_id: In which app.
            **more: As `run_plugin`: `roles`, ..., and what else the client sends.

        Returns:
            The plugin's dict as a client gets it, read from JSON.

        Raises:
            LookupError: If the plugin has neither.
        """
        if self._code is None:
            raise LookupError(f"{self._about.name} has neither execute nor an action")
        with self._running(app_id):
            return await run_plugin(self._code, action, user_id=user_id, app_id=app_id, **more)

    async def message(
        self, message_type: str, data: dict[str, Any], *, user_id: str, app_id: str = "default"
    ) -> list[Any]:
        """Sends a message as a client's socket does.

        Args:
            message_type: Its type.
            data: The message.
            user_id: Whose socket.
            app_id: In which app.

        Returns:
            What was sent to that socket meanwhile.

        Raises:
            LookupError: If the plugin has no handler for the type.
        """
        sockets = self._gateway.websocket
        connection = sockets.connect(user_id)
        sent = len(sockets.sent)
        with self._running(app_id):
            identity = {"user_id": user_id, "app_id": app_id}
            told = {"type": message_type, **data, **identity}
            handlers = await sockets.receive(message_type, told, connection)
            await self._gateway.settle()
        if not handlers:
            raise LookupError(f"nothing handles messages of type {message_type!r}")
        later = sockets.sent[sent:]
        return [each.message for each in later if each.connection_id == connection]

    async def run_job(self, name: str, *, app_id: str = "default", **about: Any) -> None:
        """Runs a scheduled job once, whatever its schedule says.

        Args:
            name: The job's name.
            app_id: In which app.
            **about: What its `run` is to say beside `job`, `trigger` and `attempt`.
        """
        with self._running(app_id):
            await self._gateway.run_job(name, **about)
            await self._gateway.settle()

    async def call(self, step: str) -> Any:
        """Runs a lifecycle function.

        Args:
            step: `on_disable`, `check_health`, ...

        Returns:
            What it returned.
        """
        with self._running("default"):
            return await self._life.run({"name": step})

    async def _decoded(self, parts: list[Any]) -> RouteAnswer:
        # As it travels: what JSON cannot carry fails here as it does in the gateway.
        status, headers, kind, payload = _json.loads(_json.dumps(parts))
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        if kind == "bytes":
            payload = base64.b64decode(payload)
        elif kind == "stream":
            payload = await self._gateway.plugins.streamed(payload)
        if status is None:
            status = 204 if kind == "empty" else 200
            if kind == "failure":
                status = _STATUSES.get(payload.get("error_code", ""), 400)
        return RouteAnswer(status, headers, payload)

    @contextmanager
    def _running(self, app_id: str) -> Iterator[None]:
        app, plugin = current_app.set(app_id), current_plugin.set(self._about)
        try:
            yield
        finally:
            current_plugin.reset(plugin)
            current_app.reset(app)


@asynccontextmanager
async def start_plugin(
    path: str | Path, *, config: dict[str, Any] | None = None
) -> AsyncIterator[LivePlugin]:
    """Loads and enables a plugin, and at the end disables and unloads it.

    Args:
        path: The plugin's directory.
        config: Configuration over the manifest's.

    Yields:
        The plugin.

    Raises:
        RuntimeError: If there is no `TestGateway`.
    """
    gateway = _host.get()
    if not isinstance(gateway, TestGateway):
        raise RuntimeError("start_plugin works within a TestGateway (pytest's fixture `gateway`)")
    directory = resolved(path)
    package, module = load_package(directory)
    manifest = _manifest(directory)
    with tempfile.TemporaryDirectory() as data_dir:
        about = StartedPlugin(
            name=manifest.get("name", directory.name),
            version=manifest.get("version", "0.0.0"),
            data_dir=Path(data_dir),
            defaults={**manifest.get("config", {}), **(config or {})},
        )
        execute = entry_of(package, module)
        code = None if execute is None else PluginCode(module, execute)
        plugin = LivePlugin(gateway, about, Life(package, module, execute), code)
        parts = parts_of(directory, manifest)
        for part in _declare.begin(package, files_of(parts)):
            importlib.import_module(part)
        with plugin._running("default"):
            await plugin._life.run({"name": "on_load", "parts": parts})
            await plugin._life.run({"name": "on_enable"})
        try:
            yield plugin
        finally:
            await plugin.call("on_disable")
            await plugin.call("on_unload")
            _declare.forget(package)


def _manifest(directory: Path) -> dict[str, Any]:
    for name in ("plugin.json", "manifest.json"):
        file = directory / name
        if file.is_file():
            manifest: dict[str, Any] = json.loads(file.read_text())
            return manifest
    return {}


def _params(pattern: str, path: str) -> dict[str, str] | None:
    """The parameters of a path, or None where it does not fit."""
    wanted, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    params: dict[str, str] = {}
    for at, segment in enumerate(wanted):
        name = _name(segment)
        if name.startswith("*"):
            params[name[1:]] = unquote("/".join(given[at:]))
            return params
        if at >= len(given) or (not name and segment != given[at]):
            return None
        if name:
            params[name] = unquote(given[at])
    return params if len(wanted) == len(given) else None


def _name(segment: str) -> str:
    if segment.startswith(":"):
        return segment[1:]
    return segment[1:-1] if segment.startswith("{") and segment.endswith("}") else ""


def _head(
    method: str,
    path: str,
    params: dict[str, str],
    query: dict[str, Any] | None,
    headers: dict[str, str] | None,
    app_id: str,
) -> dict[str, Any]:
    return {
        "method": method.upper(),
        "path": path,
        "params": params,
        "query": query or {},
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "app_id": app_id,
        "request_id": uuid.uuid4().hex,
        "client_ip": "127.0.0.1",
    }


def _context(user_id: str, app_id: str, roles: Iterable[str], request_id: str) -> dict[str, Any]:
    return {
        "app_id": app_id,
        "user_id": user_id,
        "username": None,
        "roles": list(roles),
        "is_superadmin": False,
        "request_id": request_id,
    }


def _put_body(head: dict[str, Any], value: Any, body: bytes | str | None, raw: bool) -> None:
    sent = b"" if body is None else body.encode() if isinstance(body, str) else body
    is_json = head["headers"].get("content-type", "").startswith("application/json")
    if value is not None:
        sent, is_json = _json.dumps(value), True
        head["headers"].setdefault("content-type", "application/json")
    if raw:
        head["raw"] = base64.b64encode(sent).decode()
    if not sent:
        return
    if is_json:
        head["body"] = _json.loads(sent)
        return
    try:
        head["text"] = sent.decode()
    except UnicodeDecodeError:
        head["bytes"] = base64.b64encode(sent).decode()


def _refusal(status: int, code: str) -> RouteAnswer:
    return RouteAnswer(status, {}, {"error": code.replace("_", " ").lower(), "error_code": code})
