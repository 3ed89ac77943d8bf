"""A .vdb file that is cut while it is read: an error in Python, not the end of the process by a signal."""

import os
import shutil

import pytest

from neuralvdb.errors import DamagedFile
from neuralvdb.vdb import VdbReader


def test_a_file_cut_while_it_is_read_is_damaged(sample, tmp_path):
    path = tmp_path / "smoke.vdb"
    shutil.copyfile(sample, path)
    size, reader = path.stat().st_size, VdbReader(path)
    whole = reader.read(0)
    for left in (size - 1, size // 2, 1, 0):
        os.truncate(path, left)
        with pytest.raises(DamagedFile, match="it ends early"):
            reader.read(len(reader.entries) - 1)
    shutil.copyfile(sample, path)
    assert reader.read(0).tree.leaf.values.tobytes() == whole.tree.leaf.values.tobytes()
