"""Pushes on aiohttp and uvloop; a message is encoded once for all its receivers."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvloop
from aiohttp import web
from jwt import InvalidTokenError
from push_common import Registry, push, user_of

REGISTRY: Registry[web.WebSocketResponse] = Registry()


async def send(sockets: list[web.WebSocketResponse], message: Any) -> None:
    """One text for everybody."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    for socket in sockets:
        await socket.send_str(text)


async def live(request: web.Request) -> web.StreamResponse:
    """A socket of the token's user."""
    try:
        user = user_of(request.headers)
    except InvalidTokenError:
        return web.Response(status=401)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    REGISTRY.add(user, socket)
    try:
        await socket.send_json({"type": "connection_ack", "user_id": user})
        async for _ in socket:
            pass
    finally:
        REGISTRY.remove(user, socket)
    return socket


async def execute(request: web.Request) -> web.Response:
    """Verifies the caller and pushes."""
    try:
        user = user_of(request.headers)
    except InvalidTokenError:
        return web.Response(status=401)
    return web.json_response(await push(REGISTRY, user, await request.json(), send))


def main() -> None:
    """Serves on the port given, on the loopback."""
    app = web.Application()
    app.add_routes([web.get("/ws", live), web.post("/api/execute/push", execute)])
    loop = uvloop.new_event_loop()
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop=loop,
        print=None,
        access_log=None,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
