"""Live connections: interleaved rounds of the gateway and its peers; see README.md here."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

# After the line above, which is how the benchmarks share their modules.
import report  # noqa: E402
from client import PATH  # noqa: E402
from keys import Keys  # noqa: E402
from measure import LOADS, SHORT, Plan, measure_all  # noqa: E402
from report import Column  # noqa: E402
from servers import ROOT, Kind, running  # noqa: E402

RATE = Column("per_second", "per second", 0, ratio="rate")
P99 = Column("p99_ms", "p99 ms", 2, ratio="p99", less_is_better=True)
COLUMNS = (
    RATE,
    Column("p50_ms", "p50 ms", 2),
    P99,
    Column("cpu_us", "CPU µs each", 2, ratio="CPU", less_is_better=True),
    Column("kb_per_socket", "KB/socket", 1, ratio="memory", less_is_better=True),
)
SOCKETS = (500, 5000)
# The pushes to single users, where connections are few enough for all peers to keep up.
PUSH_SOCKETS = 500


def kinds(gateway: Path) -> list[Kind]:
    """The servers, in the order in which each round starts them."""
    peers = str(HERE.parent / "peers")
    python = sys.executable
    uvicorn = f"{python} -m uvicorn push_starlette:app --app-dir {peers}".split()
    uvicorn += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    uvicorn += ["--log-level", "warning", "--port", "{port}"]
    path = {"PYTHONPATH": peers}
    serve = [str(gateway), "serve", "--listen", "127.0.0.1:{port}", "--data-dir", "{data}"]
    return [
        Kind("gateway", serve, {"MOZAIKS_PLUGINS_PATH": str(HERE / "plugins")}),
        Kind("starlette send_json", uvicorn, path),
        Kind("starlette one dumps", uvicorn, {**path, "BENCH_ENCODE": "once"}),
        Kind("aiohttp", [python, f"{peers}/push_aiohttp.py", "{port}"], path),
    ]


def one_round(arguments: argparse.Namespace, servers: list[Kind], plan: Plan) -> Iterator[Any]:
    """Every load on every server; gives rows as they come."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        keys = Keys(folder)
        probe = json.dumps({"action": "to_user", "bytes": 100}).encode()
        for count in arguments.sockets:
            tokens = keys.tokens("HS256", count)
            auth = keys.environment("HS256")
            for kind in servers:
                with running(kind, auth, PATH, tokens[0], probe, folder) as server:
                    names = set(arguments.loads)
                    if count > max(PUSH_SOCKETS, min(arguments.sockets)):
                        names.discard("push")
                    rows = measure_all(server, arguments.client, tokens, folder, plan, names)
                    for load, row in rows:
                        print(f"{load}: {kind.name}: {brief(row)}", file=sys.stderr)
                        yield {"load": load, "server": kind.name, **row}


def brief(row: dict[str, Any]) -> str:
    """The figures of a row on one line."""
    shown = {key: round(value, 2) for key, value in row.items()}
    return ", ".join(f"{key} {value:,}" for key, value in shown.items())


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", type=Path, default=ROOT / "target/dist/mozaiks")
    parser.add_argument("--client", type=Path, help="push_load; unset: beside the gateway")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sockets", type=int, nargs="+", default=list(SOCKETS))
    parser.add_argument("--only", help="servers whose name contains this")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--short", action="store_true", help="a few seconds; judges nothing")
    parser.add_argument("--add", action="store_true", help="to the rounds that --out has already")
    parser.add_argument("--out", type=Path, default=ROOT / ".build/bench-realtime")
    arguments = parser.parse_args()
    arguments.client = arguments.client or arguments.gateway.with_name("push_load")
    plan = SHORT if arguments.short else Plan()
    if arguments.short:
        arguments.rounds, arguments.sockets = 1, [50]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers = [
        kind
        for kind in kinds(arguments.gateway)
        if not arguments.only or arguments.only in kind.name
    ]
    measured: list[dict[str, Any]] = []
    if arguments.add and (arguments.out / "results.json").exists():
        measured = json.loads((arguments.out / "results.json").read_text())["measured"]
    first = 1 + max((row["round"] for row in measured), default=-1)
    for number in range(first, first + arguments.rounds):
        for row in one_round(arguments, servers, plan):
            measured.append({"round": number, **row})
    facts = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.release()}",
        "python": platform.python_version(),
    }
    charted = {row["load"]: P99 if row["load"].startswith("paced") else RATE for row in measured}
    print(report.write(measured, facts, COLUMNS, charted, arguments.out))
    print(f"\n{facts}\nWritten to {arguments.out}")
    failed = [row for row in measured if arguments.short and row["failed"]]
    if failed:
        raise SystemExit(f"not everything arrived: {failed}")


if __name__ == "__main__":
    main()
