"""Trained predictors: networks and tables of each family of fields; those that come with the package."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import xxhash

from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.nets.arrays import read_groups
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import network
from neuralvdb.values.lattice.kind import FAMILIES
from neuralvdb.values.lattice.pass_order import NetworkKey, keys_of

_FILE = Path(__file__).with_name("priors.npz")
PARTS = tuple(Network.__dataclass_fields__)
_LINEAR = ("b3", "linear", "shifts")  # what a network without hidden layers has


@dataclass(frozen=True)
class Prior:
    """A family's networks by (level, axis, phase), its tables, and 8 bytes that tell them from any others."""

    networks: dict[NetworkKey, Network]
    tables: Tables
    identity: bytes


@dataclass(frozen=True)
class ModelSet:
    """Models that go together.

    families: by name; an archive may not need all
    digests: of every one of FAMILIES, 8 bytes each
    freq: (families x classes, 64) uint16, frequencies of all families in order: rows that a file may choose from
    """

    families: dict[str, Prior]
    digests: tuple[bytes, ...]
    freq: np.ndarray

    @functools.cached_property
    def identity(self) -> bytes:
        """8 bytes that tell it from any other set."""
        return xxhash.xxh3_64_digest(b"".join(self.digests) + self.freq.tobytes())

    @functools.cached_property
    def fast(self) -> bool:
        """Whether no network has hidden layers."""
        return all(net.is_linear for prior in self.families.values() for net in prior.networks.values())

    def only(self, families: set[str]) -> ModelSet:
        """The same, without the networks of other families."""
        return ModelSet({name: self.families[name] for name in FAMILIES if name in families}, self.digests, self.freq)


@functools.cache
def shipped() -> ModelSet:
    """The priors that come with the package."""
    groups = read_groups(_FILE, [f"{family}." for family in FAMILIES])
    return model_set({family: unpack(arrays) for family, arrays in zip(FAMILIES, groups, strict=True)})


@functools.cache
def fast() -> ModelSet:
    """Those of them whose networks have no hidden layers; the tables are those of shipped()."""
    families = {}
    groups = read_groups(_FILE, [f"fast.{family}." for family in FAMILIES])
    for family, arrays in zip(FAMILIES, groups, strict=True):
        linear = {phase: [arrays[f"{phase}.{name}"] for name in _LINEAR] for phase in (0, 1)}
        networks = {
            key: network.linear(*(array[i] for array in linear[phase]))
            for phase in (0, 1)
            for i, key in enumerate(keys_of(phase))
        }
        families[family] = make(networks, load(family).tables)
    return model_set(families)


def known(identity: bytes) -> ModelSet | None:
    """The models of that identity if they come with the package."""
    for load_models in (shipped, fast):
        if (models := load_models()).identity == identity:
            return models
    return None


def model_set(families: dict[str, Prior]) -> ModelSet:
    """The set of a prior for each of FAMILIES."""
    freq = np.concatenate([families[family].tables.freq for family in FAMILIES])
    return ModelSet(families, tuple(families[family].identity for family in FAMILIES), freq)


def load(family: str) -> Prior:
    """The shipped prior of one of FAMILIES."""
    return shipped().families[family]


def save(path: Path, priors: dict[str, Prior], linear: dict[str, Prior]) -> None:
    """Writes priors of all families, and those without hidden layers, to a file that shipped() and fast() can read."""
    arrays = {f"{family}.{name}": a for family, prior in priors.items() for name, a in pack(prior).items()}
    for family, prior in linear.items():
        packed = pack(prior)
        arrays |= {f"fast.{family}.{n}.{name}": packed[f"{n}.{name}"] for n in (0, 1) for name in _LINEAR}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its stub takes them for its own options


def make(networks: dict[NetworkKey, Network], tables: Tables) -> Prior:
    """A prior with its identity."""
    return unpack(pack(Prior(networks, tables, b"")))


def names() -> list[str]:
    """Of the arrays that a prior is, in order."""
    return ["tables"] + [f"{phase}.{name}" for phase in (0, 1) for name in PARTS]


def pack(prior: Prior) -> dict[str, np.ndarray]:
    """The arrays of a prior by name: tables, and the parts of the networks of each phase together."""
    arrays = {"tables": prior.tables.freq}
    for phase in (0, 1):
        for name in PARTS:
            arrays[f"{phase}.{name}"] = np.stack([getattr(prior.networks[key], name) for key in keys_of(phase)])
    return arrays


def unpack(arrays: dict[str, np.ndarray]) -> Prior:
    """The prior of such arrays, with its identity. Raises ValueError on frequencies that are none."""
    networks = {}
    for phase in (0, 1):
        for i, key in enumerate(keys_of(phase)):
            networks[key] = Network(*(arrays[f"{phase}.{name}"][i] for name in PARTS))
    state = xxhash.xxh3_64()
    for name in names():
        state.update(np.ascontiguousarray(arrays[name]).data)
    return Prior(networks, Tables(arrays["tables"]), state.digest())
