"""`kill -9` under load: of workers, of the gateway itself, of the embedded store's process."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from .rows import Row, at_least, at_most, none_of, spread
from .server import Gateway, Plugin, gateway, is_alive, until
from .writers import Call, Load, keeper_code

SHARED, DEDICATED = "keeper_shared", "keeper_dedicated"
ANSWER_MS = 1000
SUCCESS_MS = 500
STORE_MS = 1000
# A worker that has lived so long did not die of its start: the next one is made at once. Those
# after early deaths wait longer and longer, as they are meant to.
SETTLED_SECONDS = 10.5


def keepers() -> list[Plugin]:
    """Plugins that keep documents, in workers that are shared and in one of its own."""
    return [
        Plugin(SHARED, keeper_code(SHARED), "shared"),
        Plugin(DEDICATED, keeper_code(DEDICATED), "dedicated", limits={"cpu": "400%"}),
    ]


ENVIRONMENT = {"MOZAIKS_WORKERS": "2", "MOZAIKS_WORKER_CRASH_LIMIT": "0"}


def _others(part: str, what: str, calls: list[Call]) -> Row:
    """Calls that went as none may go."""
    kinds = Counter(f"{call.status} {call.code}" if call.status else "broken off" for call in calls)
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "0"
    return Row(part, what, said, "none", not calls)


class Places:
    """The workers, and which of them may be killed next."""

    def __init__(self, running: Gateway, patient: bool) -> None:
        """Of a gateway that serves; `patient` where no successor may have to wait."""
        self.running, self.patient = running, patient

    def all(self) -> dict[int, tuple[str, float]]:
        """Every worker with its plugin and the seconds that it has lived."""
        return {
            pid: (plugin, lived)
            for plugin in (SHARED, DEDICATED)
            for pid, lived in self.running.workers(plugin).items()
        }

    def victim(self) -> tuple[int, str]:
        """A random one, once there is one; all of them run then."""
        while True:
            every = self.all()
            ripe = [
                (pid, plugin)
                for pid, (plugin, lived) in every.items()
                if not self.patient or lived >= SETTLED_SECONDS
            ]
            if len(every) == 3 and ripe:
                return random.choice(ripe)
            time.sleep(0.1)

    def replaced(self, pid: int) -> None:
        """Waits for the one that takes a dead one's place."""

        def is_there() -> bool:
            return pid not in self.all() and len(self.all()) == 3

        until(is_there, f"the worker after {pid}")


def workers(binary: Path, rounds: int, slack: float) -> list[Row]:
    """Kills workers at random under load."""
    part = "workers"
    with gateway(binary, keepers(), **ENVIRONMENT) as running:
        running.until_called(SHARED, DEDICATED)
        places = Places(running, patient=slack == 1)
        load = Load(running, [SHARED, DEDICATED])
        load.start()
        kills: list[tuple[float, str]] = []
        for _ in range(rounds):
            pid, plugin = places.victim()
            time.sleep(random.uniform(0.5, 1.0))
            kills.append((time.monotonic(), plugin))
            os.kill(pid, signal.SIGKILL)
            places.replaced(pid)
        time.sleep(0.5)
        load.stop()
        written, missing = load.lost()
        crashed = [call for call in load.calls if call.code == "WORKER_CRASHED"]
        others = [
            call for call in load.calls if call.status != 200 and call.code != "WORKER_CRASHED"
        ]
        answered = [
            (call.end - max(at for at, _ in kills if at <= call.end)) * 1000 for call in crashed
        ]
        successes: dict[str, list[float]] = {SHARED: [], DEDICATED: []}
        for at, plugin in kills:
            after = [
                call.end
                for call in load.calls
                if call.plugin == plugin and call.status == 200 and call.begin >= at
            ]
            successes[plugin].append((min(after) - at) * 1000 if after else float("inf"))
        unacknowledged = load.kept() - written
        return [
            Row(part, "kills", f"{rounds} of 3 workers"),
            at_least(part, "writes acknowledged", written, 100 * rounds, "writes", str(written)),
            none_of("acknowledged writes lost", part, missing),
            _others(part, "answers but 200 and 502 `WORKER_CRASHED`", others),
            Row(
                part,
                "writes of calls that were answered 502",
                f"{unacknowledged} of {len(crashed)} there",
                "never more than calls",
                0 <= unacknowledged <= len(crashed),
            ),
            at_most(
                part,
                "from the kill to the 502 of a running call",
                max(answered, default=0),
                ANSWER_MS * slack,
                "ms",
                spread(answered),
            ),
            *(
                at_most(
                    part,
                    f"from the kill to the next success, {mode}",
                    max(successes[plugin], default=0),
                    SUCCESS_MS * slack,
                    "ms",
                    spread(successes[plugin]),
                )
                for mode, plugin in (("shared", SHARED), ("dedicated", DEDICATED))
            ),
        ]


