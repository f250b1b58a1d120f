# Sourced by the benchmarks' scripts, in the repository's root: installs wrk and the peers; sets
# `venv`, where the peers are, and `target`, where cargo builds.
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
export VIRTUAL_ENV="$PWD/.venv" PYO3_PYTHON="$PWD/.venv/bin/python"
if [ -n "${MOZAIKS_BENCH_SHORT:-}" ]; then
  # As the tests build them, so that nothing is compiled twice.
  cargo test --workspace --no-run --quiet
  set -- --short --gateway "$target/debug/mozaiks" "$@"
else
  cargo build --profile dist --workspace --bin mozaiks --bin docstore --bin ceiling --bin push_load
  set -- --gateway "$target/dist/mozaiks" "$@"
fi
