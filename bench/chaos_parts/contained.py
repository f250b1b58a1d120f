"""What a plugin in a process of its own does that none should, while its neighbours are called."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .rows import Row, at_most, none_of
from .server import Gateway, Plugin, forget_peak, gateway, peak_mb, rss_mb

GROWTH_MB = 10
# For a moment the largest that a worker may write lies in it.
PEAK_MB = 100
WARM_UP_CALLS = 2000
# More than `worker_kill_grace_seconds`.
AFTER_DEADLINE_SECONDS = 1.0

BREAKER = """
import asyncio, ctypes, os, re, select, socket, stat, struct

KEPT = []

async def execute(data):
    if not data.get("caught"):
        return await do(data)
    try:
        return await do(data)
    except Exception as error:
        return {"refused": type(error).__name__}

async def do(data):
    action = data.get("action")
    if action == "spin":
        while True:
            pass
    if action == "regex":
        re.match(r"(a+)+$", "a" * 64 + "b")
    if action == "fork":
        os.fork()
    if action == "exec":
        os.execv("/bin/true", ["true"])
    if action == "memory":
        KEPT.append(bytearray(1 << 30))
    if action == "eat":
        while True:
            KEPT.append(bytearray(8 << 20))
            await asyncio.sleep(0)
    if action == "exit":
        os._exit(3)
    if action == "null":
        ctypes.string_at(0)
    if action == "fill":
        with open("big", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    if action == "outside":
        open("/tmp/mozaiks-outside", "w").write("x")
    if action == "sockets":
        for _ in range(1000):
            KEPT.append(socket.socket())
    if action == "unix":
        socket.socket(socket.AF_UNIX)
    if action == "connect":
        await asyncio.open_connection("127.0.0.1", 9)
    if action == "passwd":
        open("/etc/passwd").read()
    if action == "environment":
        open(f"/proc/{os.getppid()}/environ", "rb").read()
    if action == "heap":
        open(f"/proc/{os.getppid()}/mem", "rb").read(1)
    if action == "own_secrets":
        found = [name for name in os.environ if "MOZAIKS" in name or "SECRET" in name]
        return {"found": found}
    if action == "signal":
        os.kill(os.getppid(), 15)
    if action == "signal_all":
        os.kill(-1, 0)
    # What these set is what is there: where they are let through they do no harm.
    if action == "priority":
        os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))
    if action == "scheduler":
        os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0))
    if action == "pin":
        os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))
    if action == "chmod":
        os.chmod(data["outside"], 0o644)
    if action == "touch":
        os.utime(data["outside"])
    if action == "memory_files":
        for number in range(60):
            KEPT.append(os.memfd_create(f"kept{number}"))
            for _ in range(7):
                os.write(KEPT[-1], bytes(1 << 20))
        await asyncio.sleep(1)
    if action == "flood":
        # The first of its sockets; those after it are the interpreter's own.
        link = next(number for number in range(64) if is_link(number))
        pieces = [struct.pack("<I", 1100 << 20), *[bytes(1 << 20)] * 300]
        for piece in map(memoryview, pieces):
            while piece:
                select.select([], [link], [])
                try:
                    piece = piece[os.write(link, piece):]
                except BlockingIOError:
                    pass
        await asyncio.sleep(60)
    return {"did": action}

