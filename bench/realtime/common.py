"""What the benchmarks of live connections share: a gateway, tokens, sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass
class Gateway:
    """A running gateway."""

    host: str
    port: int
    pid: int


@contextlib.contextmanager
def gateway(binary: str, plugin: str | None = None, **settings: object) -> Iterator[Gateway]:
    """Starts a gateway, with one plugin's code where there is some, and ends it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        plugins = Path(directory, "plugins")
        package = plugins / "bench"
        package.mkdir(parents=True)
        if plugin is not None:
            (package / "__init__.py").touch()
            (package / "logic.py").write_text(plugin)
        variables = {f"MOZAIKS_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(
            [
                os.path.abspath(binary),
                "serve",
                "--listen=127.0.0.1:0",
                f"--plugins={plugins}",
                f"--data-dir={directory}/data",
            ],
            env={
                **os.environ,
                "MOZAIKS_JWT_SECRET": SECRET,
                "MOZAIKS_SDK_PATH": str(Path(__file__).resolve().parents[2] / "python-sdk"),
                **variables,
            },
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            host, port = line.rsplit("/", 1)[1].split(":")
            yield Gateway(host, int(port), process.pid)
        finally:
            process.terminate()
            process.wait()
