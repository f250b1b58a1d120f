"""What is measured on one started server with its sockets open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client import PATH, Sockets, opened
from servers import Running
from wrk import measure as run_wrk

Row = dict[str, Any]

LOADS = ("connect", "push", "backlog", "paced")

# The gateway lets 1 MiB wait for one connection; a burst stays below, even if nobody reads.
MOST_WAITING_BYTES = 900_000
FRAME_HEAD_BYTES = 8
PACE_PER_SECOND = 40_000
PUSH_CONNECTIONS = 32
PUSH_BYTES = 100


@dataclass(frozen=True)
class Plan:
    """How long each load takes, with which messages."""

    seconds: float = 4
    burst_seconds: float = 1
    sizes: tuple[int, ...] = (100, 1000)
    push_seconds: int = 4


SHORT = Plan(seconds=0.5, burst_seconds=0.2, sizes=(100,), push_seconds=1)


def measure_all(
    server: Running, client: Path, tokens: list[str], folder: Path, plan: Plan, names: set[str]
) -> Iterator[tuple[str, Row]]:
    """Opens the sockets and runs the loads of `LOADS` named; gives the name and figures of each."""
    count = len(tokens)
    before_mb, cpu = server.rss_mb(), server.cpu_seconds()
    with opened(client, server.port, tokens, folder) as sockets:
        spent = server.cpu_seconds() - cpu
        # What the handshakes needed for a moment is given back.
        time.sleep(1)
        if "connect" in names:
            figures = {
                "per_second": count / sockets.opened["seconds"],
                "cpu_us": spent * 1e6 / count,
                # What the start had taken may be given back meanwhile.
                "kb_per_socket": max(0.0, server.rss_mb() - before_mb) * 1024 / count,
                "failed": 0,
            }
            yield f"connect {count:,} sockets", figures
        if "push" in names:
            name = f"push to one user, {count:,} sockets"
            yield name, push_to_users(server, sockets, tokens, folder, plan)
        for name, load in (("backlog", backlog), ("paced", paced)):
            for size in plan.sizes if name in names else ():
                yield f"{name}, {count:,} × {size:,} B", load(server, sockets, count, size, plan)


def push_to_users(
    server: Running, sockets: Sockets, tokens: list[str], folder: Path, plan: Plan
) -> Row:
    """Requests whose users get a message each, one after the other."""
    (folder / "body").write_text(json.dumps({"action": "to_user", "bytes": PUSH_BYTES}))
    (folder / "tokens").write_text("\n".join(tokens))
    files = {
        "BENCH_BODY": str(folder / "body"),
        "BENCH_TOKENS": str(folder / "tokens"),
        "BENCH_PATHS": PATH,
    }
    run_wrk(server, PUSH_CONNECTIONS, files, 1)
    sockets.watch()
    row = run_wrk(server, PUSH_CONNECTIONS, files, plan.push_seconds)
    arrived = sockets.report()
    answered = row["calls_per_second"] * plan.push_seconds
    # wrk leaves requests behind when it ends: their messages arrive, their answers do not.
    missing = max(0, round(answered * 0.99) - arrived["deliveries"])
    return {
        "per_second": row["calls_per_second"],
        "p50_ms": row["p50_ms"],
        "p99_ms": row["p99_ms"],
        "cpu_us": row["cpu_us_per_call"],
        "failed": row["failed"] + missing + arrived["closed"],
    }


def backlog(server: Running, sockets: Sockets, count: int, size: int, plan: Plan) -> Row:
    """As many messages as fast as they go, as this server sends in about `burst_seconds`."""
    most = MOST_WAITING_BYTES // (size + FRAME_HEAD_BYTES)
    messages = max(2, min(most, 10_000 // count))
    for share in (0.1, 0.3, 1.0):
        arrived = sockets.broadcast(messages, size, 0, messages * count)
        rate = arrived["deliveries"] / max(arrived["seconds"], 1e-6)
        messages = max(2, min(most, round(rate * plan.burst_seconds * share / count)))
    expect = count * messages
    row = timed(server, expect, lambda: sockets.broadcast(messages, size, 0, expect))
    # Behind a backlog it only says how much was sent at once.
    del row["p50_ms"], row["p99_ms"]
    return row


def paced(server: Running, sockets: Sockets, count: int, size: int, plan: Plan) -> Row:
    """So many deliveries a second; how late they are."""
    per_second = PACE_PER_SECOND / count
    messages = max(2, round(per_second * plan.seconds))
    expect = messages * count
    return timed(server, expect, lambda: sockets.broadcast(messages, size, per_second, expect))


def timed(server: Running, expect: int, send: Callable[[], dict[str, Any]]) -> Row:
    """Runs a burst; what it came to and what the server spent on it."""
    cpu = server.cpu_seconds()
    arrived = send()
    spent = server.cpu_seconds() - cpu
    deliveries = max(arrived["deliveries"], 1)
    refused = arrived["answer"] is None or " 200 " not in arrived["answer"]
    return {
        "per_second": arrived["deliveries"] / max(arrived["seconds"], 1e-6),
        "p50_ms": (arrived["p50_us"] or 0) / 1000,
        "p99_ms": (arrived["p99_us"] or 0) / 1000,
        "cpu_us": spent * 1e6 / deliveries,
        "failed": expect - arrived["deliveries"] + arrived["closed"] + int(refused),
        "expected": expect,
    }
