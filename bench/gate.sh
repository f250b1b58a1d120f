#!/usr/bin/env bash
# Builds the commit that BASE names and this tree, and measures both in turn. Arguments go on to
# bench/gate.py.
set -euo pipefail
cd "$(dirname "$0")/.."
base=$(git rev-parse --short "${BASE:?BASE=<commit> names what to compare with}^{commit}")
# What it sets is for bench/run.py.
arguments=("$@")
. bench/setup.sh
target=$PWD/$target
binary=$PWD/.build/gate/mozaiks-$base
if [ ! -x "$binary" ]; then
  tree=$(mktemp -d)
  trap 'git worktree remove --force "$tree"' EXIT
  git worktree add --quiet --detach "$tree" "$base"
  # Not the directory of this tree, whose binary it would replace; it is kept for the next base.
  (cd "$tree" && CARGO_TARGET_DIR=$OLDPWD/.build/gate/target cargo build --profile dist --bin mozaiks)
  cp .build/gate/target/dist/mozaiks "$binary"
fi
"$venv/bin/python" bench/gate.py --base "$binary" --gateway "$target/dist/mozaiks" \
  --docstore "$target/dist/docstore" "${arguments[@]}"
