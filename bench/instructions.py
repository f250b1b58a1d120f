"""Instructions of one call, counted by callgrind: what does not vary with the machine.

The gateway of the tests' build runs under callgrind and is called by one client, so that each call
takes the same way; what a start takes is counted apart and left out. The counts in
instructions.json are those of one compiler and one Python: with others there is nothing to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loads import LARGE, SMALL

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEPT = HERE / "instructions.json"
# Calls of the shorter run, and how many more the longer one makes.
BEFORE, COUNTED = 200, 1000
# callgrind is fifty times slower than the processor.
START_LIMIT_SECONDS = 120
# Threads meet in another order each time, and what a gateway does now and then is done more often
# where the machine is slow: up to 5 % were seen between two runs.
TOLERANCE = 0.1
SECRET = "instructions-are-counted-with-this-one"

# What is called, with what, and how much of `COUNTED`.
LOADS = {
    "echo": ("echo", SMALL, 1.0),
    "echo, 100 KB": ("echo", LARGE.encode(), 0.1),
    "plain def": ("plain", SMALL, 1.0),
    "run_in_executor": ("executor", SMALL, 1.0),
}


def tools() -> dict[str, str]:
    """What the counts depend on beside the code."""
    rustc = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
    return {"rustc": rustc, "python": platform.python_version(), "machine": platform.machine()}


@contextlib.contextmanager
def database(docstore: Path, folder: Path) -> Iterator[str]:
    """A database on the loopback, which is not counted."""
    command = [
        docstore,
        "--listen",
        "127.0.0.1:0",
        "--log",
        "error",
        "--path",
        folder / "documents",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as own:
        try:
            assert own.stdout is not None
            address = own.stdout.readline().removeprefix("listening on ").strip()
            yield f"mongodb://{address}/?directConnection=true"
        finally:
            own.terminate()


def instructions(gateway: Path, folder: Path, uri: str, load: str, calls: int) -> int:
    """Those of a gateway that starts, answers so many calls, and stops."""
    plugin, body, _ = LOADS[load]
    others = {name: of for name, of in os.environ.items() if not name.startswith("MOZAIKS_")}
    environment = others | {
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "MOZAIKS_JWT_SECRET": SECRET,
        "MOZAIKS_DATABASE_URI": uri,
        "PYTHONHASHSEED": "0",
    }
    token = subprocess.check_output(
        [gateway, "token", "--user", "ann"], env=environment, text=True
    ).strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", gateway, "serve"]
    command += ["--listen", "127.0.0.1:0", "--plugins", folder / "plugins"]
    command += ["--data-dir", folder / "data"]
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as server,
    ):
        assert server.stdout is not None
        is_said, _, _ = select.select([server.stdout], [], [], START_LIMIT_SECONDS)
        line = server.stdout.readline().strip() if is_said else ""
        if not line:
            server.kill()
            raise SystemExit(f"the gateway does not start:\n{log.read_text()[-2000:]}")
        client = http.client.HTTPConnection("127.0.0.1", int(line.rpartition(":")[2]), timeout=60)
        for _ in range(calls):
            client.request("POST", f"/api/execute/{plugin}", body, headers)
            answer = client.getresponse()
            if answer.read() and answer.status != 200:
                raise SystemExit(f"{load}: status {answer.status}")
        client.close()
        server.send_signal(signal.SIGTERM)
        if server.wait(60) != 0:
            raise SystemExit(f"the gateway ended with {server.returncode}")
    found = re.findall(r"Collected : (\d+)", log.read_text())
    return int(found[-1])


def count(gateway: Path, docstore: Path) -> dict[str, int]:
    """Instructions of a call, by load."""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        folder = Path(name)
        for plugin in {plugin for plugin, _, _ in LOADS.values()}:
            for source in (ROOT / "runtime/ai/plugins" / plugin, HERE / "plugins" / plugin):
                if source.exists():
                    shutil.copytree(source, folder / "plugins" / plugin)
        with database(docstore, folder) as uri:
            for load, (_, _, part) in LOADS.items():
                more = int(COUNTED * part)
                short, long = (
                    instructions(gateway, folder, uri, load, int(BEFORE * part) + calls)
                    for calls in (0, more)
                )
                counts[load] = (long - short) // more
                print(f"{load}: {counts[load]:,} instructions a call", flush=True)
    return counts


def main() -> None:
    """Counts, and compares with what is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/debug")
    parser.add_argument("--update", action="store_true", help="keep what is counted now")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("SKIPPED: valgrind is not installed, so that no instructions can be counted")
        return
    with_these = tools()
    if not arguments.update:
        kept = json.loads(KEPT.read_text())
        if kept["with"] != with_these:
            print(f"SKIPPED: the counts are kept for {kept['with']}, and here are {with_these}")
            return
    counts = count(arguments.bin / "mozaiks", arguments.bin / "docstore")
    if arguments.update:
        KEPT.write_text(json.dumps({"with": with_these, "instructions": counts}, indent=2) + "\n")
        return
    worse = []
    for load, now in counts.items():
        before = kept["instructions"][load]
        change = now / before - 1
        print(f"{load}: {before:,} → {now:,}, {change:+.1%}")
        if change > TOLERANCE:
            worse.append(load)
    if worse:
        sys.exit(
            f"more instructions than are kept: {', '.join(worse)}. Where that is wanted: "
            "make bench-instructions INSTRUCTIONS_ARGS=--update"
        )


if __name__ == "__main__":
    main()
