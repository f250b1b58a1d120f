"""How fast a broadcast reaches its readers.

    python bench/realtime/fan_out.py --binary target/release/mozaiks --sockets 1000

A plugin broadcasts messages one after the other to sockets of as many users; this process counts
the bytes that arrive. It shares the machine with the gateway, so the number is a lower bound.
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import threading
import time
import urllib.request

from common import gateway, open_socket, token

PLUGIN = """
from core.websocket_manager import websocket_manager


async def execute(data):
    message = {"type": "bench", "text": "x" * data["bytes"]}
    for _ in range(data["messages"]):
        await websocket_manager.broadcast(message)
    return {}
"""


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--sockets", type=int, default=1000)
    arguments.add_argument("--messages", type=int, default=200)
    arguments.add_argument("--bytes", type=int, default=200)
    options = arguments.parse_args()
    message = json.dumps(
        {"type": "bench", "text": "x" * options.bytes}, separators=(",", ":")
    ).encode()
    head_bytes = 2 if len(message) < 126 else 4 if len(message) < 65536 else 10
    expected = options.messages * (head_bytes + len(message))
    with gateway(options.binary, PLUGIN, plugin_timeout_seconds=300) as running:
        place = (running.host, running.port)
        selector = selectors.DefaultSelector()
        left: dict[socket.socket, int] = {}
        for number in range(options.sockets):
            connection = open_socket(*place, token(f"user{number}"))
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, connection)
            left[connection] = expected
        body = json.dumps({"messages": options.messages, "bytes": options.bytes}).encode()
        began = time.perf_counter()
        threading.Thread(target=call, args=(*place, body), daemon=True).start()
        while left:
            for key, _ in selector.select():
                connection = key.data
                received = len(connection.recv(1 << 20))
                if received == 0:
                    raise RuntimeError("a reader was closed")
                left[connection] -= received
                if left[connection] == 0:
                    selector.unregister(connection)
                    del left[connection]
        seconds = time.perf_counter() - began
        print(
            json.dumps(
                {
                    "sockets": options.sockets,
                    "messages": options.messages,
                    "message_bytes": len(message),
                    "deliveries_per_second": round(options.sockets * options.messages / seconds),
                }
            )
        )


def call(host: str, port: int, body: bytes) -> None:
    """Calls the plugin and waits for its answer."""
    request = urllib.request.Request(
        f"http://{host}:{port}/api/execute/bench",
        data=body,
        headers={
            "authorization": f"Bearer {token('sender')}",
            "content-type": "application/json",
        },
    )
    with urllib.request.urlopen(request) as response:
        response.read()


if __name__ == "__main__":
    main()
