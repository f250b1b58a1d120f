"""A `docstore` process for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from types import TracebackType
from urllib.parse import quote

_START_TIMEOUT_SECONDS = 15.0


def find_docstore() -> str | None:
    """Where the program is.

    Returns:
        `MOZAIKS_DOCSTORE`, else `docstore` on the path, else `None`.
    """
    return os.environ.get("MOZAIKS_DOCSTORE") or shutil.which("docstore")


class Docstore:
    """An embedded store of its own, with its data in a directory that goes with it."""

    def __init__(self, program: str) -> None:
        self._directory = tempfile.mkdtemp(prefix="mozaiks-docstore-")
        self._socket = os.path.join(self._directory, "docstore.sock")
        data = os.path.join(self._directory, "data")
        self._process = subprocess.Popen(
            [program, "--path", data, "--socket", self._socket, "--log", "warn"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def uri(self) -> str:
        """Where it can be reached."""
        return f"mongodb://{quote(self._socket, safe='')}/"

    def close(self) -> None:
        """Stops it and removes its data."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Docstore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _START_TIMEOUT_SECONDS
        while not os.path.exists(self._socket):
            if self._process.poll() is not None:
                said = b"" if self._process.stderr is None else self._process.stderr.read()
                raise RuntimeError(f"docstore ended at once: {said.decode(errors='replace')}")
            if time.monotonic() > end:
                raise RuntimeError("docstore did not start in time")
            time.sleep(0.01)
