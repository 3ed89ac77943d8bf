# Sourced by data/demo.sh and tests/run.sh in the project's folder: everything they need, in .venv and from apt.

# Debian packages: the bridge's compiler and libraries, then what only tests use.
BUILD_PACKAGES="g++ cmake ninja-build python3-dev python3-venv libopenvdb-dev libboost-iostreams-dev"
TEST_PACKAGES="fuse3 python3-openvdb libopenvdb-tools libnanovdb-tools libx11-6 libxi6 libxrender1 libxxf86vm1 libxfixes3 libxkbcommon0 libsm6 libice6 libgl1 libegl1"

# Installs the Debian packages named, or says how to where we may not.
need_packages() {
    missing=""
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" != 0 ]; then
        echo "system packages are missing; install them and run this again:" >&2
        echo "    sudo apt-get install -y$missing" >&2
        exit 1
    fi
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
}

# PyTorch: without an NVIDIA GPU its CPU build, where an index that pip knows has it; else what there is.
need_torch() {
    .venv/bin/python -c "import torch" 2>/dev/null && return 0
    if [ ! -e /proc/driver/nvidia/version ] && .venv/bin/pip install -q "torch==2.13.0+cpu" 2>/dev/null; then
        return 0
    fi
    .venv/bin/pip install -q "torch>=2.6"
}

# Blender as a module, which exists for Python 3.11; it asks for an older NumPy than ours but runs with it.
need_blender() {
    if .venv/bin/python -c "import sys; sys.exit(sys.version_info[:2] != (3, 11))"; then
        .venv/bin/python -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('bpy'))" ||
            .venv/bin/pip install -q --no-deps "bpy==4.5.*"
    fi
}

# The package itself, built from this folder, with the given extra ("" or "[test]").
need_neuralvdb() {
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/pip install -q "scikit-build-core>=0.10" "nanobind>=2.4"
    need_torch
    .venv/bin/pip install -q --no-build-isolation --force-reinstall --no-deps .
    .venv/bin/pip install -q --no-build-isolation ".$1"
}
