"""Masks coded in C++, one call each: native/mask.h, the twin of code_mask.code_mask()."""

from __future__ import annotations

import functools

import numpy as np

from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.topology import _topology, priors
from neuralvdb.topology.code_mask import MaskTask
from neuralvdb.topology.inputs import FAMILIES, ORDER, octants, offsets

_NUMBERS = {family.name: number for number, family in enumerate(FAMILIES)}


class NativeEncoder:
    """Puts the bits of masks into `coder`."""

    def __init__(self, coder: Encoder, threads: int) -> None:
        self._coder, self._threads = coder, threads

    def code_mask(self, task: MaskTask) -> np.ndarray:
        """The mask (B, 64) uint8, which `task.truth` is."""
        assert task.truth is not None, "an encoder knows its bits"
        coded = _topology.encode_mask(_networks(), _families(task), _bricks(task), task.truth, self._threads)
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
        mask, missing = _topology.decode_mask(
            _networks(), _families(task), _bricks(task), codes, payload, self._threads
        )
        self._coder.check(missing)
        return mask


def _bricks(task: MaskTask) -> _topology.Bricks:
    neighbours = task.neighbours
    octant = octants(neighbours.coords).astype(np.uint8)
    return _topology.Bricks(neighbours.near, octant, task.reference, task.skip_reference)


def _families(task: MaskTask) -> list[int]:
    return [_NUMBERS[family.name] for family in task.families]


@functools.cache
def _networks() -> _topology.Networks:
    """The networks of the package as C++ has them."""
    networks = priors.load().networks
    return _topology.Networks(
        [
            (pack_for_native(networks[family.name, phase]), *offsets(family, phase), list(family.levels))
            for family in FAMILIES
            for phase in range(len(ORDER))
        ]
    )
