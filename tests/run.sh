#!/bin/sh
# Installs what is missing and runs every test, with -m "not slow" the fast ones; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
. tests/setup.sh
need_packages $BUILD_PACKAGES $TEST_PACKAGES
need_neuralvdb "[test]"
need_blender
exec .venv/bin/python -P -m pytest -n auto --dist loadfile "$@"
