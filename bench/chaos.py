"""Breaks what a gateway is made of while it works, and says what came of it: one table of promises.

Fails where one of them is broken. Needs the binaries; `price` and `slope` need `wrk` besides. See
`docs/reliability.md`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos_parts import contained, ending, kills, price, slope
from chaos_parts.rows import HEAD, Row

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """Something to break, and how often."""

    name: str
    # Takes the binary, the rounds, and how many times longer than promised something may take.
    run: Callable[[Path, int, float], list[Row]]
    rounds: int
    short: int


PARTS = [
    Part("workers", kills.workers, 200, 10),
    Part("gateway", kills.gateways, 100, 3),
    Part("store", kills.store, 50, 3),
    Part("contained", contained.contained, 3, 1),
    Part("sigterm", ending.sigterm, 20, 2),
    Part("price", price.price, 7, 1),
    Part("slope", slope.slope, 1_000_000, 100_000),
]
# What says something in a minute, on any build.
SHORT = ("workers", "gateway", "store", "contained", "sigterm")
# A machine that does something else as well, and a build without optimisation, are slower.
SHORT_SLACK = 20.0


def main() -> None:
    """Breaks what is asked for and prints the table."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--bin", type=Path, default=ROOT / "target/dist", help="where `mozaiks` is (target/dist)"
    )
    parser.add_argument(
        "--short", action="store_true", help="few rounds, about a minute, times not taken strictly"
    )
    parser.add_argument("--rounds", type=int, help="as many of each part; of `slope`, calls")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(names):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: {', '.join(names)}")
    binary = (options.bin / "mozaiks").resolve()
    wanted = options.parts or (SHORT if options.short else names)
    print(HEAD, flush=True)
    broken: list[Row] = []
    for part in PARTS:
        if part.name not in wanted:
            continue
        begin = time.monotonic()
        rounds = options.rounds or (part.short if options.short else part.rounds)
        rows = part.run(binary, rounds, SHORT_SLACK if options.short else 1)
        for row in rows:
            print(row.line(), flush=True)
        broken += [row for row in rows if row.held is False]
        print(f"{part.name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    for row in broken:
        print(f"broken: {row.part}: {row.what}: {row.measured}", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
