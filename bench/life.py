"""What a server costs beside calls: start to first answer, memory at rest and after many calls."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from loads import SMALL, Load
from measuring import Keys, wrk
from servers import Kind, running

SERVERS = ("gateway", "ceiling", "rsgi 1 worker", "fastapi 1 worker", "fastapi 2 workers")
STARTS = 5
REST_SECONDS = 2.0
WARM_CALLS, MANY_CALLS = 50_000, 1_000_000
# A peer at a few thousand calls a second would take minutes for as many.
LONGEST_SECONDS = 30


def measure(kind: Kind, keys: Keys, folder: Path, *, short: bool) -> dict[str, Any]:
    """Starts the server several times, lets the last one rest, then calls it many times.

    Memory is resident MB of the process and its children; `calls` is how many it answered.
    """
    load = Load("life", ("echo",))
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
        row: dict[str, Any] = {"server": kind.name, "start_to_first_answer_ms": median(starts)}
        row["rest_mb"] = server.rss_mb()
        calls = 0
        until = time.monotonic() + (2 if short else LONGEST_SECONDS)
        while calls < MANY_CALLS and time.monotonic() < until:
            calls += int(wrk(server, load, files, 2)["requests"])
            if calls >= WARM_CALLS and "warm_mb" not in row:
                row["warm_mb"] = server.rss_mb()
        row["calls"] = calls
        row["end_mb"] = server.rss_mb()
        row.setdefault("warm_mb", row["end_mb"])
    print(
        f"{kind.name}: first answer after {row['start_to_first_answer_ms']:.0f} ms", file=sys.stderr
    )
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of what [`measure`] found."""
    lines = [
        "| server | start to first answer ms | MB at rest | MB once warm | calls | MB after them |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['server']} | {row['start_to_first_answer_ms']:.0f} | {row['rest_mb']:.1f} "
        f"| {row['warm_mb']:.1f} | {row['calls']:,} | {row['end_mb']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
