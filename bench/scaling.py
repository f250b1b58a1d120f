"""What more cores would give, from what each part of a call costs here.

Measures the time on a processor that each kind of thread takes for one call of `echo`, `inline` and
in two `shared` workers, and lets calls of many clients pass through as many such threads as a
larger machine would have: every core takes one thread, and the clients are elsewhere. It knows
nothing of memory, caches and the network, which only take away. See `docs/performance.md`.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import simpy
from chaos_parts.price import BODY, CONNECTIONS, ECHO
from chaos_parts.server import Gateway, Plugin, gateway
from chaos_parts.wrk import Wrk

ROOT = Path(__file__).resolve().parent.parent
CORES = (2, 4, 8, 16, 32, 64)
# Clients that wait for their answers, for each core.
CLIENTS = 32
CALLS = 40_000
SEED = 1


@dataclass(frozen=True)
class Costs:
    """Microseconds on a processor of one call."""

    # The gateway's threads that serve connections and links, and its Python thread.
    io: float
    python: float
    # The same of a worker; 0 where there is none.
    worker_io: float = 0.0
    worker_python: float = 0.0


def thread_seconds(pid: int) -> dict[str, float]:
    """The time on a processor that a process's threads have had, by their names."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        taken = int((task / "schedstat").read_text().split()[0]) / 1e9
        found[name] = found.get(name, 0.0) + taken
    return found


def _grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: taken - before.get(name, 0.0) for name, taken in after.items()}


def costs_of(running: Gateway, plugin: str, seconds: float, rounds: int) -> Costs:
    """Calls a plugin for some rounds; the median of what one call costs."""
    running.until_called(plugin)
    wrk = Wrk(running)
    wrk.run([plugin], BODY, CONNECTIONS, 1)
    pids = [running.process.pid, *running.workers(plugin)]
    seen: list[Costs] = []
    for _ in range(rounds):
        before = [thread_seconds(pid) for pid in pids]
        calls = wrk.run([plugin], BODY, CONNECTIONS, seconds).calls
        after = [thread_seconds(pid) for pid in pids]
        own, *workers = [_grown(*pair) for pair in zip(before, after, strict=True)]

        def each(threads: list[dict[str, float]], is_python: bool, calls: int = calls) -> float:
            taken = sum(
                seconds
                for each in threads
                for name, seconds in each.items()
                if (name == "mozaiks-python") is is_python
            )
            return taken / calls * 1e6

        seen.append(
            Costs(each([own], False), each([own], True), each(workers, False), each(workers, True))
        )
    return Costs(
        *(
            median(getattr(one, name) for one in seen)
            for name in ("io", "python", "worker_io", "worker_python")
        )
    )


@dataclass(frozen=True)
class Layout:
    """How a machine's cores are given to threads."""

    io: int
    workers: int


