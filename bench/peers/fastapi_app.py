"""The execute contract on FastAPI, as one writes it: a route, a bearer token, the plugin's dict."""

from __future__ import annotations

import inspect
import json
import uuid
from typing import Any

from common import inject, load_plugins, plain, verify
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from jwt import InvalidTokenError


class Answer(JSONResponse):
    """JSON, with the types that databases bring."""

    def render(self, content: Any) -> bytes:
        """Prints it as `JSONResponse` does."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=plain)
        return text.encode()


app = FastAPI()
PLUGINS = load_plugins()


@app.post("/api/execute/{plugin}")
async def execute(plugin: str, request: Request) -> Answer:
    """Verifies, injects, calls, answers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        claims = verify(token)
    except InvalidTokenError as error:
        raise HTTPException(401) from error
    function = PLUGINS.get(plugin)
    if function is None:
        raise HTTPException(404)
    request_id = request.headers.get("x-request-id") or uuid.uuid4().hex
    body = await request.body()
    data = inject(json.loads(body) if body else {}, claims, request_id)
    if inspect.iscoroutinefunction(function):
        result = await function(data)
    else:
        result = await run_in_threadpool(function, data)
    return Answer(result, headers={"x-request-id": request_id})
