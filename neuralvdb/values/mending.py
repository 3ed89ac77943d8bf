"""Mends a picture that lacks a little: some values are stored exactly, along the rays that are furthest off.

Most of what a picture lacks is on few rays, and there in few voxels: half a dB takes a fifth to a half of the bytes
that a finer step would take, and nothing is encoded again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.picture import RaySums, Sums, extinction, ray_tiles, squared_error, visible
from neuralvdb.values.outliers import Voxels
from neuralvdb.volume.grid import LEAF_SLOTS, LeafLevel, Tree

MOST = 1.0  # dB that are mended
_ABOVE = 0.005  # dB more than promised that are aimed at
_ROUNDS = 8  # the least share of what is lacking that one of so many has to make up for
_ENOUGH = 2.0  # times what is lacking is by what the rays of a round are off, but
_FEWEST, _SHARE = 64, 1 / 64  # they are so many at least, and such a share of all at most
_GOOD = 0.25  # of what the best voxel of a ray gains
_AT_A_TIME = 512  # rays
_RAYS, _DEPTH = 64, 8  # rays of a tile, voxels of a leaf along one of them
_LINES = [np.moveaxis(np.arange(LEAF_SLOTS).reshape((8,) * 3), axis, 2).reshape(_RAYS, _DEPTH) for axis in range(3)]
_RAY_OF = [np.argsort(lines.reshape(-1)) // _DEPTH for lines in _LINES]  # of a voxel, in the tile of its leaf


@dataclass(frozen=True, kw_only=True)
class PictureBound:
    """What a picture has to be, and what that may cost. promised: T-PSNR in dB. most: voxels that are stored for it."""

    promised: float
    most: int


def voxels_to_mend(original: Tree, decoded: Tree, sums: tuple[Sums, Sums], bound: PictureBound) -> Voxels | None:
    """The active voxels to store exactly for a picture as promised, which it is not; None where it lacks too much.

    original, decoded: scalar trees that differ in active values of leaves alone. sums: theirs.
    """
    images = [
        _Image(axis, tiles, *both) for axis, (tiles, *both) in enumerate(zip(ray_tiles(original), *sums, strict=True))
    ]
    rays = sum(int((image.sums > 0).sum()) for image in images)
    aim, enough, most = (squared_error(bound.promised + more) * rays for more in (_ABOVE, 0.0, -MOST))
    mending = _Mending(original.leaf, decoded.leaf, images)
    off = mending.off()
    while off <= most and mending.count <= bound.most:
        if off < enough:
            return mending.voxels()
        mending.choose(off - aim)
        last, off = off, mending.off()
        if (last - off) * _ROUNDS < off - aim:
            break
    return None


class _Image:
    """The rays along an axis, and by how much those of the decoded grid are off.

    tiles: (N,) int64, which tile each leaf projects to. Rays are numbered tile by tile.
    """

    def __init__(self, axis: int, tiles: np.ndarray, before: RaySums, after: RaySums) -> None:
        self._axis, self._tiles = axis, tiles
        self.sums = before.sums.reshape(-1)
        self._errors = after.sums.reshape(-1) - self.sums
        self._factor = extinction(self.sums) or 0.0
        self._leaves = np.argsort(tiles, kind="stable")  # tile by tile
        self._ends = np.cumsum(np.bincount(tiles, minlength=len(before.tiles)))
        self._measure()

    def _measure(self) -> None:
        """Finds by how much the transmittance of rays is off, and how it changes with their sums."""
        decoded = np.exp(-self._factor * (self.sums + self._errors))
        self.off = np.exp(-self._factor * self.sums) - decoded
        self._slopes = self._factor * decoded

    def rays_at(self, voxels: Voxels) -> np.ndarray:
        """(n,) int64: the rays that voxels lie on."""
        return self._tiles[voxels.leaf] * _RAYS + _RAY_OF[self._axis][voxels.voxel]

    def voxels_along(self, rays: np.ndarray) -> tuple[Voxels, np.ndarray]:
        """The voxels of leaves along rays, ray by ray, and how many (n,) there are along each."""
        tile, within = np.divmod(rays, _RAYS)
        first = np.append(0, self._ends)[tile]
        leaves = self._ends[tile] - first
        which = np.repeat(np.arange(len(rays)), leaves)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(leaves) - leaves, leaves)
        leaf = np.repeat(self._leaves[first[which] + nth], _DEPTH)
        return Voxels(leaf, _LINES[self._axis][within[which]].reshape(-1)), leaves * _DEPTH

    def gains(self, voxels: Voxels, errors: np.ndarray) -> np.ndarray:
        """(n,) by how much the square of what a ray is off by shrinks, nearly, where a voxel's error goes."""
        rays = self.rays_at(voxels)
        change = self._slopes[rays] * errors
        gains: np.ndarray = change * (2 * self.off[rays] - change)
        return gains

    def bears(self, voxels: Voxels, errors: np.ndarray) -> np.ndarray:
        """(n,) bool: voxels that may go together, the first of each ray, and others as long as they make up for no more
        than half of its error."""
        rays = self.rays_at(voxels)
        order = np.argsort(rays, kind="stable")
        rays, total = rays[order], np.cumsum(np.abs(errors[order]))
        begins = np.flatnonzero(np.diff(rays, prepend=-1))
        before = np.append(0, total)[begins]
        within = total - np.repeat(before, np.diff(begins, append=len(rays))) <= np.abs(self._errors[rays]) / 2
        within[begins] = True
        bears = np.empty(len(rays), bool)
        bears[order] = within
        return bears

    def mend(self, voxels: Voxels, errors: np.ndarray) -> None:
        """Takes the errors (n,) of voxels from those of their rays."""
        self._errors -= np.bincount(self.rays_at(voxels), errors, len(self._errors))
        self._measure()


