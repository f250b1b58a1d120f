#!/usr/bin/env bash
# Sets up wrk, the peers and the binaries, then measures. Arguments go on to bench/run.py.
# MOZAIKS_BENCH_SHORT=1 takes the binary of the tests and runs one short round.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v wrk >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq wrk >/dev/null
  else
    echo "wrk is missing; on Debian: apt-get install wrk" >&2
    exit 1
  fi
fi
venv=.build/bench-venv
if [ ! -e "$venv/.ready" ] || [ bench/requirements.txt -nt "$venv/.ready" ]; then
  .venv/bin/python -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
  touch "$venv/.ready"
fi
target=${CARGO_TARGET_DIR:-target}
if [ -n "${MOZAIKS_BENCH_SHORT:-}" ]; then
  cargo build --quiet --bin mozaiks
  set -- --short --gateway "$target/debug/mozaiks" "$@"
else
  cargo build --profile dist --workspace --bin mozaiks --bin docstore --example ceiling
  set -- --gateway "$target/dist/mozaiks" --ceiling "$target/dist/examples/ceiling" "$@"
fi
export VIRTUAL_ENV="$PWD/.venv"
exec "$venv/bin/python" bench/run.py "$@"
