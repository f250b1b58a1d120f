#!/usr/bin/env bash
# Runs a command with TEST_MONGODB_URI naming a FerretDB of its own (SQLite backend, loopback, data in
# a folder that goes with it): a server with MongoDB's protocol that is not ours. Where it cannot be
# built (scripts/build-ferretdb.sh) it says so and runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(bash scripts/build-ferretdb.sh)
if [ -z "$program" ]; then
  echo "ferretdb: skipped" >&2
  exit 0
fi
data=$(mktemp -d)
python=${MOZAIKS_TEST_PYTHON:-.venv/bin/python}
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$program" --handler=sqlite --sqlite-url="file:$data/" --state-dir="$data" --telemetry=disable \
  --listen-addr="127.0.0.1:$port" --debug-addr=- >"$data/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$data"' EXIT
for _ in $(seq 150); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    TEST_MONGODB_URI="mongodb://127.0.0.1:$port/" "$@"
    exit
  fi
  if ! kill -0 "$server" 2>/dev/null; then
    echo "ferretdb: it ended at once: $(tail -n 3 "$data/log")" >&2
    exit 1
  fi
  sleep 0.1
done
echo "ferretdb: it did not start within 15 s" >&2
exit 1
