#!/usr/bin/env bash
# Runs PyMongo's own tests, the BSON corpus and tests of object mappers against fresh `docstore`s.
# `--update` adds the tests that pass by now to the lists. MOZAIKS_CONFORMANCE_SHORT leaves the object
# mappers out, which are fetched and take some minutes. `make binaries` comes first.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
.venv/bin/python scripts/conformance.py --docstore "$target/debug/docstore" "$@"
if [ -z "${MOZAIKS_CONFORMANCE_SHORT:-}" ]; then
  .venv/bin/python scripts/conformance_odms.py --docstore "$target/debug/docstore" "$@"
fi
