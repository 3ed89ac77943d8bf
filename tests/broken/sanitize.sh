#!/bin/sh
# Builds the compiled modules with ASan and UBSan into a folder of their own and runs damaged archives and wrong calls
# through them: sanitize.sh [RUNS], by default 2000. PYTHON (default: the .venv of this checkout) needs what `pip install .`
# needs to build; CMAKE_CXX_COMPILER_LAUNCHER=ccache helps from the second time on. It fails where a sanitizer reports.
#
# Left out: leaks (Python itself keeps memory until the end) and reports in headers of OpenVDB, TBB and nanobind, which
# are compiled into the modules and are not ours. Damaged .vdb files, too: OpenVDB asks for as much memory as they say,
# which is an exception without the sanitizer and the end of the process with it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
folder=${TMPDIR:-/tmp}/neuralvdb-sanitized
reports=$folder/reports
mkdir -p "$folder"
rm -rf "$folder/package" "$reports"
mkdir "$reports"

flags="-O1 -fsanitize=address,undefined -fno-sanitize=vptr -fno-omit-frame-pointer"
"$python" -m pip install -q --no-deps --no-build-isolation --target "$folder/package" \
    --config-settings "build-dir=$folder/build" --config-settings cmake.build-type=Debug \
    --config-settings cmake.define.CMAKE_CXX_FLAGS_DEBUG=-g1 \
    --config-settings "cmake.define.CMAKE_CXX_FLAGS=$flags" --config-settings install.strip=false "$root"

compiler=${CXX:-c++}
export PYTHONPATH="$folder/package" PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)"
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$reports/asan"
export UBSAN_OPTIONS="print_stacktrace=0:log_path=$reports/ubsan"
cd "$folder"
status=0
"$python" -P -m pytest -q -p no:cacheprovider "$root/tests/broken/test_native_calls.py" \
    "$root/tests/broken/test_native_components.py" "$root/tests/motion/test_move.py" || status=1
"$python" -P "$root/tests/broken/in_process.py" --unlimited --runs "${1:-2000}" || status=1

echo "reports by place:"
cat "$reports"/* 2>/dev/null | grep -E "runtime error|ERROR: AddressSanitizer" | grep -v -E "/(openvdb|tbb|nanobind)/" |
    sort | uniq -c | sort -rn | tee "$folder/summary"
[ ! -s "$folder/summary" ] && echo "none" && exit $status
exit 1
