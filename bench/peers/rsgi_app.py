"""The execute contract by hand on Granian's RSGI, with PyJWT and orjson; `BENCH_TOKEN_CACHE=1`
keeps verified tokens in a dict."""

from __future__ import annotations

import asyncio
import inspect
import os
import uuid
from typing import Any

import orjson
from common import inject, load_plugins, verify
from jwt import InvalidTokenError

PLUGINS = {
    name: (function, inspect.iscoroutinefunction(function))
    for name, function in load_plugins().items()
}
PREFIX = "/api/execute/"
CACHE: dict[str, dict[str, Any]] | None = {} if os.environ.get("BENCH_TOKEN_CACHE") else None
CACHE_LIMIT = 16384


def check(token: str) -> dict[str, Any]:
    """The claims, from the cache where there is one."""
    if CACHE is None:
        return verify(token)
    claims = CACHE.get(token)
    if claims is None:
        if len(CACHE) >= CACHE_LIMIT:
            CACHE.clear()
        claims = CACHE[token] = verify(token)
    return claims


async def app(scope: Any, protocol: Any) -> None:
    """One RSGI request."""
    headers = [("content-type", "application/json")]
    if scope.proto != "http" or not scope.path.startswith(PREFIX):
        protocol.response_empty(404, [])
        return
    authorization = scope.headers.get("authorization") or ""
    try:
        claims = check(authorization[7:])
    except InvalidTokenError:
        protocol.response_empty(401, [])
        return
    found = PLUGINS.get(scope.path[len(PREFIX) :])
    if found is None:
        protocol.response_empty(404, [])
        return
    function, is_async = found
    request_id = scope.headers.get("x-request-id") or uuid.uuid4().hex
    body = await protocol()
    data = inject(orjson.loads(body) if body else {}, claims, request_id)
    if is_async:
        result = await function(data)
    else:
        result = await asyncio.get_running_loop().run_in_executor(None, function, data)
    headers.append(("x-request-id", request_id))
    protocol.response_bytes(200, headers, orjson.dumps(result))
