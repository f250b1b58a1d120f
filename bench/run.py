"""Interleaved rounds of every load against every server that takes part; see README.md here."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import life
import report
from keys import Keys
from loads import LOADS, SHORT, SMALL, Load
from report import Column
from servers import HERE, ROOT, Kind, Running, kinds, on_python, running
from wrk import measure

CALLS = Column("calls_per_second", "calls/s", 0, ratio="calls/s")
COLUMNS = (
    CALLS,
    Column("p50_ms", "p50 ms", 2),
    Column("p99_ms", "p99 ms", 2, ratio="p99", less_is_better=True),
    Column("cpu_us_per_call", "CPU µs/call", 1),
    Column("rss_mb", "RSS MB", 0),
)


def gather_plugins(folder: Path) -> Path:
    """One plugins directory for all servers: the examples, the loads' own, and fifty copies."""
    plugins = folder / "plugins"
    for source in (ROOT / "runtime/ai/plugins", HERE / "plugins"):
        shutil.copytree(source, plugins, dirs_exist_ok=True)
    for index in range(50):
        shutil.copytree(plugins / "echo", plugins / f"many{index}")
        with contextlib.suppress(FileNotFoundError):
            (plugins / f"many{index}/plugin.json").unlink()
    return plugins


def post(port: int, path: str, token: str, body: bytes, timeout: float = 60) -> bytes:
    """One call."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        answered: bytes = answer.read()
        return answered


def prepare_notes(server: Running, token: str, body: bytes) -> bytes:
    """Gives the notes load ten notes; the body of `get` names one of them."""
    path = "/api/execute/notes"
    create = b'{"action":"create","title":"A note","text":"of some length","tags":["bench"]}'
    made = [json.loads(post(server.port, path, token, create)) for _ in range(10)]
    if b'"get"' not in body:
        return body
    return json.dumps({"action": "get", "note_id": made[0]["id"]}).encode()


@contextlib.contextmanager
def database(docstore: Path, folder: Path) -> Iterator[dict[str, str]]:
    """What tells a server where its documents go: to a fresh database on the loopback, or to the
    server of `BENCH_DATABASE_URI`."""
    name = f"bench_{secrets.token_hex(4)}"
    given = os.environ.get("BENCH_DATABASE_URI")
    if given:
        yield {"MOZAIKS_DATABASE_URI": given, "MOZAIKS_DATABASE_NAME": name}
        return
    command = [str(docstore), "--listen", "127.0.0.1:0", "--log", "error", "--path"]
    with subprocess.Popen([*command, str(folder / name)], stdout=subprocess.PIPE, text=True) as own:
        try:
            assert own.stdout is not None
            address = own.stdout.readline().removeprefix("listening on ").strip()
            uri = f"mongodb://{address}/?directConnection=true"
            yield {"MOZAIKS_DATABASE_URI": uri, "MOZAIKS_DATABASE_NAME": name}
        finally:
            own.terminate()


def run_once(
    kind: Kind,
    load: Load,
    keys: Keys,
    tokens: list[str],
    folder: Path,
    seconds: int,
    docstore: Path,
) -> dict[str, Any]:
    """Starts the server, warms it up, measures it, stops it."""
    path = load.paths()[0]
    auth = keys.environment(load.algorithm)
    probe = b'{"action":"list"}' if load.plugins == ("notes",) else SMALL
    with contextlib.ExitStack() as stack:
        if load.plugins == ("notes",):
            auth |= stack.enter_context(database(docstore, folder))
        server = stack.enter_context(running(kind, auth, path, tokens[0], probe, folder))
        body = load.body
        if load.plugins == ("notes",):
            body = prepare_notes(server, tokens[0], body)
        files = load.files(folder, tokens, body)
        measure(server, load.connections, files, 1)
        if not load.neighbour:
            return measure(server, load.connections, files, seconds)
        cpu_call = (server.port, "/api/execute/cpu_bound", tokens[0])
        spin = f'{{"seconds": {seconds + 1}}}'.encode()
        busy = threading.Thread(target=lambda: post(*cpu_call, spin))
        busy.start()
        row = measure(server, load.connections, files, seconds)
        busy.join()
        return row


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", type=Path, default=ROOT / "target/dist/mozaiks")
    parser.add_argument("--ceiling", type=Path, help="unset: beside the gateway")
    parser.add_argument("--docstore", type=Path, help="unset: beside the gateway")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="VERSION=DIR",
        help="the gateway on another Python: an environment with the binary in it",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="one short round of one load")
    parser.add_argument("--only", help="loads whose name contains this")
    parser.add_argument("--out", type=Path, default=ROOT / ".build/bench")
    arguments = parser.parse_args()
    ceiling = arguments.ceiling or arguments.gateway.with_name("ceiling")
    docstore = arguments.docstore or arguments.gateway.with_name("docstore")
    loads = SHORT if arguments.short else LOADS
    rounds, seconds = (1, 2) if arguments.short else (arguments.rounds, arguments.seconds)
    loads = [load for load in loads if not arguments.only or arguments.only in load.name]
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        keys = Keys(folder)
        plugins = gather_plugins(folder)
        servers = kinds(arguments.gateway, ceiling, plugins)
        for version, _, environment in (text.partition("=") for text in arguments.python):
            kind = on_python(version, Path(environment), plugins)
            servers[kind.name] = kind
        for number in range(rounds):
            for load in loads:
                tokens = keys.tokens(load.algorithm, load.users)
                for kind in (servers[name] for name in load.servers if name in servers):
                    row = run_once(kind, load, keys, tokens, folder, seconds, docstore)
                    measured.append(
                        {"round": number, "load": load.name, "server": kind.name, **row}
                    )
                    print(
                        f"{number + 1}/{rounds} {load.name}: {kind.name}: "
                        f"{row['calls_per_second']:,.0f} calls/s, p99 {row['p99_ms']:.2f} ms",
                        file=sys.stderr,
                    )
        alone = kinds(arguments.gateway, ceiling, life.only_echo(folder))
        alive = [
            life.measure(alone[name], keys, folder, short=arguments.short)
            for name in life.SERVERS
            if not arguments.only or arguments.only in life.LOAD
        ]
    facts = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.release()}",
        "python": platform.python_version(),
        "rounds": rounds,
        "seconds": seconds,
    }
    charted = dict.fromkeys((row["load"] for row in measured), CALLS)
    print(report.write(measured, facts, COLUMNS, charted, arguments.out))
    print("\n" + report.write(alive, facts, life.COLUMNS, {}, arguments.out / "life"))
    print(f"\n{facts}\nWritten to {arguments.out}")


if __name__ == "__main__":
    main()