def is_link(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False
"""

BLOCKER = """
import time

def execute(data):
    if data.get("action") == "sleep":
        time.sleep(999)
    if data.get("action") == "spin":
        while True:
            pass
    return {}
"""

ECHO = """
async def execute(data):
    return {}
"""

CRASHED, TIMEOUT, RAISED = (502, "WORKER_CRASHED"), (504, "PLUGIN_TIMEOUT"), (500, "PLUGIN_ERROR")

REFUSALS = ("PermissionError", "MemoryError", "OSError")

# What is done, how it is called here, and what comes of it.
DEEDS: list[tuple[str, str, str, tuple[int, str]]] = [
    ("breaker", "spin", "`while True` on its event loop", TIMEOUT),
    ("breaker", "regex", "a backtracking regular expression", TIMEOUT),
    ("blocker", "sleep", "`time.sleep(999)` in a plain function", TIMEOUT),
    ("blocker", "spin", "`while True` in a plain function", TIMEOUT),
    ("breaker", "fork", "`os.fork`", RAISED),
    ("breaker", "exec", "`os.execv`", RAISED),
    ("breaker", "memory", "allocates 1 GiB at once", RAISED),
    ("eater", "memory_files", "keeps 420 MB in files that are memory", RAISED),
    ("eater", "eat", "allocates until it ends", CRASHED),
    ("eater", "flood", "writes nonsense without end to its link", CRASHED),
    ("breaker", "exit", "`os._exit`", CRASHED),
    ("breaker", "null", "reads null through ctypes", CRASHED),
    ("breaker", "fill", "writes a file without end", RAISED),
    ("breaker", "outside", "writes into `/tmp`", RAISED),
    ("breaker", "sockets", "opens 1,000 sockets", RAISED),
    ("breaker", "unix", "opens a Unix socket", RAISED),
    ("breaker", "connect", "connects to a port of this machine", RAISED),
    ("breaker", "passwd", "reads `/etc/passwd`", RAISED),
    ("breaker", "environment", "reads the gateway's environment", RAISED),
    ("breaker", "heap", "reads the gateway's memory", RAISED),
    ("breaker", "own_secrets", "looks for secrets in its own environment", (200, "")),
    ("breaker", "signal", "sends the gateway SIGTERM", RAISED),
    ("breaker", "signal_all", "sends everybody a signal", RAISED),
    ("breaker", "priority", "sets the gateway's priority", RAISED),
    ("breaker", "scheduler", "sets the gateway's scheduling", RAISED),
    ("breaker", "pin", "sets the processors of the gateway", RAISED),
    ("breaker", "chmod", "changes the mode of a file of the gateway's", RAISED),
    ("breaker", "touch", "changes the times of a file of the gateway's", RAISED),
]

NEIGHBOURS = ("inline", "shared", "dedicated")
LIMITS = {"memory": "200MB", "cpu": "200%", "storage": "8MB"}


@dataclass
class Neighbour:
    """Calls another plugin all the while."""

    gateway: Gateway
    plugin: str
    over: threading.Event
    slowest_ms: float = 0
    calls: int = 0
    failed: int = 0
    _thread: threading.Thread | None = field(default=None)

    def start(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Ends, once it is over."""
        if self._thread:
            self._thread.join()

    def _call(self) -> None:
        token = self.gateway.token(self.plugin)
        path = f"/api/execute/{self.plugin}"
        connection = self.gateway.connection()
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                status, _ = self.gateway.ask("POST", path, None, token, connection)
            except OSError:
                connection.close()
                connection, status = self.gateway.connection(), 0
            self.slowest_ms = max(self.slowest_ms, (time.monotonic() - begin) * 1000)
            self.calls += 1
            self.failed += status != 200
            time.sleep(0.005)


def contained(binary: Path, rounds: int, _: float) -> list[Row]:
    """Does each deed, several times round; neighbours are called all the while."""
    part = "contained"
    breakers = [
        Plugin("eater", BREAKER, "dedicated", timeout_seconds=20, limits=LIMITS),
        Plugin("breaker", BREAKER, "dedicated", timeout_seconds=1, limits=LIMITS),
        Plugin("blocker", BLOCKER, "dedicated", timeout_seconds=1, limits=LIMITS),
    ]
    others = [Plugin(f"near_{mode}", ECHO, mode) for mode in NEIGHBOURS]
    environment = {"MOZAIKS_WORKERS": "1", "MOZAIKS_WORKER_CRASH_LIMIT": "0"}
    with gateway(binary, breakers + others, **environment) as running:
        running.until_called(*(plugin.name for plugin in breakers + others))
        over = threading.Event()
        neighbours = [Neighbour(running, plugin.name, over) for plugin in others]
        connection = running.connection()
        for number in range(WARM_UP_CALLS):
            path = f"/api/execute/{others[number % len(others)].name}"
            running.ask("POST", path, connection=connection)
        outside = running.folder / "outside"
        outside.write_text("the gateway's\n")
        before = rss_mb(running.process.pid)
        forget_peak(running.process.pid)
        for neighbour in neighbours:
            neighbour.start()
        seen: dict[str, list[tuple[int, str, float]]] = {}
        for _ in range(rounds):
            for plugin, action, what, _wanted in DEEDS:
                begin = time.monotonic()
                status, answer = running.call(plugin, action=action, outside=str(outside))
                took = (time.monotonic() - begin) * 1000
                code = answer.get("error_code", "")
                if answer.get("found"):
                    code = f"found {answer['found']}"
                if code == RAISED[1]:
                    # That it was refused, and not done wrongly.
                    _, answer = running.call(
                        plugin, action=action, outside=str(outside), caught=True
                    )
                    refused = answer.get("refused") or answer.get("error_code") or "it was let"
                    code += "" if refused in REFUSALS else f", but {refused}"
                seen.setdefault(what, []).append((status, code, took))
                if status == 504:
                    # What goes on takes its process with it, and whatever runs beside it.
                    time.sleep(AFTER_DEADLINE_SECONDS)
                # It serves again, whatever it has done.
                running.until_called(plugin)
        time.sleep(1)
        after, peak = rss_mb(running.process.pid), peak_mb(running.process.pid)
        over.set()
        for neighbour in neighbours:
            neighbour.join()
        rows = [_row(part, what, seen[what], wanted) for _, _, what, wanted in DEEDS]
        for neighbour in neighbours:
            said = f"{neighbour.calls} calls, {neighbour.failed} failed"
            rows.append(
                Row(
                    part,
                    f"`{neighbour.plugin.removeprefix('near_')}` neighbour meanwhile",
                    f"{said}, slowest {neighbour.slowest_ms:.0f} ms",
                    "none fails",
                    neighbour.failed == 0 and neighbour.calls > 0,
                )
            )
        alive = running.process.poll() is None
        rows.append(none_of("ends of the gateway", part, 0 if alive else 1))
        said = f"{before:.1f} to {after:.1f} MB"
        what = "the gateway's memory, over all"
        rows.append(at_most(part, what, after - before, GROWTH_MB, "MB more", said))
        what = "the gateway's memory at its peak"
        rows.append(at_most(part, what, peak - before, PEAK_MB, "MB more", f"{peak:.1f} MB"))
        return rows


def _row(
    part: str, what: str, answers: list[tuple[int, str, float]], wanted: tuple[int, str]
) -> Row:
    kinds = sorted({f"{status} {_code(code)}".strip() for status, code, _ in answers})
    slowest = max(took for _, _, took in answers)
    said = f"{' and '.join(kinds)}, within {slowest:.0f} ms"
    promised = f"{wanted[0]} {_code(wanted[1])}".strip()
    return Row(part, what, said, promised, all(each[:2] == wanted for each in answers))


def _code(code: str) -> str:
    return f"`{code}`" if code else ""
