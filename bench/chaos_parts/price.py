"""What processes of their own cost plugins: calls, host calls, cores, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from .rows import Row, at_least, at_most, none_of
from .server import Gateway, Plugin, gateway, rss_mb, share_mb
from .wrk import Wrk

SECONDS = 4
CONNECTIONS = 32
MODES = ("inline", "shared", "dedicated")
FINDS = 500
LOOP_MS = 2.0
BODY = json.dumps({"action": "echo", "message": "x" * 64, "items": [1, 2, 3]}).encode()

ECHO = """
async def execute(data):
    return {"message": data.get("message"), "items": data.get("items")}
"""

FINDER = """
from time import perf_counter_ns
from core.config.database import db

async def execute(data):
    kept = db["NAME_kept"]
    await kept.update_one({"_id": "one"}, {"$set": {"n": 1}}, upsert=True)
    took = []
    for _ in range(data.get("finds", 1)):
        begin = perf_counter_ns()
        await kept.find_one({"_id": "one"})
        took.append(perf_counter_ns() - begin)
    took.sort()
    return {"us": took[len(took) // 2] / 1000}
"""

LOOP = """
def execute(data):
    total = 0
    for number in range(data.get("turns", 1)):
        total += number * number
    return {"total": total}
"""


def price(binary: Path, rounds: int, _: float) -> list[Row]:
    """Measures modes in turn."""
    return [*_calls(binary, rounds), *_two(binary, rounds), *_cores(binary, rounds)]


def _calls(binary: Path, rounds: int) -> list[Row]:
    part = "price"
    limits = {"cpu": "400%"}
    plugins = [Plugin(f"echo_{mode}", ECHO, mode, limits=limits) for mode in MODES]
    finders = [
        Plugin(f"find_{mode}", FINDER.replace("NAME", f"find_{mode}"), mode, limits=limits)
        for mode in MODES
    ]
    with gateway(binary, plugins + finders, MOZAIKS_WORKERS="2") as running:
        running.until_called(*(plugin.name for plugin in plugins + finders))
        memory = _memory(running)
        wrk = Wrk(running)
        rates: dict[str, list[float]] = {mode: [] for mode in MODES}
        finds: dict[str, list[float]] = {mode: [] for mode in MODES}
        failed = 0
        for mode in MODES:
            wrk.run([f"echo_{mode}"], BODY, CONNECTIONS, 1)
        for turn in range(rounds):
            # Whoever is measured first is not always the same.
            for mode in MODES[turn % 3 :] + MODES[: turn % 3]:
                run = wrk.run([f"echo_{mode}"], BODY, CONNECTIONS, SECONDS)
                failed += run.failed
                rates[mode].append(run.calls_per_second)
                status, answer = running.call(f"find_{mode}", finds=FINDS)
                if status != 200:
                    raise SystemExit(f"find_{mode}: {answer}")
                finds[mode].append(answer["us"])
    rows = [
        Row(part, f"`echo`, {mode}, {CONNECTIONS} connections", _rate(rates[mode]))
        for mode in MODES
    ]
    for mode, least in (("shared", 0.7), ("dedicated", 0.5)):
        ratio = _ratio(rates[mode], rates["inline"])
        what = f"`echo`, {mode}{' by 2 workers' if mode == 'shared' else ''}"
        rows.append(at_least(part, what, ratio, least, "of inline"))
    rows.append(none_of("calls that failed", part, failed))
    rows += [
        Row(part, f"`db.find_one`, {mode}, 1 connection", f"{median(finds[mode]):.0f} µs")
        for mode in MODES
    ]
    dearer = median(
        own - inline for own, inline in zip(finds["dedicated"], finds["inline"], strict=True)
    )
    what = "`db.find_one`, dedicated"
    return [*rows, at_most(part, what, dearer, 60, "µs over inline"), memory]


def _two(binary: Path, rounds: int) -> list[Row]:
    """Two workers of one gateway beside two gateways that know nothing of each other."""
    part = "price"
    one = Plugin("echo", ECHO, "shared")
    alone = Plugin("echo", ECHO, "inline")
    rates: dict[str, list[float]] = {"shared": [], "alone": []}
    failed = 0
    with (
        gateway(binary, [one], MOZAIKS_WORKERS="2") as both,
        gateway(binary, [alone]) as first,
        gateway(binary, [alone]) as second,
        ThreadPoolExecutor(2) as threads,
    ):
        for running in (both, first, second):
            running.until_called("echo")
        loads = {"shared": [Wrk(both)] * 2, "alone": [Wrk(first), Wrk(second)]}
        for turn in range(rounds):
            for name in ("shared", "alone") if turn % 2 else ("alone", "shared"):
                # As a listener that both had would share them out.
                runs = list(
                    threads.map(
                        lambda load: load.run(["echo"], BODY, CONNECTIONS // 2, SECONDS),
                        loads[name],
                    )
                )
                failed += sum(run.failed for run in runs)
                rates[name].append(sum(run.calls_per_second for run in runs))
    ratio = _ratio(rates["shared"], rates["alone"])
    return [
        Row(part, "`echo`, two gateways, half of the connections each", _rate(rates["alone"])),
        at_least(part, "`echo`, shared by 2 workers, same load", ratio, 0.9, "of two gateways"),
        none_of("calls of two gateways that failed", part, failed),
    ]


def _memory(running: Gateway) -> Row:
    """A worker's memory beside that of an interpreter which does nothing."""
    python = os.environ.get("MOZAIKS_PYTHON", sys.executable)
    empty = subprocess.Popen([python, "-c", "import time; time.sleep(9)"])
    time.sleep(1)
    alone, alone_mapped = share_mb(empty.pid), rss_mb(empty.pid)
    empty.kill()
    empty.wait()
    (pid,) = running.workers("echo_dedicated")
    own, mapped = share_mb(pid), rss_mb(pid)
    # Pages of the binary and of Python are there once, however many workers map them.
    shared = f"with what is shared {mapped:.1f} and {alone_mapped:.1f}"
    said = f"{own:.1f} MB beside {alone:.1f} MB; {shared}"
    what = "memory of a worker with `echo`"
    return at_most("price", what, own - alone, 20, "MB over an empty interpreter", said)


def _cores(binary: Path, rounds: int) -> list[Row]:
    """What a second worker brings plugins that compute."""
    part = "price"
    plugin = Plugin("loop", LOOP, "shared")
    with (
        gateway(binary, [plugin], MOZAIKS_WORKERS="1") as one,
        gateway(binary, [plugin], MOZAIKS_WORKERS="2") as two,
    ):
        for running in (one, two):
            running.until_called("loop")
        body = json.dumps({"turns": _turns()}).encode()
        loads = {1: Wrk(one), 2: Wrk(two)}
        rates: dict[int, list[float]] = {1: [], 2: []}
        failed = 0
        for turn in range(rounds):
            for workers in (1, 2) if turn % 2 else (2, 1):
                run = loads[workers].run(["loop"], body, 8, SECONDS)
                failed += run.failed
                rates[workers].append(run.calls_per_second)
    ratio = _ratio(rates[2], rates[1])
    return [
        Row(part, f"a loop of {LOOP_MS:g} ms, shared by 1 worker", _rate(rates[1])),
        Row(part, f"a loop of {LOOP_MS:g} ms, shared by 2 workers", _rate(rates[2])),
        at_least(part, "2 workers where plugins compute", ratio, 1.8, "of 1"),
        none_of("calls that failed where plugins compute", part, failed),
    ]


def _turns() -> int:
    """How many turns of the loop take about two milliseconds here."""
    turns = 10_000
    best = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        total = 0
        for number in range(turns):
            total += number * number
        best = min(best, time.perf_counter() - begin)
    return int(turns * LOOP_MS / 1000 / best)


def _rate(rates: list[float]) -> str:
    return f"{median(rates):,.0f} calls/s"


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Of each round, as machines drift; the median of them."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))
