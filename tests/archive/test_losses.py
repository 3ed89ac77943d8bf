"""What an archive says of the loss of its fog is what a reader of both files measures."""

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import NO_GRID
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.guarantee import kept
from neuralvdb.codec.loss import MeasuredLoss, pack_losses, unpack_losses
from neuralvdb.errors import DamagedFile
from neuralvdb.picture import t_psnr, value_errors
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume.grid import unpack

GOLDEN = "02 00 b022 8623 e905 80da1a a001 00 00 01 a08d06"
LOSSES = {
    0: MeasuredLoss(promised_picture=44.0, picture=44.85, mean_error=0.00745, voxel_error=4.37504),
    160: MeasuredLoss(promised_picture=0.0, picture=None, mean_error=1e-5, voxel_error=1.0),
}


def test_bytes():
    assert pack_losses(LOSSES).hex() == bytes.fromhex(GOLDEN).hex()
    assert unpack_losses(bytes.fromhex(GOLDEN), "here") == LOSSES


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"\xff\xff\xff\x7f" + b[1:]])
def test_damage_is_noticed(damage):
    with pytest.raises(DamagedFile, match="here: "):
        unpack_losses(damage(bytes.fromhex(GOLDEN)), "here")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A .vdb of a rough ball as density, as vectors and as half, and its archive."""
    folder = tmp_path_factory.mktemp("losses")
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 16)] * 3, indexing="ij")
    ball = np.maximum(0, 1 - x * x - y * y - z * z) * (1 + np.random.default_rng(0).random(x.shape))
    values = ball.astype(np.float32)
    grids = [
        from_dense(values, name="density", active=values > 0),
        from_dense(np.stack([values] * 3, -1), name="v", active=values > 0),
        from_dense(values, name="light", active=values > 0, properties=GridProperties(half=True)),
    ]
    write_vdb(folder / "a.vdb", grids)
    bounds = (Bound(value=0.01, relative=True, grid="light"),)
    settings = CompressSettings(quality="production", bounds=bounds)
    report = neuralvdb.compress(folder / "a.vdb", folder / "a.neuralvdb", settings)
    return folder / "a.vdb", folder / "a.neuralvdb", report


def test_an_archive_says_what_is_measured(files, spec_reader):
    source, archive, report = files
    (section,) = [s for s in spec_reader.read_sections(archive.read_bytes()) if s.kind == "LOSS"]
    assert not section.required
    by_text = spec_reader.read_losses(section)
    with FrameReader(archive) as frame:
        losses = [frame.loss(number) for number in range(3)]
        assert [loss is not None for loss in losses] == [True, False, True]
        assert set(by_text) == {0, 2}
        assert [loss.promised_picture for loss in losses if loss] == [44, 0]
        for number, original in enumerate(VdbReader(source)):
            loss, decoded = losses[number], frame.read(number)
            assert getattr(report.promises.get(original.name), "measured", None) == loss
            if loss is None:
                continue
            assert tuple(vars(loss).values()) == by_text[number]
            span = float(np.ptp(original.tree.leaf.values[unpack(original.tree.leaf.active)]))
            errors = value_errors(original.tree.leaf, decoded.tree.leaf)
            assert 0 <= t_psnr(original.tree, decoded.tree) - loss.picture < 0.01
            assert 0 <= loss.voxel_error - errors.voxel / span < 2e-5
            assert 0 <= loss.mean_error - errors.mean / span < 2e-5
    assert losses[0].picture >= 44
    assert losses[0].mean_error < losses[0].voxel_error / 3


def test_a_picture_that_is_not_kept_is_noticed(files):
    """Every value off by a tenth breaks no bound of voxels, for there is none."""
    source, archive, _ = files
    with FrameReader(archive) as frame:
        promise, original, decoded = frame.promise(0), VdbReader(source).read(0), frame.read(0)
    assert kept(promise, original, decoded)
    decoded.tree.leaf.values[unpack(decoded.tree.leaf.active)] *= np.float32(1.1)
    assert not kept(promise, original, decoded)


def test_lossless_archives_say_nothing(made_archive):
    with FrameReader(made_archive) as frame:
        assert frame.index.find("LOSS", NO_GRID) is None
        assert frame.loss(0) is None
