# Sourced, in the repository's root: finds the interpreters of the Pythons that the gateway supports.
#
# `find_pythons` prints a line for each version, with tabs: `3.12 /path/to/python`, or `3.12 - why there is
# none`. Looked for in MOZAIKS_TEST_PYTHONS (paths, by space or colon; then nowhere else), on the path, and
# among those of pyenv.
# MOZAIKS_PYTHONS_ONLY names fewer versions.
supported=${MOZAIKS_PYTHONS_ONLY:-3.10 3.11 3.12 3.13}

# The interpreter behind a name, if it is of that version: a shim says which one it stands for.
real_python() {
  "$1" -I -c 'import sys
if "%d.%d" % sys.version_info[:2] != sys.argv[1]: sys.exit(1)
print(sys.executable)' "$2" 2>/dev/null
}

find_pythons() {
  local version candidate found why
  for version in $supported; do
    found="" why="not installed"
    local candidates=()
    if [ -n "${MOZAIKS_TEST_PYTHONS:-}" ]; then
      IFS=': ' read -r -a candidates <<<"$MOZAIKS_TEST_PYTHONS"
    else
      mapfile -t candidates < <(type -aP "python$version" "python3")
      for candidate in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        [ -x "$candidate" ] && candidates+=("$candidate")
      done
    fi
    for candidate in "${candidates[@]}"; do
      candidate=$(real_python "$candidate" "$version") || continue
      # What is missing is said in its first line that is not empty.
      if why=$(sh scripts/check-python.sh "$candidate" 2>&1); then
        found=$candidate
        break
      fi
      why=$(printf '%s' "$why" | sed '/^$/d' | head -1)
    done
    [ -z "$found" ] || why=""
    printf '%s\t%s\t%s\n' "$version" "${found:--}" "$why"
  done
}

# Gives an interpreter an environment with what tests and plugins import; sets `venv` to where it is.
prepare_python() { # version interpreter
  venv=$PWD/.build/pythons/$1
  if [ ! -e "$venv/.ready" ] || [ python-sdk/requirements-dev.txt -nt "$venv/.ready" ]; then
    rm -rf "$venv"
    "$2" -m venv "$venv" &&
      # No linters.
      grep -Ev '^(mypy|ruff)==' python-sdk/requirements-dev.txt >"$venv/requirements.txt" &&
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$venv/requirements.txt" &&
      "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --no-build-isolation -e python-sdk &&
      touch "$venv/.ready"
  fi
}
