#!/bin/sh
# Installs Debian's Chromium for the browser tests where it is missing and we may; else says what is
# left out. In CI a missing browser fails the tests.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
    echo "No Chromium here: the browser tests are skipped. On Debian: apt-get install chromium" >&2
fi
