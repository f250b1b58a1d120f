#!/usr/bin/env bash
# Runs PyMongo's own tests and the BSON corpus against a fresh `docstore`. Arguments go on to
# scripts/conformance.py (`--update` writes the list of passing tests anew). `make binaries` comes first.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
exec .venv/bin/python scripts/conformance.py --docstore "$target/debug/docstore" "$@"
