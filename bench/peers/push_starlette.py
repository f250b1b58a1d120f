"""Pushes on Starlette. `BENCH_ENCODE=once` encodes a message once for all its receivers."""

from __future__ import annotations

import json
import os
from typing import Any

from jwt import InvalidTokenError
from push_common import Registry, push, user_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

REGISTRY: Registry[WebSocket] = Registry()


async def send_json(sockets: list[WebSocket], message: Any) -> None:
    """As one writes it first."""
    for socket in sockets:
        await socket.send_json(message)


async def send_text(sockets: list[WebSocket], message: Any) -> None:
    """One text for everybody."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    for socket in sockets:
        await socket.send_text(text)


SEND = send_text if os.environ.get("BENCH_ENCODE") == "once" else send_json


async def live(socket: WebSocket) -> None:
    """A socket of the token's user."""
    try:
        user = user_of(socket.headers)
    except InvalidTokenError:
        await socket.close(4401)
        return
    await socket.accept()
    REGISTRY.add(user, socket)
    try:
        await socket.send_json({"type": "connection_ack", "user_id": user})
        async for _ in socket.iter_text():
            pass
    finally:
        REGISTRY.remove(user, socket)


async def execute(request: Request) -> Response:
    """Verifies the caller and pushes."""
    try:
        user = user_of(request.headers)
    except InvalidTokenError:
        return Response(status_code=401)
    return JSONResponse(await push(REGISTRY, user, await request.json(), SEND))


app = Starlette(
    routes=[WebSocketRoute("/ws", live), Route("/api/execute/push", execute, methods=["POST"])]
)
