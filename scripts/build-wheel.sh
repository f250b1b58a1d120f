#!/usr/bin/env bash
# Builds the wheel for one Python: build-wheel.sh PYTHON [PROFILE] [FOLDER]. Says where it is.
#
# Needs Rust and that Python; neither its headers nor a shared library. PROFILE is `dist`, what is shipped, or
# `tests`: of what the tests of this repository have compiled for that very Python.
set -euo pipefail
cd "$(dirname "$0")/.."
asked=${1:?which Python} profile=${2:-dist} folder=${3:-${CARGO_TARGET_DIR:-target}/wheels}
# A version manager's shim says which one it stands for.
python=$("$asked" -c 'import sys; print(sys.executable)')
tools=.build/maturin
if [ ! -e "$tools/.ready" ] || [ scripts/requirements-wheel.txt -nt "$tools/.ready" ]; then
  "$python" -m venv --clear "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/requirements-wheel.txt
  touch "$tools/.ready"
fi
if [ "$profile" = tests ]; then
  profile=dev
  export CARGO=$PWD/scripts/cargo-as-tests.sh MOZAIKS_BUILT_FOR=${PYO3_PYTHON:-$asked}
fi
"$tools/bin/maturin" build --locked --profile "$profile" --interpreter "$python" --out "$folder"
