"""What an idle WebSocket costs the gateway: opens many, reads the process's resident memory.

    python bench/realtime/idle_memory.py --binary target/release/mozaiks --sockets 10000

Kernel memory of the sockets is not in it. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from common import gateway, open_socket, token


def resident_bytes(pid: int) -> int:
    """The process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def main() -> None:
    """Measures and prints."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--sockets", type=int, default=2000)
    arguments.add_argument("--per-user", type=int, default=10)
    options = arguments.parse_args()
    settings = {
        "max_connections": options.sockets + 100,
        "ws_max_connections_per_user": options.per_user,
    }
    with gateway(options.binary, **settings) as running:
        place = (running.host, running.port)
        warm = [open_socket(*place, token("warm")) for _ in range(10)]
        before = resident_bytes(running.pid)
        began = time.perf_counter()
        opened = [
            open_socket(*place, token(f"user{number // options.per_user}"))
            for number in range(options.sockets)
        ]
        seconds = time.perf_counter() - began
        grown = resident_bytes(running.pid) - before
        result = {
            "sockets": len(opened),
            "bytes_each": grown // len(opened),
            "opened_per_second": round(len(opened) / seconds),
        }
        print(json.dumps(result))
        for connection in warm + opened:
            connection.close()


if __name__ == "__main__":
    main()
