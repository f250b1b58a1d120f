"""Calls handlers and middleware with as many arguments as they take."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mozaiks.plugin._request import Request
from mozaiks.plugin._response import Reply, encode

Handler = Callable[..., Any]
Next = Callable[..., Awaitable[Any]]


def arity(function: Handler, most: int) -> int:
    """How many of the offered arguments a function takes.

    Args:
        function: The function.
        most: How many are offered.

    Returns:
        0 to `most`.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return most
    count = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return most
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            count += 1
    return min(count, most)


def is_async(function: Handler) -> bool:
    """Whether calling a function gives a coroutine.

    Args:
        function: The function.

    Returns:
        Whether it does.
    """
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
    )


async def call(function: Handler, *arguments: Any) -> Any:
    """Calls a function, a plain one off the event loop.

    Args:
        function: `async def` or `def`.
        *arguments: What it is called with.

    Returns:
        What it returns.
    """
    if is_async(function):
        return await function(*arguments)
    context = contextvars.copy_context()
    result = await asyncio.to_thread(context.run, function, *arguments)
    return await result if inspect.isawaitable(result) else result


def route(handler: Handler, middleware: Callable[[], Sequence[Handler]]) -> Handler:
    """Makes what the gateway calls for a route.

    Args:
        handler: Called with `(request)` or `(request, reply)`.
        middleware: Gives the middleware in force, outermost first.

    Returns:
        A function from a request's head to the parts of an answer.
    """
    takes = arity(handler, 2)

    async def answer(request: Request) -> Any:
        if takes < 2:
            return await call(handler, *(request,)[:takes])
        reply = Reply()
        return reply.result(await call(handler, request, reply))

    # Most handlers are of this kind: nothing has to be looked at for each call.
    inner = handler if takes == 1 and is_async(handler) else answer

    async def serve(head: dict[str, Any]) -> list[Any]:
        request, layers = Request(head), middleware()
        result = await (through(layers, request, inner) if layers else inner(request))
        if type(result) is dict and "error" not in result:
            # As `encode` would, without the detour: so are most answers.
            return [None, None, "json", result]
        return await encode(result)

    return serve


def job(handler: Handler, context: object) -> Handler:
    """Makes what the gateway calls for a run of a job.

    Args:
        handler: Called with as many of `(ctx, run)` as it takes.
        context: The plugin's context.

    Returns:
        A function of what there is to say of the run; plain where the handler is plain, so that the
        gateway knows when it has really ended.
    """
    takes = arity(handler, 2)

    async def run(about: dict[str, Any]) -> None:
        await handler(*(context, about)[:takes])

    def run_plain(about: dict[str, Any]) -> Any:
        return handler(*(context, about)[:takes])

    return run if is_async(handler) else run_plain


async def through(
    middleware: Sequence[Handler], request: Request, inner: Callable[[Request], Awaitable[Any]]
) -> Any:
    """Runs a request through middleware.

    Args:
        middleware: Outermost first; each is called with `(request, call_next)`.
        request: The request.
        inner: What answers where no middleware does.

    Returns:
        The result.
    """
    if not middleware:
        return await inner(request)
    first, rest = middleware[0], middleware[1:]

    async def call_next(passed: Request | None = None) -> Any:
        return await through(rest, request if passed is None else passed, inner)

    return await call(first, request, call_next)
