"""The trained networks that come with the package."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import xxhash

from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.nets.arrays import read_arrays
from neuralvdb.nets.network import OUTPUTS, Network
from neuralvdb.topology.inputs import FAMILIES, ORDER, Family, inputs_of

_FILE = Path(__file__).with_name("priors.npz")
_WEIGHTS, _BIASES = ("w1", "w2", "w3", "linear"), ("b1", "b2", "b3")
KEYS = [(family.name, phase) for family in FAMILIES for phase in range(len(ORDER))]


@dataclass(frozen=True)
class Prior:
    """Networks by (family, phase), the tables of the classes, and 8 bytes that tell them from any other."""

    networks: dict[tuple[str, int], Network]
    tables: Tables
    identity: bytes


@functools.cache
def load() -> Prior:
    """The prior in the package."""
    return _unpack(read_arrays(_FILE))


def save(path: Path, prior: Prior) -> None:
    """Writes a file that load() can read."""
    arrays = _pack(prior.networks, prior.tables)
    weights, biases, shifts, tables = (arrays[name] for name in ("weights", "biases", "shifts", "tables"))
    np.savez(path, weights=weights, biases=biases, shifts=shifts, tables=tables)


def make(networks: dict[tuple[str, int], Network], tables: Tables) -> Prior:
    """A prior with its identity."""
    return _unpack(_pack(networks, tables))


def shapes(family: Family, phase: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's arrays."""
    inputs, (first, second) = inputs_of(family, phase), family.hidden
    weights = {"w1": (first, inputs), "w2": (second, first), "w3": (OUTPUTS, second), "linear": (OUTPUTS, inputs)}
    return {**weights, "b1": (first,), "b2": (second,), "b3": (OUTPUTS,), "shifts": (6,)}


def _pack(networks: dict[tuple[str, int], Network], tables: Tables) -> dict[str, np.ndarray]:
    def joined(names: tuple[str, ...], kind: type) -> np.ndarray:
        arrays = [getattr(networks[key], name).reshape(-1) for key in KEYS for name in names]
        return np.concatenate(arrays).astype(kind)

    weights, biases, shifts = joined(_WEIGHTS, np.int8), joined(_BIASES, np.int32), joined(("shifts",), np.int8)
    return {"weights": weights, "biases": biases, "shifts": shifts, "tables": tables.freq}


def _unpack(arrays: dict[str, np.ndarray]) -> Prior:
    begins = {"weights": 0, "biases": 0, "shifts": 0}
    networks = {}
    for family in FAMILIES:
        for phase in range(len(ORDER)):
            weights = {}
            for name, shape in shapes(family, phase).items():
                kind = "weights" if name in _WEIGHTS else "biases" if name in _BIASES else "shifts"
                size = math.prod(shape)
                weights[name] = arrays[kind][begins[kind] : begins[kind] + size].reshape(shape)
                begins[kind] += size
            networks[family.name, phase] = Network(**weights)
    state = xxhash.xxh3_64()
    for name in ("weights", "biases", "shifts", "tables"):
        state.update(np.ascontiguousarray(arrays[name]).data)
    return Prior(networks, Tables(arrays["tables"]), state.digest())
