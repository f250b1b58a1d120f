"""A gateway on files of its own, which can be killed and started again on them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
EVENTUALLY_SECONDS = 60


@dataclass(frozen=True)
class Plugin:
    """A plugin that the gateway is started with."""

    name: str
    code: str
    isolation: str = "inline"
    timeout_seconds: float = 30
    limits: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Puts it into the directory of plugins."""
        here = folder / self.name
        here.mkdir(parents=True)
        (here / "logic.py").write_text(self.code)
        manifest: dict[str, Any] = {
            "name": self.name,
            "isolation": self.isolation,
            "timeout_seconds": self.timeout_seconds,
        }
        if self.limits:
            manifest["resource_limits"] = self.limits
        (here / "plugin.json").write_text(json.dumps(manifest))


class Gateway:
    """A gateway process and a way to talk to it."""

    def __init__(self, binary: Path, plugins: list[Plugin], **environment: str) -> None:
        """Starts it; returns when it has said where it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="chaos-")
        self.folder = Path(self._folder.name)
        for plugin in plugins:
            plugin.write(self.folder / "plugins")
        self.binary = binary
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MOZAIKS_")},
            "MOZAIKS_JWT_SECRET": secrets.token_hex(32),
            # Its lines go to a file that is shown where something is wrong.
            "MOZAIKS_LOG": "warn",
            **environment,
        }
        for name in ("MOZAIKS_PYTHON", "MOZAIKS_DOCSTORE"):
            if said := os.environ.get(name):
                self.environment[name] = said
        self.log = self.folder / "gateway.log"
        self.port = 0
        self._tokens: dict[tuple[str, tuple[str, ...]], str] = {}
        self.process = self._launch()
        self.admin = self.token("root", "--role", "admin")

    def _launch(self) -> subprocess.Popen[str]:
        command: list[str | Path] = [self.binary, "serve", "--listen", "127.0.0.1:0"]
        command += ["--plugins", self.folder / "plugins", "--data-dir", self.folder / "data"]
        command += ["--sdk-path", ROOT / "python-sdk"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on http://"):
            process.kill()
            process.wait()
            raise SystemExit(f"the gateway did not start: {self.log.read_text()}")
        self.port = int(line.rsplit(":", 1)[1])
        return process

    def start_again(self) -> None:
        """Starts it on the files that it had."""
        self.process = self._launch()

    def token(self, user: str, *arguments: str) -> str:
        """A token, made once for each user."""
        if known := self._tokens.get((user, arguments)):
            return known
        made = subprocess.run(
            [self.binary, "token", "--user", user, "--ttl", "24h", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        self._tokens[user, arguments] = made.stdout.strip()
        return made.stdout.strip()

    def connection(self, timeout: float = 60) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[int, Any]:
        """One request, as the admin where no token says otherwise; its status and its body."""
        own = connection or self.connection()
        headers = {
            "Authorization": f"Bearer {token or self.admin}",
            "Content-Type": "application/json",
        }
        own.request(method, path, json.dumps({} if body is None else body), headers)
        answer = own.getresponse()
        text = answer.read()
        if connection is None:
            own.close()
        return answer.status, json.loads(text or b"null")

    def call(self, plugin: str, **data: Any) -> tuple[int, Any]:
        """Calls a plugin once."""
        return self.ask("POST", f"/api/execute/{plugin}", data)

    def until_called(self, *plugins: str) -> None:
        """Waits until each of these answers."""
        for plugin in plugins:

            def answers(plugin: str = plugin) -> bool:
                return self.call(plugin)[0] == 200

            until(answers, f"an answer of {plugin}")

    def workers(self, plugin: str) -> dict[int, float]:
        """Processes that run a plugin, each with the seconds that it has lived."""
        status, shown = self.ask("GET", f"/api/plugins/registry/{plugin}/limits")
        if status != 200:
            raise SystemExit(f"no limits of {plugin}: {status} {shown}")
        workers = shown["isolation"]["workers"]
        return {worker["pid"]: worker["up_seconds"] for worker in workers}

    def stop(self) -> int:
        """Ends it in order; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def clean_up(self) -> None:
        """Ends it however it is, and removes its files."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        # What ends with it may still be at its files.
        for _ in range(50):
            try:
                self._folder.cleanup()
                break
            except OSError:
                time.sleep(0.1)


@contextlib.contextmanager
def gateway(binary: Path, plugins: list[Plugin], **environment: str) -> Iterator[Gateway]:
    """A gateway for as long as it is needed."""
    running = Gateway(binary, plugins, **environment)
    try:
        yield running
    finally:
        running.clean_up()


def until(wanted: Callable[[], bool], what: str, seconds: float = EVENTUALLY_SECONDS) -> float:
    """Waits; gives how many milliseconds it took."""
    begin = time.monotonic()
    while not wanted():
        if time.monotonic() - begin > seconds:
            raise SystemExit(f"{what} did not come within {seconds:g} s")
        time.sleep(0.002)
    return (time.monotonic() - begin) * 1000


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return _memory_mb(pid, "VmRSS")


def share_mb(pid: int) -> float:
    """What a process takes: its own memory and its share of what it has in common with others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} has no memory")


def peak_mb(pid: int) -> float:
    """The most that it has been."""
    return _memory_mb(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """From here on the peak counts."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_mb(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} has no memory")


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
