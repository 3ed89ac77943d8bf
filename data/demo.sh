#!/bin/sh
# Installs what is missing, compresses the sample, decompresses it and compares.
set -eu
cd "$(dirname "$0")/.."
. tests/setup.sh
need_packages $BUILD_PACKAGES
need_neuralvdb ""
nvdb=.venv/bin/nvdb
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
$nvdb info data/sample/smoke.vdb
echo
$nvdb compress data/sample/*.vdb -o "$out/"
echo
$nvdb info "$out/smoke.neuralvdb"
echo
$nvdb decompress "$out"/*.neuralvdb
echo
for name in smoke cloud levelset; do
    $nvdb verify "$out/$name.neuralvdb" "data/sample/$name.vdb"
done
