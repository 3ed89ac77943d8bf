"""What encoders know of their own output: they need not read it again."""

import numpy as np
import pytest

from neuralvdb import compress, info, values
from neuralvdb.codec import frame
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import EncodeContext, head, sample_promise
from neuralvdb.vdb import from_dense, write_vdb
from neuralvdb.volume import VolumeGrid

BOUNDS = (Bound(value=0.01, relative=True),)


@pytest.fixture
def ripples() -> VolumeGrid:
    x, y, z = np.indices((40, 40, 40))
    rough = np.sin(x / 4) * np.cos(y / 5) + 0.3 * (z % 2) + np.random.default_rng(0).normal(0, 0.02, x.shape)
    return from_dense(rough.astype(np.float32), name="ripples", active=np.ones(x.shape, bool))


@pytest.fixture
def unread(monkeypatch) -> None:
    """Parsing a head of values fails."""

    def fail(*_: object) -> None:
        raise AssertionError("a payload was parsed")

    monkeypatch.setattr(head, "take_head", fail)


def test_the_encoder_does_not_parse_its_own_output(ripples, unread, monkeypatch):
    context = EncodeContext.of(CompressSettings(threads=1, effort=3, bounds=BOUNDS))
    coded = values.choose_values(ripples.tree, sample_promise("fog", max_error=0.01), context)
    assert coded.codec == 1
    monkeypatch.undo()
    read = values.read_head(coded.payload, "test")
    np.testing.assert_array_equal(coded.table_rows, read.table_rows)
    assert (coded.head.promise, coded.head.models) == (read.promise, read.models)
    assert coded.head.fine_tuned == read.fine_tuned


def test_compress_describes_promises_without_the_archive(ripples, unread, monkeypatch, tmp_path):
    source, archive = tmp_path / "a.vdb", tmp_path / "a.neuralvdb"
    write_vdb(source, [ripples])
    monkeypatch.setattr(frame, "ArchiveReader", None)
    settings = CompressSettings(threads=1, effort=0, verify=False, bounds=BOUNDS)
    report = compress(source, archive, settings)
    monkeypatch.undo()
    assert report.promises["ripples"] == info(archive).grids[0].promise


def test_the_whole_grid_is_not_tried_where_lossless_takes_next_to_nothing(monkeypatch):
    values_of_leaves = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    grid = from_dense(np.tile(values_of_leaves, (5, 4, 4)), name="tiles", active=np.ones((40, 32, 32), bool))
    context = EncodeContext.of(CompressSettings(threads=1, bounds=BOUNDS))
    monkeypatch.setattr(values.encoder, "encode", None)
    assert values.choose_values(grid.tree, sample_promise("fog", max_error=0.01), context).codec == 0
