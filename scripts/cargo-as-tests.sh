#!/usr/bin/env bash
# Stands for cargo where maturin builds a wheel for the tests. maturin asks for one package, which cargo would build
# with features of dependencies that no other build has, so from the ground up. This builds the whole workspace as
# its tests do: after them there is a library to link, and nothing to compile.
set -euo pipefail
if [ "${1:-}" != rustc ]; then exec cargo "$@"; fi
shift
kept=()
while [ $# -gt 0 ]; do
  case $1 in
    --features | --manifest-path | --profile) shift 2 ;;
    --lib) shift ;;
    --) break ;;
    *)
      kept+=("$1")
      shift
      ;;
  esac
done
# Part of what cargo knows a build by; the tests have it not.
unset PYO3_ENVIRONMENT_SIGNATURE
export PYO3_PYTHON=${MOZAIKS_BUILT_FOR:?}
exec cargo build --workspace --lib --test it "${kept[@]}"
