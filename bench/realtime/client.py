"""Drives `push_load`, the client that holds the sockets."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = "/api/execute/push"


class Sockets:
    """Open sockets, and what arrives on them."""

    def __init__(self, process: subprocess.Popen[str], token: str) -> None:
        """Speaks to the started client; `token` is whose requests it sends."""
        self._process = process
        self._token = token
        self.opened = self._read()

    def broadcast(self, messages: int, size: int, per_second: float, expect: int) -> dict[str, Any]:
        """Has the server broadcast; returns when all have arrived, or nothing comes any more."""
        body = {"action": "broadcast", "messages": messages, "bytes": size}
        text = json.dumps({**body, "per_second": per_second})
        post = {"path": PATH, "token": self._token, "body": text}
        return self._ask({"post": post, "expect": expect})

    def watch(self) -> None:
        """Counts what arrives from now on."""
        self._ask({"watch": True})

    def report(self) -> dict[str, Any]:
        """What has arrived since."""
        return self._ask({"report": True})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"push_load has ended: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def opened(binary: Path, port: int, tokens: list[str], folder: Path) -> Iterator[Sockets]:
    """One socket for each token, all acknowledged; closes them."""
    file = folder / "sockets"
    file.write_text("\n".join(tokens))
    command = [str(binary), f"127.0.0.1:{port}", "/ws", str(file), str(len(tokens))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Sockets(process, tokens[0])
        finally:
            process.terminate()
