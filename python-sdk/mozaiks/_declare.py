"""Decorators that say in a part's file what it is, where `plugin.json` does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__mozaiks_part__"

# By package, the names of the modules that are parts of it. Changed at load and unload.
_modules: dict[str, frozenset[str]] = {}


def begin(package: str, parts: list[str]) -> list[str]:
    """Notes which modules of a load are parts of it, before any is imported.

    Args:
        package: The load's package.
        parts: Their files below the plugin's directory.

    Returns:
        The names of the modules, in the order of the files.
    """
    names = [f"{package}.{file[:-3].replace('/', '.')}" for file in parts]
    _modules[package] = frozenset(names)
    return names


def forget(package: str) -> None:
    """A load is gone.

    Args:
        package: Its package.
    """
    _modules.pop(package, None)


def of_part(function: Callable[..., Any]) -> bool:
    """Whether a function stands in a part's file, and is registered as that.

    Args:
        function: The function.

    Returns:
        Whether it does.
    """
    module = getattr(function, "__module__", None) or ""
    return module in _modules.get(module.partition(".")[0], ())


def mark(function: F, folder: str, **said: Any) -> F:
    """Notes on a function what it is.

    Args:
        function: The function.
        folder: Of which kind it is.
        **said: What `plugin.json` would say of it.

    Returns:
        The function.
    """
    setattr(function, _MARK, (folder, {key: it for key, it in said.items() if it is not None}))
    return function


def said_of(function: Any, folder: str) -> dict[str, Any] | None:
    """What a decorator has said of a function.

    Args:
        function: The function.
        folder: The kind that is asked for.

    Returns:
        What it said, or None where it is none of that kind.
    """
    marked = getattr(function, _MARK, None)
    if type(marked) is not tuple or marked[0] != folder:
        return None
    said: dict[str, Any] = marked[1]
    return said


def controller(
    method: str,
    path: str,
    *,
    requires_auth: bool | None = None,
    allowed_roles: list[str] | None = None,
    rate_limit: int | None = None,
    request_schema: dict[str, Any] | None = None,
    response_schema: dict[str, Any] | None = None,
    timeout_seconds: float | None = None,
) -> Callable[[F], F]:
    """Makes the function of a file below `controllers/` a route.

    Args:
        method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
        path: Below `/api/plugins/{name}`.
        requires_auth: Whether a token is wanted; it is where nothing is said.
        allowed_roles: Roles of which the caller must have one.
        rate_limit: Calls a minute of one user (of one address without a user).
        request_schema: JSON Schema (2020-12) over `{body, query, params}`.
        response_schema: JSON Schema of the answer.
        timeout_seconds: One call's limit.

    Returns:
        The decorator.
    """
    return lambda function: mark(
        function,
        "controllers",
        method=method,
        path=path,
        requires_auth=requires_auth,
        allowed_roles=allowed_roles,
        rate_limit=rate_limit,
        request_schema=request_schema,
        response_schema=response_schema,
        timeout_seconds=timeout_seconds,
    )


def listener(
    event_name: str,
    *,
    priority: int | None = None,
    client: bool | None = None,
) -> Callable[[F], F]:
    """Makes the function of a file below `events/` a listener.

    Args:
        event_name: The event's name or a pattern.
        priority: Lower ones come first.
        client: Whether pages may publish the event.

    Returns:
        The decorator.
    """
    return lambda function: mark(
        function, "events", event_name=event_name, priority=priority, client=client
    )


def middleware(
    phase: str = "both", *, priority: int | None = None, applies_to: list[str] | None = None
) -> Callable[[F], F]:
    """Makes the function of a file below `middleware/` one.

    Args:
        phase: `request`, `response` or `both`.
        priority: Lower ones are outer ones.
        applies_to: Paths of routes, with `*` for any characters, and `execute`.

    Returns:
        The decorator.
    """
    return lambda function: mark(
        function, "middleware", phase=phase, priority=priority, applies_to=applies_to
    )


def job(
    cron: str,
    *,
    name: str | None = None,
    timezone: str | None = None,
    missed: str | None = None,
    timeout_seconds: float | None = None,
) -> Callable[[F], F]:
    """Makes the function of a file below `jobs/` a scheduled job.

    Args:
        cron: Five or six fields.
        name: The job's name; that of the file where it is missing.
        timezone: An IANA name.
        missed: `skip` or `run_once`.
        timeout_seconds: One run's limit.

    Returns:
        The decorator.
    """
    return lambda function: mark(
        function,
        "jobs",
        cron=cron,
        name=name,
        timezone=timezone,
        missed=missed,
        timeout_seconds=timeout_seconds,
    )
