"""Two builds of the gateway under the same loads, in turn; fails where the newer one is worse by
more than the noise of the run. See README.md here."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from keys import Keys
from loads import LOADS
from run import gather_plugins, run_once
from servers import kinds

# What one call costs, and how many are served: the two figures that a regression shows in.
FIGURES = {"cpu_us_per_call": 1, "calls_per_second": -1}
# Below this a difference is not looked at, however quiet the machine.
LEAST_NOISE = 0.02
DEFAULT = ("echo, 32 connections", "echo, 1 connection", "plain def", "notes get")


def noise(values: list[float]) -> float:
    """How far apart runs of the same thing lie: the widest distance from the median without the
    farthest run, as a part of the median."""
    middle = median(values)
    distances = sorted(abs(value - middle) / middle for value in values)
    return distances[-2] if len(distances) > 2 else distances[-1]


def judge(base: list[dict[str, Any]], new: list[dict[str, Any]], key: str) -> tuple[float, float]:
    """How many times worse the newer build is (below 1: better), and how much is noise."""
    ratios = [n[key] / b[key] for b, n in zip(base, new, strict=True)]
    worse = median(ratios) ** FIGURES[key]
    spread = max(LEAST_NOISE, noise([row[key] for row in base]), noise([row[key] for row in new]))
    return worse, spread


def main() -> None:
    """Runs the rounds, prints a line a load and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="the older binary")
    parser.add_argument("--gateway", type=Path, required=True, help="the newer one")
    parser.add_argument("--docstore", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--load", action="append", help="a load's name; unset: some of each kind")
    arguments = parser.parse_args()
    names = arguments.load or DEFAULT
    loads = [load for load in LOADS if load.name in names]
    if len(loads) != len(set(names)):
        raise SystemExit(f"loads are: {', '.join(load.name for load in LOADS)}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        keys = Keys(folder)
        plugins = gather_plugins(folder)
        builds = {
            build: replace(kinds(binary, Path("none"), plugins)["gateway"], name=build)
            for build, binary in (("base", arguments.base), ("new", arguments.gateway))
        }
        for load in loads:
            tokens = keys.tokens(load.algorithm, load.users)
            rows: dict[str, list[dict[str, Any]]] = {"base": [], "new": []}
            for number in range(arguments.rounds):
                # Who is first changes, so that a machine that slows down favours neither.
                for build in ("base", "new") if number % 2 == 0 else ("new", "base"):
                    row = run_once(
                        builds[build],
                        load,
                        keys,
                        tokens,
                        folder,
                        arguments.seconds,
                        arguments.docstore,
                    )
                    if row["failed"]:
                        raise SystemExit(f"{load.name}: {build}: {row['failed']} calls failed")
                    rows[build].append(row)
            for key in FIGURES:
                worse, spread = judge(rows["base"], rows["new"], key)
                is_worse = worse > 1 + spread
                failed |= is_worse
                base, new = (median(row[key] for row in rows[build]) for build in ("base", "new"))
                print(
                    f"{load.name}: {key}: {base:,.1f} → {new:,.1f}, {worse:.3f} times the cost, "
                    f"noise {spread:.3f}: {'WORSE' if is_worse else 'ok'}",
                    flush=True,
                )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
