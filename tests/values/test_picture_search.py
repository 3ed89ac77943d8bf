"""A preset's picture is reached on every kind of fog, and not by far; what has no picture keeps the preset's step."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.api.compress import compress
from neuralvdb.api.decompress import decompress
from neuralvdb.cli.loss import compress_text, promise_text
from neuralvdb.codec.encode import encode_values
from neuralvdb.codec.guarantee import OUTLIERS, active_range, promise_for
from neuralvdb.picture import estimated_t_psnr, ray_sums, ray_tiles, t_psnr, value_errors
from neuralvdb.presets import MeanQuality, presets
from neuralvdb.settings import CompressSettings, DecompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.context import EncodeContext, shipped_models
from neuralvdb.values.lattice import chunks
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.promise import Promise, mean_promise
from neuralvdb.values.select import picture_search, strategy
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.picture_search import guess_step
from neuralvdb.values.select.stand_in import leaves_that_stand, stand_in
from neuralvdb.values.value_range import ranges_of
from neuralvdb.vdb import GridsInMemory, VdbReader, from_dense
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import unpack

QUALITY = CompressSettings(quality="production", effort=0)


def wisp(size: int = 32, dtype=np.float32, **options) -> VolumeGrid:
    """Smoke that thins out to one side, rough, in a ball."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij")
    ball = np.maximum(0, 1 - x * x - y * y - z * z)
    rough = 1 + np.sin(9 * x + 4 * y) * np.cos(7 * z - 3 * x) + np.random.default_rng(0).random(ball.shape) / 4
    return from_dense((ball * rough * np.exp(2 * x)).astype(dtype), name="density", active=ball > 0, **options)


@pytest.mark.parametrize("quality", ["preview", "production", "master"])
def test_the_picture_is_reached_but_not_by_far(quality):
    grid, least = wisp(), presets()[quality].fog.picture
    coded = encode_values(grid, replace(QUALITY, quality=quality))
    assert coded.codec == 1 and coded.head.promise.bound.picture == least
    assert least <= t_psnr(grid.tree, coded.tree) < least + 2


def test_a_fine_tuned_grid_keeps_its_picture():
    grid = wisp()
    coded = encode_values(grid, replace(QUALITY, effort=2))
    assert t_psnr(grid.tree, coded.tree) >= presets()["production"].fog.picture


class Sink:
    """Forgets residuals."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        pass

    def end(self) -> None:
        pass


def definition(grid: VolumeGrid, promise: Promise) -> np.ndarray:
    """Values (N, 512) that the definition's networks of zeros give, without dead zones and outliers."""
    lattice = lattice_of(LatticeKind.MEAN)
    networks = {key: interpolation_only(lattice.inputs_of(key.phase)) for key in KEYS}
    predictor = Predictor(networks, implementation="reference")
    promise = replace(promise, ranges=ranges_of(grid.tree, half=promise.mode.half))
    values = grid.tree.leaf.values.copy()
    for chunk in chunks.chunks_of(grid.tree):
        component = chunks.ChunkComponent.of(grid.tree, chunk, 0)
        lattice_values = lattice(quantiser=promise.quantiser, predictor=predictor).encode(component, [Sink()] * 4)
        decoded = promise.decoded(lattice_values[: len(component)], values.dtype, 0)
        values[chunk.leaves] = np.where(unpack(grid.tree.leaf.active[chunk.leaves]), decoded, values[chunk.leaves])
    return values


def test_a_stand_in_is_what_networks_of_zeros_decode_to(monkeypatch):
    monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 8)  # boxes that end between leaves
    grid = wisp(origin=(124, -9, 3))
    promise = mean_promise(step=0.05, knee=0.02, nonnegative=True, half=True)
    assert len(list(chunks.chunks_of(grid.tree))) > 1
    np.testing.assert_array_equal(
        stand_in(grid.tree, promise, np.arange(len(grid.tree.leaf))).values, definition(grid, promise)
    )


def test_outliers_of_a_stand_in_are_exact():
    grid = wisp()
    first = np.argmax(unpack(grid.tree.leaf.active)[0])
    grid.tree.leaf.values[0, first] = np.inf
    decoded = stand_in(grid.tree, mean_promise(step=0.05), np.arange(len(grid.tree.leaf)))
    assert decoded.values[0, first] == np.inf


def test_some_leaves_stand_for_a_large_grid(monkeypatch):
    """All those along some rays; the step that they suggest is nearly that of all leaves."""
    monkeypatch.setattr("neuralvdb.values.select.stand_in._BUNDLES", 4)
    grid = wisp(96)
    promise, sums = promise_for(grid, QUALITY), ray_sums(grid.tree)
    candidate = Candidate(models=shipped_models(), promise=promise, sums=sums)
    standing = leaves_that_stand(grid.tree, sums)
    assert 128 <= len(standing.leaves) < len(grid.tree.leaf) / 2
    for tile_of, sample in zip(ray_tiles(grid.tree), standing.tiles, strict=True):
        assert 12 <= len(sample.tiles) <= 24 and sample.weights.min() >= 1
        assert np.isin(np.flatnonzero(np.isin(tile_of, sample.tiles)), standing.leaves).all()
    replacement = stand_in(grid.tree, promise, standing.leaves)
    assert (replacement.values != grid.tree.leaf.values[standing.leaves]).any(1).mean() > 0.5
    guess = guess_step(grid.tree, candidate).promise.mode.step
    monkeypatch.setattr("neuralvdb.values.select.stand_in._LARGE", 1 << 20)
    assert guess == pytest.approx(guess_step(grid.tree, candidate).promise.mode.step, rel=0.1)


