#!/usr/bin/env bash
# Measures `docstore` and, where Go is installed, FerretDB with SQLite under the same load in one
# run, both over TCP on the loopback; then docstore beside an echo of the same frames, and beside
# SQLite with JSON in a column and an index, which no wire slows down. Arguments go on to the load (`--help` lists them).
# DOCUMENTS is how many the comparison with SQLite takes (default: 1000000).
# FERRETDB names a binary that is there already (else scripts/build-ferretdb.sh);
# PROFILE is the cargo profile (default: release; what is shipped is dist).
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --profile "$profile" -p docstore --bin docstore --example load --example yardstick --example wire

data=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$data"
}
trap stop EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

port=$(free_port)
"$target/$profile/docstore" --path "$data/docstore" --listen "127.0.0.1:$port" --log error >/dev/null &
pids+=($!)
address=127.0.0.1:$port
servers=("docstore=mongodb://127.0.0.1:$port/?directConnection=true")

ferretdb=$(bash scripts/build-ferretdb.sh)
if [ -n "$ferretdb" ]; then
    port=$(free_port)
    mkdir -p "$data/ferretdb"
    "$ferretdb" --handler=sqlite --sqlite-url="file:$data/ferretdb/" --state-dir="$data/ferretdb" \
        --telemetry=disable --listen-addr="127.0.0.1:$port" --debug-addr=- >/dev/null 2>&1 &
    pids+=($!)
    servers+=("FerretDB=mongodb://127.0.0.1:$port/?directConnection=true")
fi

"$target/$profile/examples/load" "${servers[@]}" "$@"
printf '\n'
"$target/$profile/examples/wire" "$address"
printf '\n'
"$target/$profile/examples/yardstick" "${servers[0]#*=}" "${DOCUMENTS:-1000000}"
