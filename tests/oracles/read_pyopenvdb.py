"""What Debian's pyopenvdb (OpenVDB 10) sees of .vdb files: python3 read_pyopenvdb.py FILE..."""

import sys

import openvdb_digest
import pyopenvdb

openvdb_digest.main(pyopenvdb, sys.argv[1:])