def test_all_tiles_estimate_the_picture_exactly():
    grid = wisp()
    sums, decoded = ray_sums(grid.tree), encode_values(grid, QUALITY).tree
    estimate = estimated_t_psnr(sums, ray_sums(decoded), leaves_that_stand(grid.tree, sums).tiles)
    assert estimate == pytest.approx(t_psnr(grid.tree, decoded), abs=1e-9)


def test_a_grid_is_encoded_once(monkeypatch):
    """What the guess lacks is mended."""
    calls = []
    monkeypatch.setattr(picture_search, "_MARGIN", 0.0)
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda *args: calls.append(args) or encode(*args))
    grid = wisp(48)
    coded = encode_values(grid, QUALITY)
    assert coded.picture >= 44 and len(calls) == 1


def test_steps_are_bounded_where_any_picture_would_do():
    """One voxel that outshines all others makes them invisible; they are coded nearly as finely as ever."""
    grid = wisp()
    asked = promise_for(grid, QUALITY).mode.step
    grid.tree.leaf.values[0, np.argmax(unpack(grid.tree.leaf.active)[0])] = 1e30
    step = encode_values(grid, QUALITY).head.promise.mode.step
    assert 1.3 < step / asked < 1.5


def test_what_has_no_picture_keeps_the_step_of_the_preset():
    signed = wisp()
    signed.tree.leaf.values[:] -= 0.5
    assert promise_for(signed, QUALITY).bound.picture == 0
    noisy = wisp()
    noisy.tree.leaf.values[0] -= 1e-4
    assert promise_for(noisy, QUALITY).bound.picture == 44
    too_bright = wisp(dtype=np.float64)  # for the floats of a renderer
    too_bright.tree.leaf.values[:] = 1e39 * (1 + too_bright.tree.leaf.values)
    promise = promise_for(too_bright, QUALITY)
    coded = strategy.encode_lossy(too_bright.tree, promise, EncodeContext.of(QUALITY))
    assert (coded.head.promise.bound.picture, coded.head.promise.mode.step) == (0, promise.mode.step)


def test_a_picture_that_is_not_reached_is_not_promised(monkeypatch):
    monkeypatch.setattr(strategy, "TRIES", 1)
    grid = wisp()
    asked = promise_for(grid, QUALITY)
    coded = strategy.encode_lossy(
        grid.tree, replace(asked, bound=replace(asked.bound, picture=119.995)), EncodeContext.of(QUALITY)
    )
    assert (coded.head.promise.bound.picture, coded.head.promise.mode.step) == (0, asked.mode.step)


def test_steps_are_the_same_on_every_machine():
    """Those of a picture that differs in its last bits round to the same number."""
    promise = mean_promise(step=0.0123)
    steps = {picture_search.scaled(promise, 0.217 + error).mode.step for error in (-1e-12, 0, 1e-12)}
    assert len(steps) == 1 and steps.pop() == float(np.float32(0.0123 * np.exp(0.217)))


def test_presets_of_ones_own_may_promise_a_picture(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[hero]\nfog = { picture = 60, step = 0.001, knee = 0 }\n")
    assert presets(str(path))["hero"].fog == MeanQuality(picture=60, step=0.001)


def test_presets_of_ones_own_may_cap_errors_of_voxels(tmp_path):
    """Beside the picture: so that the archive, the check and what people read say both."""
    path, archive = tmp_path / "mine.toml", tmp_path / "fog.neuralvdb"
    path.write_text("[capped]\nfog = { picture = 35, step = 0.012, knee = 0.005, rel_error = 0.05 }\n")
    grid = wisp()
    low, high = active_range(grid, OUTLIERS)
    errors = {}
    for quality in ("preview", "capped"):
        settings = CompressSettings(quality=quality, presets_file=str(path), force=True)
        report = compress(GridsInMemory([grid]), archive, settings)
        decompress(archive, tmp_path / "fog.vdb", DecompressSettings(force=True))
        decoded = VdbReader(tmp_path / "fog.vdb").read(0)
        errors[quality] = value_errors(grid.tree.leaf, decoded.tree.leaf).voxel / (high - low)
        assert t_psnr(grid.tree, decoded.tree) >= 35
    assert errors["preview"] > 0.06 and errors["capped"] <= 0.05
    text = compress_text(report, settings)
    assert "LOSSY capped" in text and "picture 3" in text and "voxels within" in text
    assert "picture 35 dB, max error" in promise_text(report.promises, {})
