"""What an idle WebSocket costs the gateway: opens many, reads the process's resident memory.

    python bench/realtime/idle_memory.py --binary target/release/mozaiks --sockets 10000

Kernel memory of the sockets is not in it. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import resource
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SECRET = "a-secret-of-the-benchmark-that-is-long-enough"


def token(user: str) -> str:
    """A token that is good for an hour."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = {"user_id": user, "exp": int(time.time()) + 3600}
    body = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    return (body + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def open_socket(host: str, port: int, bearer: str) -> socket.socket:
    """Opens a socket and waits for its acknowledgement."""
    connection = socket.create_connection((host, port))
    connection.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {bearer}\r\n\r\n".encode()
    )
    received = b""
    while b"connection_ack" not in received:
        chunk = connection.recv(4096)
        if not chunk:
            raise RuntimeError(f"no socket: {received!r}")
        received += chunk
    return connection


def resident_bytes(pid: int) -> int:
    """The process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--sockets", type=int, default=2000)
    arguments.add_argument("--per-user", type=int, default=10)
    options = arguments.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        plugins = Path(directory, "plugins")
        plugins.mkdir()
        gateway = subprocess.Popen(
            [
                os.path.abspath(options.binary),
                "serve",
                "--listen=127.0.0.1:0",
                f"--plugins={plugins}",
                f"--data-dir={directory}/data",
            ],
            env={
                **os.environ,
                "MOZAIKS_JWT_SECRET": SECRET,
                "MOZAIKS_MAX_CONNECTIONS": str(options.sockets + 100),
                "MOZAIKS_WS_MAX_CONNECTIONS_PER_USER": str(options.per_user),
            },
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert gateway.stdout is not None
            host, port = gateway.stdout.readline().strip().rsplit("/", 1)[1].split(":")
            warm = [open_socket(host, int(port), token("warm")) for _ in range(10)]
            before = resident_bytes(gateway.pid)
            began = time.perf_counter()
            opened = [
                open_socket(host, int(port), token(f"user{number // options.per_user}"))
                for number in range(options.sockets)
            ]
            seconds = time.perf_counter() - began
            grown = resident_bytes(gateway.pid) - before
            result = {
                "sockets": len(opened),
                "bytes_each": grown // len(opened),
                "opened_per_second": round(len(opened) / seconds),
            }
            print(json.dumps(result))
            for connection in warm + opened:
                connection.close()
        finally:
            gateway.terminate()
            gateway.wait()


if __name__ == "__main__":
    main()
