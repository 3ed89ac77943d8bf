"""A picture that lacks a little is mended by values that are stored exactly, wherever and however a grid is encoded."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.picture import measured_t_psnr, ray_sums, t_psnr
from neuralvdb.values import encoder, mending
from neuralvdb.values.decoder import ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import chunks
from neuralvdb.values.mending import MOST, PictureBound, voxels_to_mend
from neuralvdb.values.outliers import Voxels
from neuralvdb.values.promise import Promise, mean_promise
from neuralvdb.vdb import from_dense
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import LeafLevel, unpack


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 8)


def smoke(half: bool = False) -> Tree:
    """Rough smoke with holes, an infinity and a value below zero, over several lower nodes."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    ball = np.maximum(0, 1 - x * x - y * y - z * z)
    rng = np.random.default_rng(0)
    values = (ball * (1 + rng.random(ball.shape)) * np.exp(2 * x)).astype(np.float32)
    values[20, 20, 20], values[30, 20, 20] = np.inf, -0.001
    if half:
        values = values.astype(np.float16).astype(np.float32)
    active = (ball > 0) & (rng.random(ball.shape) < 0.9)
    return from_dense(values, name="g", active=active, origin=(100, -20, 120)).tree


def promised(tree: Tree, more: float, **options) -> Promise:
    """A promise of so many dB more than its step reaches."""
    promise = mean_promise(step=0.02, knee=0.02, **options)
    reached = measured_t_psnr(tree, encoder.encode(tree, promise).tree)
    return replace(promise, bound=replace(promise.bound, picture=reached + more))


def mended(tree: Tree, decoded: Tree, least: float, most: int = 1 << 20) -> Voxels | None:
    return voxels_to_mend(tree, decoded, (ray_sums(tree), ray_sums(decoded)), PictureBound(promised=least, most=most))


def stored(tree: Tree, decoded: Tree, voxels: Voxels) -> Tree:
    values = decoded.leaf.values.copy()
    values[voxels.leaf, voxels.voxel] = tree.leaf.values[voxels.leaf, voxels.voxel]
    return replace(decoded, leaf=LeafLevel(tree.leaf.active, values))


@pytest.mark.parametrize("more", [0.01, 0.3, 0.9])
def test_few_voxels_mend_a_picture(more):
    tree = smoke()
    decoded = encoder.encode(tree, mean_promise(step=0.02, knee=0.02)).tree
    least = t_psnr(tree, decoded) + more
    voxels = mended(tree, decoded, least)
    assert least <= t_psnr(tree, stored(tree, decoded, voxels)) < least + 0.2
    assert 0 < len(voxels.leaf) < 0.01 * unpack(tree.leaf.active).sum()
    slots = voxels.leaf * 512 + voxels.voxel
    assert (np.diff(slots) > 0).all() and unpack(tree.leaf.active).reshape(-1)[slots].all()
    before, after = (each.leaf.values[voxels.leaf, voxels.voxel] for each in (tree, decoded))
    assert (before != after).all()


def test_voxels_at_random_mend_far_less():
    tree = smoke()
    decoded = encoder.encode(tree, mean_promise(step=0.02, knee=0.02)).tree
    before = t_psnr(tree, decoded)
    voxels = mended(tree, decoded, before + 0.5)
    active = np.flatnonzero(unpack(tree.leaf.active))
    random = np.sort(np.random.default_rng(1).choice(active, len(voxels.leaf), replace=False))
    assert t_psnr(tree, stored(tree, decoded, Voxels(*np.divmod(random, 512)))) < before + 0.1


def test_what_lacks_much_is_left():
    tree = smoke()
    decoded = encoder.encode(tree, mean_promise(step=0.02, knee=0.02)).tree
    least = t_psnr(tree, decoded) + 0.5
    assert mended(tree, decoded, least - 0.5 + MOST + 0.01) is None
    count = len(mended(tree, decoded, least).leaf)
    assert mended(tree, decoded, least, count) and not mended(tree, decoded, least, count - 1)


def test_what_no_voxel_mends_is_left(monkeypatch):
    """Rounds end when they are of no use."""
    monkeypatch.setattr(mending, "_FEWEST", 1)
    monkeypatch.setattr(mending, "_SHARE", 0)
    tree = smoke()
    decoded = encoder.encode(tree, mean_promise(step=0.02, knee=0.02)).tree
    assert mended(tree, decoded, t_psnr(tree, decoded) + 0.9) is None


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("max_error", [np.inf, 0.05])
def test_an_encoder_keeps_the_picture(half, max_error):
    """Beside values that miss a bound, which are outliers, too."""
    tree = smoke(half)
    promise = promised(tree, 0.5, half=half, max_error=max_error)
    coded = encoder.encode(tree, promise)
    assert len(list(chunks.chunks_of(tree))) > 1
    assert coded.picture == measured_t_psnr(tree, coded.tree) >= promise.bound.picture
    decoded = ValuesDecoder(ValuesSource.of(coded, "test")).decode().leaf.values
    assert decoded.tobytes() == coded.tree.leaf.values.tobytes()
    assert promise.kept(tree.leaf.values, decoded)[unpack(tree.leaf.active)].all()
    without = encoder.encode(tree, replace(promise, bound=replace(promise.bound, picture=0.0)))
    assert without.picture is None and abs(coded.size - without.size) < 0.1 * without.size


def test_a_picture_that_lacks_much_is_told():
    tree = smoke()
    promise = promised(tree, MOST + 0.1)
    coded = encoder.encode(tree, promise)
    assert coded.picture == pytest.approx(promise.bound.picture - MOST - 0.1)


@pytest.mark.parametrize("half", [False, True])
def test_bytes_are_the_same_whoever_encodes(half):
    pytest.importorskip("triton")
    tree = smoke(half)
    promise = promised(tree, 0.5, half=half, max_error=0.05)
    coded = encoder.encode(tree, promise)
    for options in (
        EncodeOptions(threads=2),
        EncodeOptions(sums=ray_sums(tree)),
        EncodeOptions(devices=("cpu",), implementation="reference"),
    ):
        other = encoder.encode(tree, promise, options)
        assert (other.payload, other.chunks, other.picture) == (coded.payload, coded.chunks, coded.picture)
        assert other.tree.leaf.values.tobytes() == coded.tree.leaf.values.tobytes()
