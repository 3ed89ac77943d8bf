"""What a grid on the mean lattice will look like, sooner than by encoding it: residuals of interpolation, no networks,
and of a large grid those leaves alone that some bundles of rays pass.

The error of a picture hardly depends on who predicts, because the steps are the same and the residual rule is. Bundles
of which more is seen, whose rays are neither empty nor dark, are chosen more often and count for less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.picture import RaySums, Replacement, Sums, TileSample, extinction, ray_tiles
from neuralvdb.threads import run_in_order
from neuralvdb.topology.chunks import value_groups
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent, ChunkThreads, chunks_of
from neuralvdb.values.lattice.coding import SymbolSink
from neuralvdb.values.lattice.constants import LAYERS, ROWS_AT_A_TIME, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.levels import pieces
from neuralvdb.values.lattice.native import NativeLattice
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.leaf_values import LeafValues
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.values.value_range import ranges_of
from neuralvdb.volume.grid import LEAF_SLOTS, LeafLevel, Tree, leaf_origins
from neuralvdb.volume.lookup import distinct

_LARGE = 1024  # leaves, from which on some will do
_BUNDLE = 16  # rays along an edge of what is chosen together
_BUNDLES, _SHARE = 8, 1 / 32  # of an image, so many and such a share of them
_EVEN = 0.2  # share of the chances that all have alike
_NOTHING = 1e-300  # of anything to be seen
_HAZE = 0.02  # squared optical depth of rays whose errors are as large as those of empty ones


@dataclass(frozen=True)
class Standing:
    """Leaves (n,) int64 that a stand-in codes, and tiles of each image that it is judged by."""

    leaves: np.ndarray
    tiles: Sequence[TileSample]


def leaves_that_stand(tree: Tree, sums: Sums) -> Standing:
    """All leaves of a tree, or all those along some rays. sums: of the tree."""
    if len(tree.leaf) < _LARGE:
        every = [TileSample(np.arange(len(image.tiles)), np.ones(len(image.tiles))) for image in sums]
        return Standing(np.arange(len(tree.leaf)), every)
    stands, samples = np.zeros(len(tree.leaf), bool), [_sample_tiles(image) for image in sums]
    for image, sample, tile_of in zip(sums, samples, ray_tiles(tree), strict=True):
        in_sample = np.zeros(len(image.tiles), bool)
        in_sample[sample.tiles] = True
        stands |= in_sample[tile_of]
    return Standing(np.flatnonzero(stands), samples)


def _sample_tiles(image: RaySums) -> TileSample:
    """Tiles of an image, in bundles spread over it."""
    first, bundle_of = distinct(image.origins // _BUNDLE)
    depth = image.sums * (extinction(image.sums) or 0.0)
    visible = (np.exp(-2 * depth) * (depth**2 + _HAZE * (depth > 0))).sum((1, 2))
    share = (1 - _EVEN) * visible / max(float(visible.sum()), _NOTHING) + _EVEN / len(visible)
    likelihood = np.minimum(1, np.bincount(bundle_of, share) * (_BUNDLES + _SHARE * len(first)))
    is_taken = np.diff(np.floor(np.cumsum(likelihood) + 0.5), prepend=0) > 0
    tiles = np.flatnonzero(is_taken[bundle_of])
    return TileSample(tiles, 1 / likelihood[bundle_of[tiles]])


def stand_in(
    tree: Tree, promise: Promise, leaves: np.ndarray, devices: Sequence[str] = (), *, threads: int = 1
) -> Replacement:
    """Nearly what some leaves of a scalar tree decode to under a promise of the mean lattice: the same values on every
    device.

    leaves: (n,) int64, coded without the others, which stay as they are. Raises OutOfMemory where a device has too
    little.
    """
    promise = replace(promise, ranges=ranges_of(tree, half=promise.mode.half, threads=threads))
    chunks = _chunks(tree, leaves)
    if devices:
        values = _on_devices(tree, chunks, promise, devices)[leaves]
    else:
        values = _on_host(tree, chunks, promise, leaves, threads)
    return Replacement(leaves, values.reshape(len(leaves), -1))


def _chunks(tree: Tree, leaves: np.ndarray) -> Iterator[Chunk]:
    """The chunks of some leaves of a tree."""
    groups = value_groups(leaf_origins(tree)[leaves])
    return chunks_of(tree, [replace(group, leaves=leaves[group.leaves]) for group in groups])


def _on_host(tree: Tree, chunks: Iterator[Chunk], promise: Promise, leaves: np.ndarray, threads: int) -> np.ndarray:
    """Values (n, 512, 1) of leaves (n,), which are those of the chunks."""
    number_of = np.zeros(len(tree.leaf), np.int64)
    number_of[leaves] = np.arange(len(leaves))
    share = ChunkThreads.of(len(tree.leaf), threads)
    lattice = NativeLattice(LatticeKind.MEAN, promise.quantiser, Predictor({}, threads=share.each))
    values = np.empty((len(leaves), LEAF_SLOTS, 1), tree.leaf.values.dtype)

    def put(chunk: Chunk) -> None:
        values[number_of[chunk.leaves]] = _of_chunk(tree, chunk, promise, lattice, share.each)

    work = (partial(put, chunk) for chunk in chunks)
    for _ in run_in_order(work, threads=share.at_once, most_waiting=share.at_once + 1):
        pass
    return values


def _of_chunk(tree: Tree, chunk: Chunk, promise: Promise, lattice: NativeLattice, threads: int) -> np.ndarray:
    """Values (n, 512, 1) of the leaves of a chunk."""
    few = replace(tree, leaf=LeafLevel(tree.leaf.active[chunk.leaves], tree.leaf.values[chunk.leaves]))
    chunk = replace(chunk, leaves=np.arange(len(few.leaf)))
    component = ChunkComponent.of(few, chunk, 0)
    decoded = LeafValues(few, promise, np.empty_like(by_component(few.leaf)), threads)
    nowhere: Sequence[SymbolSink] = [_Nowhere()] * LAYERS
    decoded.fill(chunk, 0, lattice.encode(component, nowhere, np.zeros(SCALE_CLASSES)))
    for piece in pieces(len(component), ROWS_AT_A_TIME):
        true = component.rows(piece)
        if not promise.keeps_any(true):
            values = decoded.values[piece, :, 0]
            decoded.values[piece, :, 0] = np.where(promise.kept(true, values), values, true)  # outliers are exact
    return decoded.values


def _on_devices(tree: Tree, chunks: Iterator[Chunk], promise: Promise, devices: Sequence[str]) -> np.ndarray:
    """Twin of _on_host() on devices."""
    from neuralvdb.values.device.encoder import DeviceEncoder

    inputs_of = lattice_of(LatticeKind.MEAN).inputs_of
    networks = {key: interpolation_only(inputs_of(key.phase)) for key in KEYS}
    encoder = DeviceEncoder(
        tree=tree, promise=promise, networks=networks, dead_zone=np.zeros(SCALE_CLASSES), devices=devices
    )
    return encoder.encode(chunks)[0]


class _Nowhere:
    """Forgets residuals."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """As SymbolSink has it."""

    def end(self) -> None:
        """As SymbolSink has it."""
