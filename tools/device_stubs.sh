#!/bin/sh
# Puts the device's type stubs into their own folder; in the main environment they would shadow
# the standard library's.
set -eu
cd "$(dirname "$0")/.."
rm -rf build/stubs
.venv/bin/python -m pip --quiet --disable-pip-version-check install --no-deps \
    --constraint constraints.txt --target build/stubs \
    micropython-esp32-stubs micropython-stdlib-stubs
