#!/usr/bin/env bash
# Builds and tests the gateway and the SDK on every supported Python that is found: the Rust tests of
# crates/python, the integration tests, the SDK's own, and the first hour with a wheel. Says which Pythons are
# missing.
#
# MOZAIKS_TEST_PYTHONS   interpreters to take instead of looking for them
# MOZAIKS_PYTHONS_SHORT  leaves out the one that `make test` has tested, and of the integration tests all
#                        but those about calls of plugins
#
# One target directory serves all: what depends on Python is built anew for each, the rest once.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/pythons.sh
short=${MOZAIKS_PYTHONS_SHORT:-}
tested=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
passed=() missing=() failed=()

test_on() { # version interpreter
  prepare_python "$1" "$2" || return 1
  export PYO3_PYTHON=$venv/bin/python MOZAIKS_TEST_PYTHON=$venv/bin/python VIRTUAL_ENV=$venv
  # All of the workspace: with fewer packages the dependencies would be built with other features.
  cargo test --workspace --no-run --quiet --message-format json >"$venv/artifacts" || return 1
  run_test mozaiks_python crates/python || return 1
  local filters=()
  [ -z "$short" ] || filters=(execute:: hostile:: environment::)
  run_test it . "${filters[@]}" || return 1
  (cd python-sdk && "$venv/bin/python" -m pytest -q) || return 1
  # Of what was just compiled: its wheel, and the first hour with it.
  rm -rf "$venv/wheels"
  bash scripts/build-wheel.sh "$venv/bin/python" tests "$venv/wheels" || return 1
  bash scripts/test-wheel.sh "$venv"/wheels/*.whl "$2" none || return 1
}

run_test() { # target folder filters
  local program
  program=$(.venv/bin/python - "$venv/artifacts" "$1" "$PWD/$2" <<'PY'
import json, os, sys

artifacts, target, folder = sys.argv[1], sys.argv[2], os.path.realpath(sys.argv[3])
for line in open(artifacts):
    made = json.loads(line)
    if (
        made["reason"] == "compiler-artifact"
        and made["profile"]["test"]
        and made["target"]["name"] == target
        and os.path.dirname(made["manifest_path"]) == folder
    ):
        print(made["executable"])
PY
  ) && [ -n "$program" ] || return 1
  (cd "$2" && "$program" -q "${@:3}")
}

while IFS=$'\t' read -r version python why; do
  if [ "$python" = - ]; then
    echo "Python $version is missing: $why"
    missing+=("$version")
  elif [ -n "$short" ] && [ "$version" = "$tested" ]; then
    echo "Python $version: tested already"
  else
    echo "Python $version: $python"
    # Output is not read as the list of Pythons.
    if (test_on "$version" "$python") </dev/null; then passed+=("$version"); else failed+=("$version"); fi
  fi
done < <(find_pythons)

echo "passed: ${passed[*]:-none}; missing: ${missing[*]:-none}; failed: ${failed[*]:-none}"
[ ${#failed[@]} -eq 0 ]
