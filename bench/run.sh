#!/usr/bin/env bash
# Sets up wrk, the peers and the binaries, then measures. Arguments go on to bench/run.py.
# MOZAIKS_BENCH_SHORT=1 takes the binaries of the tests and runs one short round.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/setup.sh
exec "$venv/bin/python" bench/run.py "$@"
