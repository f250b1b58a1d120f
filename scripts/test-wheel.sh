#!/usr/bin/env bash
# The first hour with the wheel, from an empty folder and a bare virtual environment: install, begin an app,
# call it, change it, test it, pack the client and call with that. Then integration tests against what was installed.
# Says how long each step took; judges no time.
#
# Usage: test-wheel.sh WHEEL PYTHON [FILTER…]    which integration tests; `none` for none of them
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
wheel=$(realpath "${1:?which wheel}")
python=$("${2:?which Python}" -c 'import sys; print(sys.executable)')
shift 2
# How it is started, ended and walled in, what it leaves of the environment, and what calls are.
[ $# -gt 0 ] || set -- commands:: drain:: environment:: execute:: init:: workers::
folder=$(mktemp -d) gateway=
end() {
  [ -z "$gateway" ] || kill -KILL "$gateway" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT
fail() {
  echo "FAIL: $1" >&2
  cat "$folder"/*.log >&2 2>/dev/null || true
  exit 1
}
began=$(date +%s%N)
step() { # what was done since the last
  local now
  now=$(date +%s%N)
  printf '%7d ms  %s\n' $(((now - began) / 1000000)) "$1"
  began=$(date +%s%N)
}
# Runs until it succeeds, for a minute at most.
until_so() {
  local left=600
  until "$@"; do
    left=$((left - 1))
    [ $left -gt 0 ] && kill -0 "$gateway" 2>/dev/null || return 1
    sleep 0.1
  done
}
# As a newcomer's shell: no variables of this repository's, nothing of its environment on the path, and no
# questions of pip's.
for name in $(compgen -e MOZAIKS_ || true) DATABASE_URI JWT_SECRET VIRTUAL_ENV PYTHONPATH; do unset "$name"; done
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
python3() { "$python" "$@"; }

cd "$folder"
cp "$wheel" .
# README's first lines, as they stand there.
python3 -m venv .venv && . .venv/bin/activate
unset -f python3
step "a bare virtual environment ($(python -V))"
pip install ./mozaiks_gateway-*.whl
step "pip install $(basename "$wheel") ($(du -h "$wheel" | cut -f1))"
mozaiks init my_app >init.log
step "mozaiks init my_app"
cd my_app

serve() {
  # Of the one before: else its lines are taken for this one's, and it is sent a signal before it listens to any.
  rm -f ../stdout.log ../stderr.log
  mozaiks serve --dev --listen 127.0.0.1:0 >../stdout.log 2>../stderr.log &
  gateway=$!
  until_so grep -qs '^try it: ' ../stderr.log || fail "the gateway did not get ready"
  grep -q '^listening on http://127.0.0.1:' ../stdout.log || fail "it does not say where it listens"
}
answers() { sh -c "$(sed -n 's/^try it: //p' ../stderr.log)" | grep -qF "$1"; }
ends() { # signal
  kill -"$1" "$gateway"
  local code=0
  wait "$gateway" || code=$?
  gateway=
  [ $code -eq 0 ] || fail "SIG$1 ends it with $code"
}

serve
step "mozaiks serve --dev, until it is ready"
answers '"Hello, dev!"' || fail "the line that it prints does not work"
step "the first call"
sed -i 's/Hello, /Good day, /' plugins/hello/logic.py plugins/hello/tests/test_plugin.py
until_so answers '"Good day, dev!"' || fail "the saved file is not served"
step "a saved file's answer, in the same process"

# What `npm publish` would send, where only that is installed.
mkdir ../page
(cd "$repository/clients/js" && npm pack --silent --pack-destination "$folder/page") >../pack.log 2>&1 ||
  fail "npm pack"
step "npm pack of the client"
cat >../page/call.mjs <<'JS'
import { MozaiksClient } from "mozaiks-client";

const [address, token] = process.argv.slice(2);
const client = new MozaiksClient(address, { getToken: () => token });
console.log(JSON.stringify(await client.execute("hello", { action: "greet" })));
JS
(cd ../page && npm install --silent --offline --no-audit --no-fund ./mozaiks-client-*.tgz) >../pack.log 2>&1 ||
  fail "npm install of the packed client"
node ../page/call.mjs "$(sed -n 's/^listening on //p' ../stdout.log)" "$(mozaiks token --dev --user dev)" \
  >../client.log 2>&1 || fail "the packed client"
grep -qF '"Good day, dev!"' ../client.log || fail "the packed client's call"
step "a call with the packed client, installed in an empty folder"

ends TERM
step "SIGTERM, until it has ended"
serve
ends INT
step "started again, and ended with SIGINT"

if mozaiks plugin test plugins/hello >../test.log 2>&1; then fail "tests without pytest"; fi
grep -q "$folder/.venv/bin/python[0-9.]* -m pip install pytest pytest-asyncio" ../test.log ||
  fail "it does not say what is missing"
pip install "$(echo ../mozaiks_gateway-*.whl)[test]"
step "pip install …[test]"
mozaiks plugin test plugins/hello >../test.log 2>&1 || fail "the plugin's tests"
grep -q ' passed' ../test.log || fail "no test was run"
step "mozaiks plugin test plugins/hello"
mozaiks plugin new orders --template crud >/dev/null
mozaiks plugin test plugins/orders >../test.log 2>&1 || fail "tests with a database"
step "a plugin with documents, and its tests"
mozaiks doctor --dev >../doctor.log || fail "mozaiks doctor"
if mozaiks serve --dev --listen nonsense 2>/dev/null; then fail "a bad setting is taken"; fi
MOZAIKS_PYTHON=/usr/bin/false mozaiks doctor --dev >../doctor.log && fail "another Python is taken"
[ -z "$(find "$folder/my_app" -name __pycache__ -path '*plugins/hello/__pycache__')" ] ||
  fail "bytecode is written beside plugins"
deactivate

[ "$1" != none ] || exit 0
cd "$repository"
MOZAIKS_TEST_PROGRAM=$folder/.venv/bin/mozaiks MOZAIKS_TEST_PYTHON=$folder/.venv/bin/python \
  MOZAIKS_DOCSTORE=$folder/.venv/bin/docstore cargo test --quiet --workspace --test it -- "$@"
step "integration tests: $*"
