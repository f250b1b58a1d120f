"""What plugins' life costs: reloads under load, a thousand plugins, saving a file, two gateways.

Needs nothing but Python's own library and the binaries; see `make bench-life`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16
START_SECONDS = 120
CHANGE_SECONDS = 30

TRIVIAL = "async def execute(data):\n    return {}\n"


def busy(version: int) -> str:
    """A plugin that registers something of each kind."""
    return (
        "import asyncio\n"
        "async def on_load(ctx):\n"
        f"    ctx.register_route('GET', '/version', lambda: {{'version': {version}}})\n"
        "async def on_enable(ctx):\n"
        "    ctx.on('busy:asked', lambda data: None)\n"
        "    ctx.on_websocket_message('busy', lambda data, connection: None)\n"
        "async def execute(data):\n"
        "    await asyncio.sleep(0.001)\n"
        f"    return {{'version': {version}}}\n"
    )


class Gateway:
    """A gateway process and a way to talk to it."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        plugins: Path,
        data: Path | None = None,
        **environment: str,
    ) -> None:
        """Starts it; returns when it has said where it listens."""
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MOZAIKS_")},
            "MOZAIKS_JWT_SECRET": secrets.token_hex(32),
            "MOZAIKS_SDK_PATH": str(ROOT / "python-sdk"),
            "MOZAIKS_PLUGIN_START_WAIT_SECONDS": "120",
            "MOZAIKS_LOG": "warn",
            **environment,
        }
        if python := os.environ.get("MOZAIKS_PYTHON"):
            self.environment["MOZAIKS_PYTHON"] = python
        self.binary = binary
        data = data or Path(tempfile.mkdtemp(dir=folder))
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", "--plugins", plugins, "--data-dir", data],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=(folder / "gateways.log").open("ab"),
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            raise SystemExit(f"the gateway did not start: {(folder / 'gateways.log').read_text()}")
        self.port = int(line.rsplit(":", 1)[1])
        self.start_ms = (time.monotonic() - begin) * 1000
        self.admin = self.token("--user", "root", "--role", "admin")

    def token(self, *arguments: str) -> str:
        """A token."""
        made = subprocess.run(
            [self.binary, "token", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[int, Any]:
        """One request as the admin; its status and its body."""
        connection = connection or self.connection()
        headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps({} if body is None else body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def possessions(self) -> dict[str, float]:
        """What the process has now."""
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(
            line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
        )
        _, stats = self.ask("GET", "/__mozaiks/admin/events/stats")
        return {
            "memory_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1),
            "threads": int(status["Threads"]),
            "descriptors": len(list((proc / "fd").iterdir())),
            "subscriptions": len(stats.get("subscriptions") or []),
        }

    def stop(self) -> None:
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def gateway(*arguments: Any, **environment: str) -> Iterator[Gateway]:
    """A gateway for as long as it is needed."""
    running = Gateway(*arguments, **environment)
    try:
        yield running
    finally:
        running.stop()


def write(path: Path, text: str) -> None:
    """Saves a file as editors do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    beside.rename(path)


def until(wanted: Callable[[], bool], what: str) -> float:
    """Waits; gives how many milliseconds it took."""
    begin = time.monotonic()
    while not wanted():
        if time.monotonic() - begin > CHANGE_SECONDS:
            raise SystemExit(f"{what} did not happen within {CHANGE_SECONDS} s")
        time.sleep(0.002)
    return (time.monotonic() - begin) * 1000


def call_all_the_time(running: Gateway, plugin: str, over: threading.Event) -> Callable[[], Any]:
    """Calls a plugin on 16 connections until it is over; then gives how it went."""
    outcomes: list[tuple[int, int]] = []

    def client() -> None:
        connection, calls, failed = running.connection(), 0, 0
        while not over.is_set():
            path = f"/api/execute/{plugin}"
            status, _ = running.ask("POST", path, connection=connection)
            calls, failed = calls + 1, failed + (status != 200)
        outcomes.append((calls, failed))

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()

    def ended() -> dict[str, int]:
        over.set()
        for thread in threads:
            thread.join()
        if len(outcomes) < CONNECTIONS:
            raise SystemExit("a client broke off")
        return {
            "calls": sum(calls for calls, _ in outcomes),
            "failed": sum(failed for _, failed in outcomes),
        }

    return ended


def reloads(binary: Path, folder: Path, count: int) -> dict[str, Any]:
    """Loads a plugin anew many times while it is called."""
    plugins = folder / "reloads"
    write(plugins / "busy/logic.py", busy(0))
    with gateway(binary, folder, plugins) as running:
        over = threading.Event()
        ended = call_all_the_time(running, "busy", over)
        for _ in range(5):
            running.ask("POST", "/api/plugins/busy/reload")
        time.sleep(2)
        before = running.possessions()
        begin = time.monotonic()
        for number in range(1, count + 1):
            write(plugins / "busy/logic.py", busy(number))
            status, answer = running.ask("POST", "/api/plugins/busy/reload")
            if status != 200:
                raise SystemExit(f"reload {number}: {answer}")
        seconds = time.monotonic() - begin
        time.sleep(2)
        after = running.possessions()
        called = ended()
        return {
            "reloads": count,
            "ms_each": round(seconds * 1000 / count, 1),
            **called,
            "before": before,
            "after": after,
        }


def many(binary: Path, folder: Path, count: int) -> dict[str, Any]:
    """Starts with a number of plugins, and calls one of them."""
    plugins = folder / f"many-{count}"
    for number in range(count):
        write(plugins / f"plugin{number}/logic.py", TRIVIAL)
    with gateway(binary, folder, plugins) as running:
        path = f"/api/execute/plugin{count - 1}"
        begin = time.monotonic()
        until(lambda: running.ask("POST", path)[0] == 200, "the first answer")
        first_ms = running.start_ms + (time.monotonic() - begin) * 1000
        status, _ = running.ask("GET", "/api/plugins?status=active")
        assert status == 200
        connection = running.connection()
        calls = []
        for _ in range(3000):
            start = time.perf_counter()
            running.ask("POST", path, connection=connection)
            calls.append((time.perf_counter() - start) * 1e6)
        return {
            "plugins": count,
            "start_to_first_answer_ms": round(first_ms),
            "call_us_median": round(median(calls[500:]), 1),
            "memory_mb": running.possessions()["memory_mb"],
        }


def saves(binary: Path, folder: Path, count: int) -> dict[str, Any]:
    """Saves a file and waits for the answer to change."""
    plugins = folder / "saves"
    write(plugins / "busy/logic.py", busy(0))
    took = []
    with gateway(binary, folder, plugins, MOZAIKS_PLUGINS_WATCH="true") as running:
        connection = running.connection()

        def says(number: int) -> bool:
            answer = running.ask("POST", "/api/execute/busy", connection=connection)
            return bool(answer[1].get("version") == number)

        for number in range(1, count + 1):
            write(plugins / "busy/logic.py", busy(number))
            took.append(until(lambda number=number: says(number), "the new answer"))
    return {
        "saves": count,
        "save_to_answer_ms_median": round(median(took)),
        "save_to_answer_ms_max": round(max(took)),
    }


def pairs(binary: Path, docstore: Path, folder: Path, count: int) -> list[dict[str, Any]]:
    """Switches and configures on one gateway, and waits for the other."""
    plugins = folder / "pairs"
    write(plugins / "busy/logic.py", busy(0))
    found = []
    for name, more in (("change stream", ["--replica-set", "rs0"]), ("looking", [])):
        store = subprocess.Popen(
            [docstore, "--path", tempfile.mkdtemp(dir=folder), "--listen", "127.0.0.1:0", *more],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert store.stdout is not None
            address = store.stdout.readline().strip().removeprefix("listening on ")
            uri = f"mongodb://{address}/?directConnection=true"
            with (
                gateway(binary, folder, plugins, MOZAIKS_DATABASE_URI=uri) as one,
                gateway(binary, folder, plugins, MOZAIKS_DATABASE_URI=uri) as two,
            ):
                found.append({"followed by": name, **toggled(one, two, count)})
        finally:
            store.terminate()
            store.wait()
    return found


def toggled(one: Gateway, two: Gateway, count: int) -> dict[str, Any]:
    """How long a switch and a configuration take to the other gateway."""
    switches, configs = [], []
    connection = two.connection()
    for number in range(count):
        on = number % 2 == 1
        one.ask("POST", "/api/plugins/busy/enable", {"enabled": on})
        wanted = 200 if on else 404

        def follows(wanted: int = wanted) -> bool:
            return two.ask("POST", "/api/execute/busy", connection=connection)[0] == wanted

        switches.append(until(follows, "the switch"))
        one.ask("PUT", "/api/plugins/busy/config", {"config": {"n": number}})

        def knows(number: int = number) -> bool:
            _, answer = two.ask("GET", "/api/plugins/busy/config", connection=connection)
            return bool(answer["config"].get("n") == number)

        configs.append(until(knows, "the configuration"))
    return {
        "switch_ms_median": round(median(switches)),
        "switch_ms_max": round(max(switches)),
        "config_ms_median": round(median(configs)),
        "config_ms_max": round(max(configs)),
    }


def main() -> None:
    """Measures what is asked for and prints one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/dist")
    parser.add_argument("--reloads", type=int, default=300)
    parser.add_argument("--plugins", type=int, default=1000)
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("only", nargs="*", help="reloads, many, saves, pairs; all where none")
    options = parser.parse_args()
    binary, wanted = options.bin / "mozaiks", options.only or ["reloads", "many", "saves", "pairs"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "reloads" in wanted:
            print(json.dumps({"reloads": reloads(binary, folder, options.reloads)}), flush=True)
        if "many" in wanted:
            one, all_of_them = (many(binary, folder, n) for n in (1, options.plugins))
            more = all_of_them["memory_mb"] - one["memory_mb"]
            per_hundred = round(more * 100 / max(options.plugins - 1, 1), 1)
            measured = {"one": one, "all": all_of_them, "mb_per_100": per_hundred}
            print(json.dumps({"many": measured}), flush=True)
        if "saves" in wanted:
            print(json.dumps({"saves": saves(binary, folder, options.saves)}), flush=True)
        if "pairs" in wanted:
            docstore = options.bin / "docstore"
            found = pairs(binary, docstore, folder, options.pairs)
            print(json.dumps({"pairs": found}), flush=True)


if __name__ == "__main__":
    main()
