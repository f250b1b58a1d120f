"""The loads: which plugin, how many connections, which tokens, which servers take part."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SMALL = json.dumps(
    {"action": "echo", "message": "x" * 64, "items": [1, 2, 3], "nested": {"a": True, "b": None}}
).encode()
LARGE = json.dumps({"action": "echo", "rows": [{"id": i, "name": f"row {i}"} for i in range(2900)]})

PYTHONS = tuple(f"gateway, Python 3.{minor}" for minor in (10, 11, 12, 13))
ALL = (
    "gateway",
    *PYTHONS,
    "gateway, token cache off",
    "ceiling",
    "rsgi token cache",
    "rsgi 1 worker",
    "rsgi 2 workers",
    "fastapi 1 worker",
    "fastapi 2 workers",
)
MAIN = ("gateway", "rsgi token cache", "fastapi 1 worker", "fastapi 2 workers")
TLS = ("gateway", "gateway, TLS")
DATABASE = ("gateway", "fastapi pymongo", "fastapi motor")


@dataclass(frozen=True)
class Load:
    """One row group of the table."""

    name: str
    plugins: tuple[str, ...]
    connections: int = 32
    body: bytes = SMALL
    users: int = 1
    algorithm: str = "HS256"
    servers: tuple[str, ...] = MAIN
    neighbour: bool = False
    route: str = ""
    # A connection for each call, with TLS a handshake.
    closing: bool = False

    def paths(self) -> list[str]:
        """Where its calls go, in turn."""
        if self.route:
            return [f"/api/plugins/{plugin}{self.route}" for plugin in self.plugins]
        return [f"/api/execute/{plugin}" for plugin in self.plugins]

    def files(self, folder: Path, tokens: list[str], body: bytes) -> dict[str, str]:
        """Writes what wrk's script reads; gives the variables that name it."""
        (folder / "body").write_bytes(body)
        (folder / "tokens").write_text("\n".join(tokens))
        return {
            "BENCH_BODY": str(folder / "body"),
            "BENCH_TOKENS": str(folder / "tokens"),
            "BENCH_PATHS": ",".join(self.paths()),
            "BENCH_CLOSING": "1" if self.closing else "",
        }


LOADS = [
    Load("echo, 32 connections", ("echo",), servers=ALL),
    Load("echo as a route, 32 connections", ("route",), route="/echo", servers=("gateway",)),
    Load("echo over TLS, 32 connections", ("echo",), servers=TLS),
    Load("echo over TLS, a connection a call", ("echo",), servers=TLS, closing=True),
    Load("echo, 1 connection", ("echo",), connections=1),
    Load("echo, 8 connections", ("echo",), connections=8),
    Load("echo, 128 connections", ("echo",), connections=128),
    Load("echo, 10,000 users", ("echo",), users=10_000),
    Load("echo, RS256", ("echo",), algorithm="RS256"),
    Load("echo, RS256, 10,000 users", ("echo",), algorithm="RS256", users=10_000),
    Load("echo, 100 KB body", ("echo",), body=LARGE.encode()),
    Load("sleep(0)", ("sleep0",), servers=("gateway", *PYTHONS, *MAIN[1:])),
    Load("sleep(5 ms), 256 connections", ("sleep5",), connections=256),
    Load("plain def", ("plain",)),
    Load("run_in_executor", ("executor",)),
    Load("50 plugins in turn", tuple(f"many{i}" for i in range(50))),
    Load("echo beside a CPU-bound plugin", ("echo",), neighbour=True),
    Load("notes list", ("notes",), body=b'{"action":"list","limit":10}', servers=DATABASE),
    Load("notes get", ("notes",), body=b'{"action":"get"}', servers=DATABASE),
    Load("notes create", ("notes",), body=b'{"action":"create","title":"t"}', servers=DATABASE),
]
SHORT = [
    Load("echo, 32 connections", ("echo",), servers=("gateway", "fastapi 1 worker")),
    Load("echo over TLS, 32 connections", ("echo",), servers=TLS),
]