def layouts(cores: int, costs: Costs) -> list[Layout]:
    """Every way to give each core a thread that has work; a worker has two."""
    if not costs.worker_python:
        return [Layout(max(cores - 1, 1), 0)]
    return [
        Layout(io, (cores - io) // 2) for io in range(1, cores - 1) if (cores - io) % 2 == 0
    ] or [Layout(1, 1)]


def simulate(costs: Costs, layout: Layout, cores: int, serial: float) -> tuple[float, str]:
    """Lets clients call.

    Args:
        costs: Of one call, in microseconds.
        layout: Threads.
        cores: What they share.
        serial: Of `io`, the microseconds in which one thread at a time may be.

    Returns:
        Calls a second, and the part that was busy longest with how much of the time.
    """
    chance = random.Random(SEED)
    env = simpy.Environment()
    machine = simpy.Resource(env, cores)
    parts = {"I/O threads": simpy.Resource(env, layout.io)}
    if serial:
        parts["what one thread does at a time"] = simpy.Resource(env, 1)
    if layout.workers:
        for at in range(layout.workers):
            parts[f"link {at}"] = simpy.Resource(env, 1)
            parts[f"worker {at}"] = simpy.Resource(env, 1)
    else:
        parts["the Python thread"] = simpy.Resource(env, 1)
    busy = dict.fromkeys(parts, 0.0)
    done = 0

    def use(name: str, micros: float) -> simpy.events.ProcessGenerator:
        with parts[name].request() as mine:
            yield mine
            with machine.request() as core:
                yield core
                taken = chance.expovariate(1 / micros)
                busy[name] += taken
                yield env.timeout(taken)

    def client() -> simpy.events.ProcessGenerator:
        nonlocal done
        while True:
            yield from use("I/O threads", (costs.io - serial) / 2)
            if serial:
                yield from use("what one thread does at a time", serial)
            if layout.workers:
                at = min(
                    range(layout.workers),
                    key=lambda at: (
                        parts[f"link {at}"].count
                        + len(parts[f"link {at}"].queue)
                        + parts[f"worker {at}"].count
                        + len(parts[f"worker {at}"].queue)
                    ),
                )
                yield from use(f"link {at}", costs.worker_io / 2)
                yield from use(f"worker {at}", costs.worker_python)
                yield from use(f"link {at}", costs.worker_io / 2)
            else:
                yield from use("the Python thread", costs.python)
            yield from use("I/O threads", (costs.io - serial) / 2)
            done += 1
            if done >= CALLS:
                over.succeed()
                return

    over = env.event()
    for _ in range(CLIENTS * cores):
        env.process(client())
    env.run(until=over)
    shares: dict[str, list[float]] = {}
    for name, taken in busy.items():
        share = taken / env.now / parts[name].capacity
        shares.setdefault(name.rstrip(" 0123456789"), []).append(share)
    named = {"link": "workers' links", "worker": "workers' Python"}
    name, share = max(
        ((name, sum(all_) / len(all_)) for name, all_ in shares.items()), key=lambda pair: pair[1]
    )
    return done / env.now * 1e6, f"{named.get(name, name)} ({share:.0%})"


def best(costs: Costs, cores: int, serial: float) -> tuple[float, str, Layout]:
    """The layout that serves most, by simulation of the few that are best on paper."""

    def bound(layout: Layout) -> float:
        at_most = [layout.io / costs.io]
        if layout.workers:
            at_most.append(layout.workers / max(costs.worker_io, costs.worker_python))
        return min(at_most)

    promising = sorted(layouts(cores, costs), key=bound, reverse=True)[:2]
    return max(
        ((*simulate(costs, layout, cores, serial), layout) for layout in promising),
        key=lambda found: found[0],
    )


def main() -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", type=Path, default=ROOT / "target/dist/mozaiks")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    binary = options.gateway.resolve()
    found = {}
    for mode in ("inline", "shared"):
        with gateway(binary, [Plugin("echo", ECHO, mode)], MOZAIKS_WORKERS="2") as running:
            found[mode] = costs_of(running, "echo", options.seconds, options.rounds)
    print("| µs on a processor for a call | gateway | its Python | worker's link | its Python |")
    print("|---|---|---|---|---|")
    for mode, costs in found.items():
        cells = (costs.io, costs.python, costs.worker_io, costs.worker_python)
        print(f"| `{mode}` | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    # All that a gateway does more for a worker is at worst done by one thread at a time.
    serial = max(found["shared"].io - found["inline"].io, 0.0)
    print()
    print("| cores | mode | I/O threads | workers | calls/s | busiest | at worst | busiest then |")
    print("|---|---|---|---|---|---|---|---|")
    begin = time.monotonic()
    for mode, costs in found.items():
        for cores in CORES:
            rate, busiest, layout = best(costs, cores, 0.0)
            worst, then = rate, busiest
            if mode == "shared" and serial:
                worst, then, _ = best(costs, cores, serial)
            print(
                f"| {cores} | `{mode}` | {layout.io} | {layout.workers or ''} | {rate:,.0f} | "
                f"{busiest} | {worst:,.0f} | {then} |"
            )
    print(
        f"\nsimulated in {time.monotonic() - begin:.0f} s; at worst: {serial:.1f} µs of the",
        end=" ",
    )
    print("gateway's part of a call are done by one thread at a time")


if __name__ == "__main__":
    main()
