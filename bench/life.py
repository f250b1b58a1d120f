"""What a server costs beside calls: start to first answer, memory at rest and after many calls."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from keys import Keys
from loads import SMALL, Load
from report import Column
from servers import ROOT, Kind, running
from wrk import measure as call

LOAD = "start and memory"
SERVERS = ("gateway", "rsgi 1 worker", "fastapi 1 worker", "fastapi 2 workers")
COLUMNS = (
    Column("start_ms", "start to first answer ms", 0, ratio="start", less_is_better=True),
    Column("rest_mb", "MB at rest", 1, ratio="MB at rest", less_is_better=True),
    Column("warm_mb", "MB once warm", 1),
    Column("calls", "calls", 0),
    Column("end_mb", "MB after them", 1),
)
STARTS = 5
REST_SECONDS = 2.0
WARM_CALLS, MANY_CALLS = 50_000, 1_000_000
# A peer at a few thousand calls a second would take minutes for as many.
LONGEST_SECONDS = 30


def only_echo(folder: Path) -> Path:
    """A plugins directory with `echo` alone."""
    plugins = folder / "only-echo"
    shutil.copytree(ROOT / "runtime/ai/plugins/echo", plugins / "echo")
    return plugins


def measure(kind: Kind, keys: Keys, folder: Path, *, short: bool) -> dict[str, Any]:
    """Starts the server several times, lets the last one rest, then calls it many times.

    Memory is resident MB of the process and its children; `calls` is how many it answered.
    """
    load = Load(LOAD, ("echo",))
    token = keys.tokens("HS256", 1)[0]
    auth, path = keys.environment("HS256"), "/api/execute/echo"
    files = load.files(folder, [token], load.body)
    starts = []
    for _ in range(1 if short else STARTS - 1):
        with running(kind, auth, path, token, SMALL, folder) as server:
            starts.append(server.start_to_first_answer_ms)
    with running(kind, auth, path, token, SMALL, folder) as server:
        starts.append(server.start_to_first_answer_ms)
        time.sleep(REST_SECONDS)
        row: dict[str, Any] = {"round": 0, "load": LOAD, "server": kind.name, "failed": 0}
        row["start_ms"] = median(starts)
        row["rest_mb"] = server.rss_mb()
        calls = 0
        until = time.monotonic() + (2 if short else LONGEST_SECONDS)
        while calls < MANY_CALLS and time.monotonic() < until:
            ran = call(server, load.connections, files, 2)
            calls += ran["calls"]
            row["failed"] += ran["failed"]
            if calls >= WARM_CALLS and "warm_mb" not in row:
                row["warm_mb"] = server.rss_mb()
        row["calls"] = calls
        row["end_mb"] = server.rss_mb()
        row.setdefault("warm_mb", row["end_mb"])
    print(f"{kind.name}: first answer after {row['start_ms']:.0f} ms", file=sys.stderr)
    return row
