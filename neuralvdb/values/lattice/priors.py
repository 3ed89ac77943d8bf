"""The trained predictors that come with the package: networks and tables of each family of fields."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from neuralvdb.archive.rans import Tables
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.predict import FINEST

FAMILIES = ("fog", "velocity", "levelset", "fog-mean")  # -mean: for the mean lattice
SAMPLE_FAMILIES = tuple(family for family in FAMILIES if not family.endswith("-mean"))
_FILE = Path(__file__).with_name("priors.npz")
_PARTS = tuple(Network.__dataclass_fields__)


@dataclass(frozen=True)
class Prior:
    """A family's networks by (level, axis, phase), its tables, and 8 bytes that tell them from any others."""

    networks: dict[tuple[int, int, int], Network]
    tables: Tables
    identity: bytes


@functools.cache
def load(family: str) -> Prior:
    """The prior of one of FAMILIES."""
    with np.load(_FILE, allow_pickle=False) as arrays:
        return _unpack({name: arrays[f"{family}.{name}"] for name in _names()})


@functools.cache
def all_tables() -> np.ndarray:
    """The frequencies of all families, in order, (families x classes, 64) uint16: rows that a file may choose from."""
    return np.concatenate([load(family).tables.freq for family in FAMILIES])


@functools.cache
def identity(family: str) -> bytes:
    """8 bytes that tell a family's networks and everybody's tables from any others."""
    return xxhash.xxh3_64_digest(load(family).identity + all_tables().tobytes())


def save(path: Path, priors: dict[str, Prior]) -> None:
    """Writes priors of all families to a file that load() can read."""
    arrays = {f"{family}.{name}": a for family, prior in priors.items() for name, a in _pack(prior).items()}
    np.savez_compressed(path, **arrays)


def make(networks: dict[tuple[int, int, int], Network], tables: Tables) -> Prior:
    """A prior with its identity."""
    return _unpack(_pack(Prior(networks, tables, b"")))


def _names() -> list[str]:
    return ["tables"] + [f"{phase}.{part}" for phase in (0, 1) for part in _PARTS]


def _keys(phase: int) -> list[tuple[int, int, int]]:
    return [(k, axis, phase) for k in range(FINEST) for axis in range(3)]


def _pack(prior: Prior) -> dict[str, np.ndarray]:
    found = {"tables": prior.tables.freq}
    for phase in (0, 1):
        for part in _PARTS:
            found[f"{phase}.{part}"] = np.stack([getattr(prior.networks[key], part) for key in _keys(phase)])
    return found


def _unpack(arrays: dict[str, np.ndarray]) -> Prior:
    networks = {}
    for phase in (0, 1):
        for i, key in enumerate(_keys(phase)):
            networks[key] = Network(*(arrays[f"{phase}.{part}"][i] for part in _PARTS))
    state = xxhash.xxh3_64()
    for name in _names():
        state.update(np.ascontiguousarray(arrays[name]).tobytes())
    return Prior(networks, Tables(arrays["tables"]), state.digest())
