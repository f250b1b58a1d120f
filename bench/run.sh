#!/usr/bin/env bash
# Sets up wrk, the peers and the binaries, then measures. Arguments go on to bench/run.py.
# MOZAIKS_BENCH_SHORT=1 takes the binary of the tests and runs one short round.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v wrk >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq wrk; } >/dev/null || true
fi
if ! command -v wrk >/dev/null; then
  echo "wrk is missing; on Debian: apt-get install wrk" >&2
  # The short form is for a look while other things are tested: without wrk there is none.
  [ -n "${MOZAIKS_BENCH_SHORT:-}" ] && exit 0
  exit 1
fi
venv=.build/bench-venv
if [ ! -e "$venv/.ready" ] || [ bench/requirements.txt -nt "$venv/.ready" ]; then
  .venv/bin/python -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
  touch "$venv/.ready"
fi
target=${CARGO_TARGET_DIR:-target}
export PYO3_PYTHON="$PWD/.venv/bin/python"
if [ -n "${MOZAIKS_BENCH_SHORT:-}" ]; then
  # As the tests build it, so that nothing is compiled twice.
  cargo test --workspace --no-run --quiet
  set -- --short --gateway "$target/debug/mozaiks" "$@"
else
  cargo build --profile dist --workspace --bin mozaiks --bin docstore --bin ceiling
  set -- --gateway "$target/dist/mozaiks" --ceiling "$target/dist/ceiling" "$@"
fi
export VIRTUAL_ENV="$PWD/.venv"
exec "$venv/bin/python" bench/run.py "$@"
