"""Starts the gateway and its peers on the loopback and reads what they cost from /proc."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_LIMIT_SECONDS = 30
# Of the log of a server that does not start.
SHOWN_LINES = 20


@dataclass(frozen=True)
class Kind:
    """A server of the comparison: how it is started."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    scheme: str = "http"


@dataclass
class Running:
    """A started server."""

    kind: Kind
    process: subprocess.Popen[bytes]
    port: int
    start_to_first_answer_ms: float

    def _tree(self) -> list[int]:
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        total = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS_PER_SECOND

    def rss_mb(self) -> float:
        """Resident memory of the process and its children."""
        total = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1])
        return total / 1024


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def on_python(version: str, environment: Path, plugins: Path) -> Kind:
    """The gateway built for another Python, in the environment that holds it."""
    serve = [str(environment / "mozaiks"), "serve", "--listen", "127.0.0.1:{port}"]
    return Kind(
        f"gateway, Python {version}",
        [*serve, "--data-dir", "{data}"],
        {
            "MOZAIKS_PLUGINS_PATH": str(plugins),
            "MOZAIKS_PYTHON": str(environment / "bin/python"),
        },
    )


def kinds(gateway: Path, ceiling: Path, plugins: Path) -> dict[str, Kind]:
    """Every server that a load may name."""
    peers = str(HERE / "peers")
    python = sys.executable
    common = {"BENCH_PLUGINS": str(plugins), "PYTHONPATH": peers}

    def uvicorn(workers: int) -> list[str]:
        command = f"{python} -m uvicorn fastapi_app:app --app-dir {peers} --workers {workers}"
        return [
            *command.split(),
            *["--log-level", "warning", "--no-access-log", "--port", "{port}"],
        ]

    def granian(workers: int) -> list[str]:
        command = f"{python} -m granian --interface rsgi --workers {workers}"
        options = f"--working-dir {peers} --log-level warning --port {{port}} rsgi_app:app"
        return [*command.split(), *options.split()]

    shims = str(HERE / "peers/shims")
    serve = [str(gateway), "serve", "--listen", "127.0.0.1:{port}", "--data-dir", "{data}"]
    ours = {"MOZAIKS_PLUGINS_PATH": str(plugins)}
    found = [
        Kind("gateway", serve, ours),
        Kind(
            "gateway, TLS",
            serve,
            {
                **ours,
                "MOZAIKS_TLS_CERT": "{folder}/tls-cert.pem",
                "MOZAIKS_TLS_KEY": "{folder}/tls-key.pem",
            },
            scheme="https",
        ),
        Kind("gateway, token cache off", serve, {**ours, "MOZAIKS_TOKEN_CACHE_SIZE": "0"}),
        Kind("fastapi 1 worker", uvicorn(1), common),
        Kind("fastapi 2 workers", uvicorn(2), common),
        Kind("rsgi 1 worker", granian(1), common),
        Kind("rsgi 2 workers", granian(2), common),
        Kind("rsgi token cache", granian(1), {**common, "BENCH_TOKEN_CACHE": "1"}),
        Kind("fastapi pymongo", uvicorn(1), {**common, "BENCH_SHIMS": shims}),
        Kind(
            "fastapi motor", uvicorn(1), {**common, "BENCH_SHIMS": shims, "BENCH_DRIVER": "motor"}
        ),
    ]
    # Not built where only a look is wanted.
    if ceiling.exists():
        found.append(
            Kind(
                "ceiling",
                [str(ceiling), "127.0.0.1:{port}"],
                {**ours, "MOZAIKS_DATA_DIR": "{data}"},
            )
        )
    return {kind.name: kind for kind in found}


def first_answer(address: str, path: str, token: str, body: bytes, until: float) -> None:
    """Waits until the server answers a call with 200."""
    request = urllib.request.Request(
        f"{address}{path}",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    problem: Exception | None = None
    # The certificate is this run's own.
    trusting = ssl._create_unverified_context() if address.startswith("https") else None
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=5, context=trusting) as answer:
                answer.read()
                return
        except urllib.error.HTTPError as error:
            problem = error
            if error.code not in (503, 404):
                raise SystemExit(f"{path}: {error.code} {error.read()[:500]!r}") from error
        except (OSError, http.client.HTTPException) as error:
            # On the loopback a connection to a port that nobody listens on can reach itself.
            problem = error
        time.sleep(0.002)
    raise SystemExit(f"no answer from {address}{path}: {problem}")


@contextlib.contextmanager
def running(
    kind: Kind, auth: dict[str, str], path: str, token: str, body: bytes, folder: Path
) -> Iterator[Running]:
    """Starts a server, waits for its first answer, stops it."""
    port = free_port()
    data = folder / f"data-{port}"
    command = [part.format(port=port, data=data) for part in kind.command]
    own = {name: value.format(data=data, folder=folder) for name, value in kind.environment.items()}
    environment = {**os.environ, **auth, **own, "MOZAIKS_LOG_FORMAT": "json"}
    said = folder / f"{kind.name.replace(' ', '-')}-{port}.log"
    log = said.open("wb")
    begin = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        try:
            first_answer(
                f"{kind.scheme}://127.0.0.1:{port}", path, token, body, begin + START_LIMIT_SECONDS
            )
        except SystemExit as problem:
            end = "\n".join(said.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
            raise SystemExit(f"{kind.name}: {problem}; the end of its log:\n{end}") from None
        yield Running(kind, process, port, (time.monotonic() - begin) * 1000)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
