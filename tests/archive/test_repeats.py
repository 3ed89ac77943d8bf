"""Equal grids of a file: coded once where the same is promised of them, and decoded once."""

import numpy as np

from neuralvdb import CompressSettings
from neuralvdb.archive import ArchiveWriter
from neuralvdb.codec.encode import FrameOutput, encode_frame
from neuralvdb.codec.frame import FrameReader
from neuralvdb.settings import Bound
from neuralvdb.values.context import EncodeContext
from neuralvdb.vdb import VdbReader, from_dense, write_vdb


def test_equal_grids_share_what_they_decode_to(tmp_path):
    """As do threads; a grid of another promise, or of other values, shares nothing."""
    values = np.random.default_rng(7).random((16, 16, 16)).astype("f4")
    names = ["red", "green", "exact", "other", "blue"]
    write_vdb(tmp_path / "in.vdb", [from_dense(values + (name == "other"), name=name) for name in names])
    archives = []
    for threads in (1, 3):
        bounds = (Bound(value=0.05, relative=True), Bound(grid="exact", value=1e-3, relative=True))
        settings = CompressSettings(bounds=bounds, threads=threads)
        archives.append(tmp_path / f"{threads}.neuralvdb")
        with open(archives[-1], "wb") as stream:
            writer, reader = ArchiveWriter(stream), VdbReader(tmp_path / "in.vdb")
            encode_frame(FrameOutput(writer, lambda _: None), reader, list(range(5)), EncodeContext.of(settings))
            writer.close()
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with FrameReader(archives[0]) as frame:
        assert [frame.index.first(number) for number in range(5)] == [0, 0, 2, 3, 0]
        assert [head.name for head in frame.grids] == names
        trees = [grid.tree for grid in frame.read_in_order(list(range(5)), threads=2)]
        assert trees[0] is trees[1]
        assert trees[0] is trees[4]
        bounds = [frame.promise(number).bound.max_error for number in range(5)]
    for name, tree, bound in zip(names, trees, bounds, strict=True):
        error = np.abs(tree.leaf.values - from_dense(values + (name == "other"), name=name).tree.leaf.values)
        assert 0 < error.max() <= bound
