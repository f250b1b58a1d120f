"""Memory and descriptors over very many calls through workers."""

from __future__ import annotations

from pathlib import Path

from .price import BODY, ECHO
from .rows import Row, at_most, none_of
from .server import Gateway, Plugin, descriptors, gateway, rss_mb
from .wrk import Wrk

SLOPE_MB = 1.0
PER_CALLS = 100_000
CONNECTIONS = 32
PLUGINS = ("echo_shared", "echo_dedicated")
# Looks in all: few calls take seconds on a debug build, a million takes minutes.
LOOKS = 25
# Until caches and pools are filled nothing is counted.
WARM_UP = 0.2


def slope(binary: Path, calls: int, _: float) -> list[Row]:
    """Calls plugins very often and looks at the processes from time to time."""
    part = "slope"
    plugins = [
        Plugin(name, ECHO, name.removeprefix("echo_"), limits={"cpu": "400%"}) for name in PLUGINS
    ]
    with gateway(binary, plugins, MOZAIKS_WORKERS="2") as running:
        running.until_called(*PLUGINS)
        pids = _processes(running)
        wrk = Wrk(running)
        # How fast it is says how long to the next look.
        first = wrk.run(list(PLUGINS), BODY, CONNECTIONS, 1)
        seconds = max(1.0, round(calls / LOOKS / first.calls_per_second))
        done, failed = first.calls, first.failed
        looks: list[tuple[int, dict[str, tuple[float, int]]]] = []
        while done < calls * (1 + WARM_UP):
            run = wrk.run(list(PLUGINS), BODY, CONNECTIONS, seconds)
            done, failed = done + run.calls, failed + run.failed
            if done >= calls * WARM_UP:
                look = {name: (rss_mb(pid), descriptors(pid)) for name, pid in pids.items()}
                looks.append((done, look))
        others = _processes(running) != pids
    rows = [
        Row(part, "calls through workers", f"{done:,}"),
        none_of("calls that failed", part, failed),
        none_of("workers replaced meanwhile", part, int(others)),
    ]
    for name in pids:
        points = [(count, look[name][0]) for count, look in looks]
        grown = _slope(points) * PER_CALLS
        said = f"{grown:+.2f} MB, from {points[0][1]:.1f} to {points[-1][1]:.1f} MB"
        what = f"memory of {name} per {PER_CALLS:,} calls"
        rows.append(at_most(part, what, grown, SLOPE_MB, "MB", said))
        counts = [look[name][1] for _, look in looks]
        more = counts[-1] - counts[0]
        said = f"{counts[0]} to {counts[-1]}"
        rows.append(Row(part, f"descriptors of {name}", said, "none more", more <= 0))
    return rows


def _processes(running: Gateway) -> dict[str, int]:
    """The gateway and the workers by what they are."""
    shared, (own,) = (sorted(running.workers(plugin)) for plugin in PLUGINS)
    return {
        "the gateway": running.process.pid,
        **{f"shared worker {number}": pid for number, pid in enumerate(shared, 1)},
        "the dedicated worker": own,
    }


def _slope(points: list[tuple[int, float]]) -> float:
    """Of the line that lies closest to the points."""
    if len(points) < 2:
        raise SystemExit("too few looks to say anything of memory")
    middle = sum(x for x, _ in points) / len(points)
    level = sum(y for _, y in points) / len(points)
    over = sum((x - middle) * (y - level) for x, y in points)
    return over / sum((x - middle) ** 2 for x, _ in points)
