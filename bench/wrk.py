"""One run of wrk against a server, and what the server spent on it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from servers import HERE, Running


def measure(
    server: Running, connections: int, files: dict[str, str], seconds: int
) -> dict[str, Any]:
    """Posts what `files` names (see `lua/post.lua`) for so long; gives the figures."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(HERE / "lua/post.lua"), f"{server.kind.scheme}://127.0.0.1:{server.port}"]
    cpu = server.cpu_seconds()
    output = subprocess.run(
        command, env={**os.environ, **files}, capture_output=True, text=True, check=True
    ).stdout
    spent = server.cpu_seconds() - cpu
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    requests, micros, failed, p50, p99, _ = (float(part) for part in line.split()[1:])
    return {
        "calls": int(requests),
        "calls_per_second": requests / (micros / 1e6),
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
        "cpu_us_per_call": spent * 1e6 / max(requests, 1),
        "rss_mb": server.rss_mb(),
        "failed": int(failed),
        "start_to_first_answer_ms": server.start_to_first_answer_ms,
    }