def gateways(binary: Path, rounds: int, _: float) -> list[Row]:
    """Kills the gateway under load and starts it again on its files."""
    part = "gateway"
    listening, served = [], []
    orphans = 0
    with gateway(binary, keepers(), **ENVIRONMENT) as running:
        running.until_called(SHARED, DEDICATED)
        load = Load(running, [SHARED, DEDICATED])
        load.start()
        for _round in range(rounds):
            time.sleep(random.uniform(0.2, 1.0))
            workers = [*running.workers(SHARED), *running.workers(DEDICATED)]
            running.process.kill()
            running.process.wait()
            time.sleep(0.5)
            orphans += sum(is_alive(pid) for pid in workers)
            begin = time.monotonic()
            running.start_again()
            listening.append((time.monotonic() - begin) * 1000)
            running.until_called(SHARED, DEDICATED)
            served.append((time.monotonic() - begin) * 1000)
        load.stop()
        written, missing = load.lost()
        cut_off = sum(call.status == 0 for call in load.calls)
        others = [
            call
            for call in load.calls
            if call.status not in (0, 200, 503) and call.code != "WORKER_CRASHED"
        ]
        return [
            Row(part, "kills", f"{rounds}; {cut_off} calls cut off"),
            at_least(part, "writes acknowledged", written, 10 * rounds, "writes", str(written)),
            none_of("acknowledged writes lost", part, missing),
            _others(part, "answers but 200, 502 `WORKER_CRASHED` and 503", others),
            none_of("workers that outlive it by 0.5 s", part, orphans),
            Row(part, "from its start until it listens", spread(listening)),
            Row(part, "from its start until both plugins answer", spread(served)),
        ]


def store(binary: Path, rounds: int, slack: float) -> list[Row]:
    """Kills the process of the embedded store under load."""
    part = "store"
    with gateway(binary, keepers(), **ENVIRONMENT) as running:
        running.until_called(SHARED, DEDICATED)
        load = Load(running, [SHARED, DEDICATED])
        load.start()
        kills: list[float] = []
        for _round in range(rounds):
            # One that has lived so long is started again without a longer wait.
            time.sleep(SETTLED_SECONDS if slack == 1 else random.uniform(0.3, 1.0))
            pid = _store_of(running.process.pid)
            kills.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)

            def is_back(pid: int = pid) -> bool:
                return running.call(SHARED, count=True)[0] == 200 and not is_alive(pid)

            until(is_back, "the store")
        time.sleep(0.5)
        load.stop()
        written, missing = load.lost()
        others = [
            call
            for call in load.calls
            if call.status != 200 and (call.status, call.code) != (503, "DATABASE_UNAVAILABLE")
        ]
        good = [(call.begin, call.end) for call in load.calls if call.status == 200]
        back = [min(end - at for begin, end in good if begin >= at) * 1000 for at in kills]
        return [
            Row(part, "kills", str(rounds)),
            at_least(part, "writes acknowledged", written, 10 * rounds, "writes", str(written)),
            none_of("acknowledged writes lost", part, missing),
            _others(part, "answers but 200 and 503 `DATABASE_UNAVAILABLE`", others),
            at_most(
                part,
                "from the kill to the next success",
                max(back, default=0),
                STORE_MS * slack,
                "ms",
                spread(back),
            ),
        ]


def _store_of(gateway_pid: int) -> int:
    """The store's process: the gateway's child that was started as one."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if int(parent) == gateway_pid and b"store" in words:
                return int(folder.name)
    raise SystemExit("the embedded store has no process of its own")
