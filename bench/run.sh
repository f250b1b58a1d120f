#!/usr/bin/env bash
# Sets up wrk, the peers and the binaries, then measures. Arguments go on to bench/run.py.
# MOZAIKS_BENCH_SHORT=1 takes the binary of the tests and runs one short round.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/setup.sh
if [ -n "${MOZAIKS_BENCH_SHORT:-}" ]; then
  cargo build --quiet --bin mozaiks
  set -- --short --gateway "$target/debug/mozaiks" "$@"
else
  cargo build --profile dist --workspace --bin mozaiks --bin docstore --example ceiling
  set -- --gateway "$target/dist/mozaiks" --ceiling "$target/dist/examples/ceiling" "$@"
fi
exec "$venv/bin/python" bench/run.py "$@"
