# Sourced by the benchmarks' scripts, in the repository's root: installs wrk and the peers; sets
# `venv`, where the peers are, and `target`, where cargo builds.
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
export VIRTUAL_ENV="$PWD/.venv"
