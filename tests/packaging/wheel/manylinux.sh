#!/bin/sh
# Builds the wheels for glibc 2.28 and newer (Rocky, RHEL and AlmaLinux 8, Debian 10, Ubuntu 20.04), in the image for it:
#
#     docker run --rm -v "$PWD:/src" -w /src quay.io/pypa/manylinux_2_28_x86_64 sh tests/packaging/wheel/manylinux.sh
#
# and the same with manylinux_2_28_aarch64. The wheels are in dist/ then.
set -eu
dnf install -y -q boost-devel zlib-devel
/opt/python/cp312-cp312/bin/python tests/packaging/wheel/build.py dist \
    /opt/python/cp311-cp311/bin/python /opt/python/cp312-cp312/bin/python
