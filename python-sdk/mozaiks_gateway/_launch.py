"""Hands this process over to the gateway."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from mozaiks_gateway import _gateway


def mozaiks() -> NoReturn:
    """Run the command line as `mozaiks`."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    _gateway.mozaiks(sys.executable, script, _take_over("mozaiks"))


def docstore() -> NoReturn:
    """Run the command line as `docstore`, the embedded store as a program of its own."""
    _gateway.docstore(_take_over("docstore"))


def _take_over(name: str) -> list[str]:
    """Makes the interpreter as the gateway's own would be; gives the command line."""
    arguments = [name, *sys.argv[1:]]
    # It may name a secret, and is nothing to a plugin.
    sys.argv[:] = [""]
    sys.orig_argv[:] = []
    # Where the script lies, or where the gateway was started: plugins import from neither.
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
        del sys.path[0]
    # Plugins' directories are watched.
    sys.dont_write_bytecode = True
    # The gateway has its own way with signals; without one, the system's holds.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return arguments
