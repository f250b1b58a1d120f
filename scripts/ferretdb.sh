#!/usr/bin/env bash
# Runs a command with TEST_MONGODB_URI naming a FerretDB of its own (SQLite backend, loopback, data in
# a folder that goes with it): a server with MongoDB's protocol that is not ours. Where Go is missing,
# or the module cannot be fetched, it says so and runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.24.2
bin="$PWD/.build/ferretdb/bin"
if [ ! -x "$bin/ferretdb" ]; then
  if ! command -v go >/dev/null; then
    echo "ferretdb: skipped, Go is not installed" >&2
    exit 0
  fi
  mkdir -p "$bin"
  if ! GOBIN="$bin" go install "github.com/FerretDB/FerretDB/cmd/ferretdb@$version" 2>"$bin/install.log"; then
    echo "ferretdb: skipped, $version could not be fetched: $(tail -n 1 "$bin/install.log")" >&2
    exit 0
  fi
fi
data=$(mktemp -d)
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$bin/ferretdb" --handler=sqlite --sqlite-url="file:$data/" --state-dir="$data" --telemetry=disable \
  --listen-addr="127.0.0.1:$port" --debug-addr=- --log-level=error &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$data"' EXIT
for _ in $(seq 150); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    TEST_MONGODB_URI="mongodb://127.0.0.1:$port/" "$@"
    exit
  fi
  kill -0 "$server"
  sleep 0.1
done
echo "ferretdb: it did not start within 15 s" >&2
exit 1
