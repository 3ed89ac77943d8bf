"""Masks coded in C++, one call each: native/mask.h, the twin of code_mask.code_mask()."""

from __future__ import annotations

import functools

import numpy as np

from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.topology import _topology, priors
from neuralvdb.topology.code_mask import MaskTask
from neuralvdb.topology.inputs import ORDER, Family, octants, offsets


class NativeEncoder:
    """Puts the bits of masks into `coder`."""

    def __init__(self, coder: Encoder, threads: int) -> None:
        self._coder, self._threads = coder, threads

    def code_mask(self, task: MaskTask) -> np.ndarray:
        """The mask (B, 64) uint8, which `task.truth` is."""
        assert task.truth is not None, "an encoder knows its bits"
        coded = _topology.encode_mask(*_networks(task.families), _bricks(task), task.truth, self._threads)
        self._coder.put_batches(*coded)
        return task.truth


class NativeDecoder:
    """Takes the bits of masks from `coder`."""

    def __init__(self, coder: Decoder, threads: int) -> None:
        self._coder, self._threads = coder, threads

    def code_mask(self, task: MaskTask) -> np.ndarray:
        """The mask (B, 64) uint8. Raises DamagedFile."""
        source, codes = self._coder.source, priors.load().tables.codes
        payload = _topology.Payload(source.states, source.words, source.at, source.ends, source.taken)
        mask, missing = _topology.decode_mask(*_networks(task.families), _bricks(task), codes, payload, self._threads)
        self._coder.check(missing)
        return mask


def _bricks(task: MaskTask) -> _topology.Bricks:
    neighbours = task.neighbours
    octant = octants(neighbours.coords).astype(np.uint8)
    return _topology.Bricks(neighbours.near, octant, task.reference, task.skip_reference)


@functools.cache
def _networks(families: tuple[Family, ...]) -> tuple[_topology.Networks, list[int]]:
    """The package's networks of some families as C++ has them, and the number of each family there."""
    networks, distinct = priors.load().networks, list(dict.fromkeys(families))
    native = [
        (pack_for_native(networks[family.name, phase]), *offsets(family, phase), list(family.levels))
        for family in distinct
        for phase in range(len(ORDER))
    ]
    return _topology.Networks(native), [distinct.index(family) for family in families]
