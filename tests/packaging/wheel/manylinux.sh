#!/bin/sh
# Builds the wheels for glibc 2.28 and newer (Rocky, RHEL and AlmaLinux 8, Debian 10, Ubuntu 20.04). To be run in the project's
# folder within PyPA's container image manylinux_2_28_x86_64, or manylinux_2_28_aarch64; the wheels are in dist/ then.
set -eu
dnf install -y -q boost-devel zlib-devel
/opt/python/cp312-cp312/bin/python tests/packaging/wheel/build.py dist \
    /opt/python/cp311-cp311/bin/python /opt/python/cp312-cp312/bin/python
