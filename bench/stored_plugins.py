"""What plugins cost that are stored in the database.

Needs nothing but Python's own library and the binaries; see `make bench-life`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from plugin_life import ROOT, Gateway, call_all_the_time, gateway, until, write

CALLS = 3000
WARM_CALLS = 500
USED = 10

TRIVIAL = "async def execute(data):\n    return {}\n"
HANDLER = "async def handler(request):\n    return {}\n"
CALLER = """\
import time
from core.hooks import hooks


async def on_load(ctx):
    global context
    context = ctx
    await ctx.set_storage("k", 1)


async def execute(data):
    took = {}
    for what, one in (
        ("filter", lambda: hooks.apply("price.of", 100)),
        ("host_call", lambda: context.get_storage("k")),
    ):
        began = time.perf_counter()
        for _ in range(data["times"]):
            await one()
        took[what] = (time.perf_counter() - began) / data["times"] * 1e6
    return took
"""
FILTER = """\
from core.hooks import on_hook


@on_hook("price.of")
async def price(value):
    return value - 10


def execute(data):
    return {}
"""
ROUTED = "def on_load(ctx):\n    ctx.register_route('GET', '/it', handler)\n\n\n" + HANDLER


def store(running: Gateway, name: str, files: dict[str, str]) -> None:
    """Stores a plugin and lets it serve."""
    contents = [{"name": path, "content": content} for path, content in files.items()]
    status, answer = running.ask("PUT", f"/api/plugins/registry/{name}/tree", {"files": contents})
    if status not in (200, 201):
        raise SystemExit(f"{name} was not stored: {answer}")
    status, answer = running.ask("POST", f"/api/plugins/registry/{name}/activate")
    if status != 200:
        raise SystemExit(f"{name} was not activated: {answer}")


def workers_of(running: Gateway) -> list[int]:
    """The processes of plugins."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == running.process.pid and b"worker" in words:
            found.append(int(entry.name))
    return found


