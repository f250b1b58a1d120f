#!/usr/bin/env bash
# Sets up wrk, the simulation's library and the binaries, then measures and simulates. Arguments go on
# to bench/scaling.py.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/setup.sh
MOZAIKS_PYTHON="$PWD/.venv/bin/python" exec "$venv/bin/python" bench/scaling.py "$@"
