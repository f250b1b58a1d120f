#!/usr/bin/env bash
# Runs PyMongo's own tests and the BSON corpus against a fresh `docstore`. Arguments go on to
# scripts/conformance.py (`--update` writes the list of passing tests anew).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet -p docstore --bin docstore
target=${CARGO_TARGET_DIR:-target}
exec .venv/bin/python scripts/conformance.py --docstore "$target/debug/docstore" "$@"
