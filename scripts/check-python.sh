#!/bin/sh
# Says in one sentence what is missing before the gateway can embed Python. Usage: check-python.sh PYTHON
set -eu
python=${1:-python3}
fail() { printf '\n%s\n\n' "$1" >&2; exit 1; }

command -v cargo >/dev/null 2>&1 || fail "Rust is missing: install cargo and rustc (rustup, or your system's packages)."
command -v "$python" >/dev/null 2>&1 || fail "Python is missing: install Python 3.10 or newer, or say which one to use: make PYTHON=/path/to/python3."
"$python" - <<'PY' || exit 1
import os, sys, sysconfig

def fail(text):
    print(f"\n{text}\n", file=sys.stderr)
    raise SystemExit(1)

version = ".".join(map(str, sys.version_info[:2]))
if sys.version_info < (3, 10):
    fail(f"{sys.executable} is Python {version}; the gateway needs 3.10 or newer. "
         "Name another one: make PYTHON=/path/to/python3.")
include = sysconfig.get_path("include")
if not os.path.exists(os.path.join(include, "Python.h")):
    fail(f"Python's headers are missing ({include}/Python.h). On Debian: apt-get install python3-dev.")
libdir = sysconfig.get_config_var("LIBDIR") or ""
name = sysconfig.get_config_var("LDLIBRARY") or ""
multiarch = sysconfig.get_config_var("MULTIARCH") or ""
places = [os.path.join(libdir, name), os.path.join(libdir, multiarch, name)]
if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not any(map(os.path.exists, places)):
    fail(f"{sys.executable} comes without a shared libpython{version} (looked for {places[0]}). "
         "On Debian: apt-get install libpython3-dev. With pyenv: "
         f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {version}.")
try:
    import ensurepip, venv  # noqa: F401
except ImportError:
    fail("Python's venv module is missing. On Debian: apt-get install python3-venv.")
PY