class _Mending:
    """Chooses voxels round by round."""

    def __init__(self, original: LeafLevel, decoded: LeafLevel, images: Sequence[_Image]) -> None:
        self._original, self._decoded, self._images = original, decoded, images
        self._stored = np.zeros(0, np.int64)  # leaf * LEAF_SLOTS + voxel, in order

    @property
    def count(self) -> int:
        """How many are chosen."""
        return len(self._stored)

    def off(self) -> float:
        """By how much all rays are off, in squares of transmittance."""
        return sum(float((image.off**2).sum()) for image in self._images)

    def voxels(self) -> Voxels:
        """Those chosen, in order."""
        return _voxels(self._stored)

    def choose(self, lacking: float) -> None:
        """Chooses voxels that make up for squares of transmittance, or for some."""
        slots = [self._good(image, rays) for image, rays in zip(self._images, self._worst(lacking), strict=True)]
        slot = np.sort(np.concatenate(slots))
        slot = slot[np.diff(slot, prepend=-1) > 0]
        voxels = _voxels(slot)
        errors, gains = self._errors(voxels), self._gains(voxels)
        order = np.argsort(-gains.astype(np.float32), kind="stable")  # the same on every machine
        voxels, errors = voxels.select(order), errors[order]
        kept = np.flatnonzero(np.all([image.bears(voxels, errors) for image in self._images], 0))
        kept = kept[: np.searchsorted(np.cumsum(gains[order][kept]), lacking) + 1]
        for image in self._images:
            image.mend(voxels.select(kept), errors[kept])
        self._stored = np.sort(np.concatenate([self._stored, slot[order][kept]]))

    def _worst(self, lacking: float) -> list[np.ndarray]:
        """The rays of each image that are furthest off, of all images."""
        squares = [(image.off**2).astype(np.float32) for image in self._images]
        together = np.concatenate(squares)
        most = min(max(_FEWEST, int(len(together) * _SHARE)), len(together))
        worst = np.flatnonzero(together >= np.partition(together, -most)[-most])
        order = worst[np.argsort(-together[worst], kind="stable")][:most]
        order = order[: np.searchsorted(np.cumsum(together[order], dtype=np.float64), _ENOUGH * lacking) + _FEWEST]
        firsts = np.cumsum([0, *map(len, squares)])
        return [order[(order >= a) & (order < b)] - a for a, b in itertools.pairwise(firsts)]

    def _good(self, image: _Image, rays: np.ndarray) -> np.ndarray:
        """(n,) int64, leaf * LEAF_SLOTS + voxel: those along some rays that gain most."""
        good = [self._stored[:0]]
        for begin in range(0, len(rays), _AT_A_TIME):
            voxels, counts = image.voxels_along(rays[begin : begin + _AT_A_TIME])
            gains = self._gains(voxels)
            best = np.repeat(np.maximum.reduceat(gains, np.cumsum(counts) - counts), counts)
            at = np.flatnonzero((gains > 0) & (gains >= _GOOD * best))
            good.append(voxels.leaf[at] * LEAF_SLOTS + voxels.voxel[at])
        return np.concatenate(good)

    def _gains(self, voxels: Voxels) -> np.ndarray:
        """By how much less all rays are off, in squares, where voxels are stored."""
        errors = self._errors(voxels)
        gains: np.ndarray = np.sum([image.gains(voxels, errors) for image in self._images], axis=0)
        return gains

    def _errors(self, voxels: Voxels) -> np.ndarray:
        """By how much voxels are off; 0 where they are inactive or chosen."""
        at = voxels.leaf, voxels.voxel
        true, decoded = (visible(leaf.values.reshape(-1, LEAF_SLOTS)[at]) for leaf in (self._original, self._decoded))
        on = self._original.active[voxels.leaf, voxels.voxel >> 3] >> (voxels.voxel & 7).astype(np.uint8) & 1
        slots = voxels.leaf * LEAF_SLOTS + voxels.voxel
        is_stored = np.append(self._stored, -1)[np.searchsorted(self._stored, slots)] == slots
        errors: np.ndarray = np.where((on == 1) & ~is_stored, decoded - true, 0.0)
        return errors


def _voxels(slots: np.ndarray) -> Voxels:
    """The voxels at leaf * LEAF_SLOTS + voxel."""
    return Voxels(*np.divmod(slots, LEAF_SLOTS))
