"""Runs of wrk, with the same script as the other benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .server import Gateway

SCRIPT = Path(__file__).resolve().parent.parent / "lua/post.lua"
USERS = 16


@dataclass(frozen=True)
class Run:
    """What came of one."""

    calls: int
    calls_per_second: float
    p99_ms: float
    failed: int


class Wrk:
    """A load generator for one gateway."""

    def __init__(self, running: Gateway) -> None:
        """Makes tokens of some users."""
        if not shutil.which("wrk"):
            raise SystemExit("price and slope need wrk: apt-get install wrk")
        self.running = running
        self.tokens = running.folder / "tokens"
        tokens = [running.token(f"user{number}") for number in range(USERS)]
        self.tokens.write_text("\n".join(tokens))

    def run(self, plugins: list[str], body: bytes, connections: int, seconds: float) -> Run:
        """Calls plugins in turn for so long."""
        said = self.running.folder / "body"
        said.write_bytes(body)
        environment = {
            **os.environ,
            "BENCH_BODY": str(said),
            "BENCH_TOKENS": str(self.tokens),
            "BENCH_PATHS": ",".join(f"/api/execute/{plugin}" for plugin in plugins),
        }
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
        command += ["-s", str(SCRIPT), f"http://127.0.0.1:{self.running.port}"]
        output = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout
        line = next(line for line in output.splitlines() if line.startswith("RESULT "))
        calls, micros, failed, _, p99, _ = (float(part) for part in line.split()[1:])
        return Run(int(calls), calls / (micros / 1e6), p99 / 1000, int(failed))
