#!/usr/bin/env bash
# Sets up wrk, the peers and the binaries, then measures. Arguments go on to bench/run.py.
# MOZAIKS_BENCH_SHORT=1 takes the binaries of the tests and runs one short round.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/setup.sh
# The gateway on the other Pythons of this machine, as it would be shipped for them.
if [ -z "${MOZAIKS_BENCH_SHORT:-}" ]; then
  . scripts/pythons.sh
  bench_venv=$venv
  tested=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  while IFS=$'\t' read -r version python why; do
    if [ "$python" = - ]; then
      echo "Python $version is missing: $why" >&2
    elif [ "$version" != "$tested" ]; then
      prepare_python "$version" "$python"
      PYO3_PYTHON="$venv/bin/python" cargo build --profile dist --bin mozaiks </dev/null
      cp "$target/dist/mozaiks" "$venv/mozaiks"
      set -- --python "$version=$venv" "$@"
    fi
  done < <(find_pythons)
  venv=$bench_venv
  # The binaries of the default one again.
  cargo build --profile dist --workspace --bin mozaiks
fi
exec "$venv/bin/python" bench/run.py "$@"
