"""The files that are parts of a plugin: finds their functions and registers them."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mozaiks import _declare, _host
from mozaiks.hooks import hooks
from mozaiks.plugin import _handler
from mozaiks.plugin._context import PluginContext
from mozaiks.plugin._listeners import spec_of
from mozaiks.plugin._request import Request

Function = Callable[..., Any]
Part = dict[str, Any]

# Functions that a part's file may have, in the order in which they are looked for; then the one
# that is named as the file is.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "controllers": ("handler",),
    "events": ("listener", "handler"),
    "hooks": ("handler",),
    "middleware": ("middleware", "handler"),
    "jobs": ("run", "handler"),
    "widgets": ("render",),
}

# Folders in which a file's only public function is it, whatever its name.
_ANY_NAME = ("events", "hooks", "middleware", "jobs")

# What an entry or a decorator has to say.
_NEEDED: dict[str, tuple[str, ...]] = {
    "controllers": ("method", "path"),
    "events": ("event_name",),
    "hooks": ("hook_name",),
    "middleware": (),
    "jobs": ("cron",),
    "widgets": (),
}


class Parts:
    """Those of one load."""

    def __init__(self, package: str, context: PluginContext, written: dict[str, list[Part]]):
        """Notes what there is.

        Args:
            package: The plugin's package.
            context: Its context.
            written: What its manifest says, by folder.
        """
        self._package = package
        self._context = context
        self._written = written

    def register_middleware(self) -> None:
        """Registers what goes round all others: what comes later is wrapped by it."""
        for part, function in self._of("middleware"):
            layer = _layer(function, part.get("phase", "both"), part.get("applies_to"))
            self._context.register_middleware(layer, part.get("priority", 10))

    def register(self) -> None:
        """Registers the others."""
        for folder, register in (
            ("controllers", self._register_controller),
            ("events", self._register_listener),
            ("hooks", _register_hook),
            ("jobs", self._register_job),
            ("widgets", _register_widget),
        ):
            for part, function in self._of(folder):
                with _host.of_part(f"{folder}/{part['file']}"):
                    register(part, function)

    def _register_controller(self, part: Part, function: Function) -> None:
        options = _given(
            part,
            "requires_auth",
            "rate_limit",
            "request_schema",
            "response_schema",
            "timeout_seconds",
        )
        self._context.register_route(
            part["method"],
            part["path"],
            _controller(function, self._context),
            roles=part.get("allowed_roles"),
            **options,
        )

    def _register_listener(self, part: Part, function: Function) -> None:
        event, priority = part["event_name"], part.get("priority", 10)
        client = part.get("client", False)
        if part.get("scope") == "frontend":
            spec = {**spec_of(event, priority), "pages": True, "client": client or None}
            _host.register("event", spec, _nothing)
        else:
            self._context._listeners.add(event, _listener(function), priority, client)

    def _register_job(self, part: Part, function: Function) -> None:
        options = _given(part, "timezone", "missed", "timeout_seconds")
        name = part.get("name") or _stem(part["file"]).replace("/", ".")
        self._context.schedule_task(part["cron"], function, name=name, **options)

    def _of(self, folder: str) -> list[tuple[Part, Function]]:
        """The parts of a folder with their functions, as entry and decorator say together."""
        found: list[tuple[Part, Function]] = []
        for written in self._written.get(folder, []):
            part = {key: value for key, value in written.items() if value is not None}
            if folder == "widgets" and not part["file"].endswith(".py"):
                continue
            if part.get("scope") == "frontend":
                _check(folder, part)
                found.append((part, _nothing))
                continue
            module = self._module(folder, part["file"])
            functions = _functions(module, folder, part)
            for function in functions:
                said = _declare.said_of(function, folder) or {}
                whole = {**said, **part}
                _check(folder, whole)
                found.append((whole, function))
        return found

    def _module(self, folder: str, file: str) -> ModuleType:
        # Imported when the plugin was; here it is looked up.
        stem = _stem(file).replace("/", ".")
        module = importlib.import_module(f"{self._package}.{folder}.{stem}")
        import_database(module)
        return module


def _register_hook(part: Part, function: Function) -> None:
    if part.get("scope") != "frontend":
        hooks.register(
            part["hook_name"],
            function,
            part.get("priority", 10),
            part.get("hook_type", "filter"),
            required=part.get("required", False),
            public=part.get("public", False),
        )


def _register_widget(part: Part, function: Function) -> None:
    takes = _handler.arity(function, 2)

    async def render(config: dict[str, Any], data: dict[str, Any]) -> Any:
        html = await _handler.call(function, *(config, data)[:takes])
        # Markup of a template is a kind of text.
        return str(html) if isinstance(html, str) else html

    _host.register("widget", {"file": part["file"]}, render)


def import_database(module: ModuleType) -> None:
    """Imports what is behind `ctx.db` while the plugin is loaded, where its code names it.

    The first use would hold the loop for as long.

    Args:
        module: A module of the plugin.
    """
    codes = [found.__code__ for found in vars(module).values() if inspect.isfunction(found)]
    while codes:
        code = codes.pop()
        if "db" in code.co_names:
            importlib.import_module("mozaiks.database")
            return
        codes.extend(const for const in code.co_consts if inspect.iscode(const))


def _functions(module: ModuleType, folder: str, part: Part) -> list[Function]:
    """The functions of a file: all that are decorated where no entry names anything of it."""
    own = [
        found
        for name, found in vars(module).items()
        if callable(found) and getattr(found, "__module__", None) == module.__name__
    ]
    wanted = part.get("function")
    decorated = [each for each in own if _declare.said_of(each, folder) is not None]
    if decorated and not wanted:
        has_entry = any(key in part for key in _NEEDED[folder])
        return decorated[:1] if has_entry else decorated
    stem = _stem(part["file"]).rsplit("/", 1)[-1]
    names = (wanted,) if wanted else (*FUNCTIONS[folder], *_spellings(stem))
    for name in names:
        function = getattr(module, name, None)
        if callable(function):
            return [function]
    public: list[Function] = [
        each for each in own if inspect.isfunction(each) and not each.__name__.startswith("_")
    ]
    if not wanted and folder in _ANY_NAME and len(public) == 1:
        return public
    looked_for = " or ".join(dict.fromkeys(names))
    raise LookupError(f"{folder}/{part['file']} has no function {looked_for}")


def _check(folder: str, part: Part) -> None:
    missing = [key for key in _NEEDED[folder] if part.get(key) is None]
    if missing:
        raise LookupError(
            f"{folder}/{part['file']}: {' and '.join(missing)} stands neither in plugin.json "
            "nor in a decorator"
        )


def _spellings(stem: str) -> tuple[str, ...]:
    """`trackVisit` may be `track_visit` in Python, `track-visit` has to be."""
    plain = stem.replace("-", "_")
    snake = "".join(
        f"_{letter.lower()}" if letter.isupper() and at else letter.lower()
        for at, letter in enumerate(plain)
    )
    return (plain, snake)


def _stem(file: str) -> str:
    return file[:-3] if file.endswith(".py") else file


def _given(part: Part, *keys: str) -> dict[str, Any]:
    return {key: part[key] for key in keys if part.get(key) is not None}


def _nothing() -> None:
    """Stands for the code of a part that runs in pages."""


def _controller(function: Function, context: PluginContext) -> Function:
    """`(request, ctx)`, or `(request, reply)` where the second is called so, or `(request)`."""
    if _handler.arity(function, 2) < 2:
        return function
    second = list(inspect.signature(function).parameters.values())[1]
    if second.name in ("reply", "response", "res"):
        return function
    if _handler.is_async(function):

        async def handle(request: Request) -> Any:
            return await function(request, context)

        return handle

    async def handle_plain(request: Request) -> Any:
        return await _handler.call(function, request, context)

    return handle_plain


def _listener(function: Function) -> Function:
    """`(data)`, or `(event, data)`."""
    if _handler.arity(function, 2) < 2:
        return function

    async def listen(data: Any, name: str) -> Any:
        return await _handler.call(function, name, data)

    listen.__mozaiks_named__ = True  # type: ignore[attr-defined] # read by the listeners
    return listen


def _layer(function: Function, phase: str, applies_to: list[str] | None) -> Function:
    """A middleware of a phase, for some requests only where it says which."""
    goes_round = function
    if phase == "request":

        async def before(request: Request, call_next: Function) -> Any:
            answer = await _handler.call(function, request)
            return await call_next(request) if answer is None else answer

        goes_round = before
    elif phase == "response":

        async def after(request: Request, call_next: Function) -> Any:
            result = await call_next(request)
            answer = await _handler.call(
                function, *(request, result)[2 - _handler.arity(function, 2) :]
            )
            return result if answer is None else answer

        goes_round = after
    elif phase != "both":
        raise ValueError(f"a middleware's phase is request, response or both, not {phase!r}")
    patterns = applies_to or ["*"]
    if "*" in patterns:
        return goes_round

    async def layer(request: Request, call_next: Function) -> Any:
        # `execute` has no path.
        path = request.path or "execute"
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
            return await _handler.call(goes_round, request, call_next)
        return await call_next(request)

    return layer
