#!/bin/sh
# Builds the package for ARM (aarch64) with a cross compiler and runs tests of it under QEMU; README.md says more.
#     sh tests/packaging/arm/run.sh [ARGUMENTS OF PYTEST]
set -eu
cd "$(dirname "$0")/../../.."
project=$PWD
arm=${NEURALVDB_ARM:-$project/.build/arm} # what is made here: a Debian for ARM in root/, the wheel
root=$arm/root
packages=$root/venv/lib/python3.11/site-packages
. tests/setup.sh
need_packages $BUILD_PACKAGES qemu-user-static g++-aarch64-linux-gnu mmdebstrap
need_neuralvdb ""

# In the root, with the project's folder at /work. Its own user namespace has its own table of interpreters.
in_root() {
    unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc sh -c '
        set -e
        root=$1 project=$2
        shift 2
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        head='\''\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'\''
        mask='\''\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'\''
        printf %s ":aarch64:M::$head:$mask:/usr/bin/qemu-aarch64-static:F" >/proc/sys/fs/binfmt_misc/register
        mount --rbind "$project" "$root/work"
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs tmpfs "$root/tmp"
        exec chroot "$root" /usr/bin/env -i --chdir=/work HOME=/root PATH=/venv/bin:/usr/bin:/bin OMP_NUM_THREADS=1 \
            OPENBLAS_NUM_THREADS=1 HYPOTHESIS_PROFILE=ci "$@"' in_root "$root" "$project" "$@"
}

# Debian's packages are laid out, not configured, so nothing of them runs.
make_root() {
    mkdir -p "$arm"
    mmdebstrap --mode=root --arch=arm64 --variant=extract bookworm "$root" \
        --include=coreutils,dash,python3,python3-dev,python3-venv,libopenvdb-dev,libboost-iostreams-dev
    mkdir -p "$root/work" "$root/dev" "$root/proc" "$root/tmp"
    in_root /usr/bin/python3 -m venv --without-pip /venv
}

pip_for_arm() {
    .venv/bin/pip install -q --no-deps --no-compile --upgrade --target "$packages" --python-version 3.11 --only-binary=:all: \
        --platform linux_aarch64 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 "$@"
}

# torch and triton: tests/conformance imports them. With --no-deps every package is named, as pip would ask for CUDA.
install_packages() {
    pip_for_arm numpy pcodec zstandard xxhash fileseq threadpoolctl tqdm pytest iniconfig packaging pluggy pygments \
        hypothesis sortedcontainers pillow torch==2.9.1 triton sympy mpmath networkx jinja2 markupsafe filelock fsspec \
        typing_extensions
}

# _PYTHON_...: this machine's Python then says of itself what that of the root would.
build() {
    mkdir -p "$arm/sysconfig"
    cp "$root"/usr/lib/python3.11/_sysconfigdata__aarch64-linux-gnu.py "$arm/sysconfig"
    ARM_ROOT=$root PYTHONPATH=$arm/sysconfig _PYTHON_SYSCONFIGDATA_NAME=_sysconfigdata__aarch64-linux-gnu \
        _PYTHON_HOST_PLATFORM=linux-aarch64 CMAKE_TOOLCHAIN_FILE=$project/tests/packaging/arm/toolchain.cmake \
        .venv/bin/pip wheel -q --no-build-isolation --no-deps -w "$arm" . --config-settings build-dir="$arm/build" \
        --config-settings cmake.define.Python_INCLUDE_DIR="$root/usr/include/python3.11"
    pip_for_arm "$arm"/neuralvdb-*.whl
    printf '#!/venv/bin/python -P\nimport sys\n\nfrom neuralvdb.cli import main\n\nsys.exit(main())\n' >"$root/venv/bin/nvdb"
    chmod +x "$root/venv/bin/nvdb"
}

# Archives of the samples, and what comes back, are byte for byte those of this machine.
compare_archives() {
    here=.build/archives-here there=.build/archives-arm
    rm -rf $here $there
    mkdir -p $here $there
    for sample in cloud levelset smoke; do
        for options in "--quality production" "--lossless" "--rel-error 1% --topology pruned"; do
            name="$sample$(echo "$options" | tr -c '[:alnum:]\n' -)"
            for folder in $here $there; do
                nvdb=.venv/bin/nvdb
                [ $folder = $here ] || nvdb="in_root nvdb"
                $nvdb compress -q $options data/sample/$sample.vdb -o "$folder/$name.neuralvdb"
                $nvdb decompress -q "$folder/$name.neuralvdb" -o "$folder/$name.vdb"
            done
            cmp "$here/$name.neuralvdb" "$there/$name.neuralvdb"
            cmp "$here/$name.vdb" "$there/$name.vdb"
            echo "$name: the same bytes"
        done
    done
}

run_tests() {
    in_root python -P -m pytest -p no:cacheprovider "$@"
}

[ -e "$root/venv/bin/python" ] || make_root
[ -e "$packages/triton" ] || install_packages
build
if [ $# = 0 ]; then
    compare_archives
    run_tests tests/conformance -k "not triton and not threads and not reference"
    set -- -m "not slow" tests/archive/test_golden.py tests/archive/test_rans.py tests/archive/test_streams.py tests/motion \
        tests/topology/test_neural.py tests/topology/test_chunks.py tests/topology/test_masks.py tests/values/test_lattice.py \
        tests/values/test_mean_lattice.py tests/values/test_components.py tests/values/test_reference.py \
        tests/values/test_residuals.py
fi
run_tests "$@"