def memory_mb(pids: list[int]) -> float:
    """What processes have resident, with what they share divided among them."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return round(total / 1024, 1)


def many(binary: Path, folder: Path, count: int) -> dict[str, Any]:
    """A gateway with many stored plugins is started anew, and ten of them are called."""
    plugins, data = folder / "none", folder / "data-of-many"
    plugins.mkdir()
    with gateway(binary, folder, plugins, data=data, MOZAIKS_DATABASE_PLUGINS="true") as running:
        begin = time.monotonic()
        for number in range(count):
            store(running, f"stored{number}", {"logic.py": TRIVIAL})
        stored_ms = (time.monotonic() - begin) * 1000 / count
    with gateway(binary, folder, plugins, data=data, MOZAIKS_DATABASE_PLUGINS="true") as running:
        path = f"/api/execute/stored{count - 1}"
        begin = time.monotonic()
        until(lambda: running.ask("POST", path)[0] == 200, "the first answer")
        first_ms = running.start_ms + (time.monotonic() - begin) * 1000
        firsts = []
        for number in range(USED - 1):
            begin = time.monotonic()
            status, answer = running.ask("POST", f"/api/execute/stored{number}")
            if status != 200:
                raise SystemExit(f"stored{number}: {answer}")
            firsts.append((time.monotonic() - begin) * 1000)
        workers = workers_of(running)
        return {
            "plugins": count,
            "stored_and_activated_ms_each": round(stored_ms, 1),
            "start_to_first_answer_ms": round(first_ms),
            "first_call_ms_median": round(median(firsts), 1),
            "used": USED,
            # One stands ready for the next.
            "workers_and_spare": len(workers),
            "memory_mb": memory_mb([running.process.pid, *workers]),
        }


def saves(binary: Path, folder: Path, count: int) -> dict[str, Any]:
    """Saves of a stored plugin while it is called on 16 connections."""
    plugins = folder / "none-saved"
    plugins.mkdir()
    with gateway(binary, folder, plugins, MOZAIKS_DATABASE_PLUGINS="true") as running:
        store(running, "saved", {"logic.py": TRIVIAL})
        over = threading.Event()
        ended = call_all_the_time(running, "saved", over)
        took = []
        revision = 1
        for number in range(count):
            text = f"async def execute(data):\n    return {{'version': {number}}}\n"
            file = {"path": "logic.py", "content": text, "revision": revision}
            begin = time.monotonic()
            status, answer = running.ask("PUT", "/api/plugins/registry/saved/files", file)
            if status != 200:
                raise SystemExit(f"save {number}: {answer}")
            revision = answer["revision"]
            until(
                lambda number=number: (
                    running.ask("POST", "/api/execute/saved")[1] == {"version": number}
                ),
                "the saved answer",
            )
            took.append((time.monotonic() - begin) * 1000)
        return {
            "saves": count,
            "until_it_answers_ms_median": round(median(took)),
            "until_it_answers_ms_max": round(max(took)),
            **ended(),
        }


def controllers(binary: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """A stored controller beside a route of a directory's, each in a worker, in turns."""
    plugins = folder / "routed"
    write(plugins / "routed/logic.py", ROUTED)
    write(plugins / "routed/plugin.json", '{"name": "routed", "isolation": "dedicated"}')
    with gateway(binary, folder, plugins, MOZAIKS_DATABASE_PLUGINS="true") as running:
        manifest = {
            "name": "controlled",
            "controllers": {"it.py": {"method": "GET", "path": "/it", "rate_limit": None}},
        }
        files = {"plugin.json": json.dumps(manifest), "controllers/it.py": HANDLER}
        store(running, "controlled", files)
        ratios, medians = [], {}
        connection = running.connection()
        for _ in range(rounds):
            for name in ("routed", "controlled"):
                calls = []
                for _ in range(CALLS):
                    start = time.perf_counter()
                    status, answer = running.ask(
                        "GET", f"/api/plugins/{name}/it", connection=connection
                    )
                    calls.append((time.perf_counter() - start) * 1e6)
                    if status != 200:
                        raise SystemExit(f"{name}: {answer}")
                medians[name] = median(calls[WARM_CALLS:])
            ratios.append(medians["controlled"] / medians["routed"])
        return {
            "route_us_median": round(medians["routed"], 1),
            "controller_us_median": round(medians["controlled"], 1),
            "ratio_median": round(median(ratios), 3),
            "rounds": rounds,
        }


def filters(binary: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """A filter through one plugin beside a host call, in turns."""
    plugins = folder / "filters"
    write(plugins / "caller/logic.py", CALLER)
    write(plugins / "price/logic.py", FILTER)
    with gateway(binary, folder, plugins) as running:
        told = []
        for _ in range(rounds + 1):
            status, answer = running.ask("POST", "/api/execute/caller", {"times": 500})
            if status != 200:
                raise SystemExit(f"caller: {answer}")
            told.append(answer)
        # The first round warms up.
        told = told[1:]
        return {
            "filter_us_median": round(median(each["filter"] for each in told), 1),
            "host_call_us_median": round(median(each["host_call"] for each in told), 1),
            "ratio_median": round(median(each["filter"] / each["host_call"] for each in told), 3),
            "rounds": rounds,
        }


def main() -> None:
    """Measures what is asked for and prints one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/dist")
    parser.add_argument("--plugins", type=int, default=1000)
    parser.add_argument("--saves", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("only", nargs="*", help="many, saves, controllers, filters; all where none")
    options = parser.parse_args()
    binary = options.bin / "mozaiks"
    wanted = options.only or ["many", "saves", "controllers", "filters"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "many" in wanted:
            print(json.dumps({"many": many(binary, folder, options.plugins)}), flush=True)
        if "saves" in wanted:
            print(json.dumps({"saves": saves(binary, folder, options.saves)}), flush=True)
        if "controllers" in wanted:
            found = controllers(binary, folder, options.rounds)
            print(json.dumps({"controllers": found}), flush=True)
        if "filters" in wanted:
            print(json.dumps({"filters": filters(binary, folder, options.rounds)}), flush=True)


if __name__ == "__main__":
    main()
