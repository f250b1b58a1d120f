#!/usr/bin/env bash
# Builds FerretDB v1.24.2 once and prints the path of the program. It is no module that `go install`
# takes: a file with its version, which a checkout has, is missing in what the module proxy gives.
# Where Go or the module is missing it says why on the standard error, prints nothing and succeeds.
# FERRETDB names a program that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v1.24.2
folder=$PWD/.build/ferretdb
program=${FERRETDB:-$folder/ferretdb-$version}
missing() {
  echo "FerretDB is missing: $1" >&2
  exit 0
}

if [ ! -x "$program" ]; then
  [ -z "${FERRETDB:-}" ] || missing "$FERRETDB is no program"
  command -v go >/dev/null || missing "Go is not installed"
  mkdir -p "$folder"
  module=github.com/FerretDB/FerretDB@$version
  found=$(cd "$folder" && GO111MODULE=on go mod download -json "$module" 2>"$folder/log") ||
    missing "the module could not be fetched, see $folder/log"
  source=$(printf '%s' "$found" | sed -n 's/^.*"Dir": "\(.*\)",\{0,1\}$/\1/p')
  rm -rf "$folder/source"
  cp -r "$source" "$folder/source"
  chmod -R u+w "$folder/source"
  printf '%s' "$version" >"$folder/source/build/version/version.txt"
  (cd "$folder/source" && go build -o "$program.new" ./cmd/ferretdb) >>"$folder/log" 2>&1 ||
    missing "it could not be built, see $folder/log"
  mv "$program.new" "$program"
  rm -rf "$folder/source"
fi
printf '%s\n' "$program"
