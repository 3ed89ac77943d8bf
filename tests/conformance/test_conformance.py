"""One table of checksums for every implementation, number of threads and machine: what is coded, and what is decoded.

There is no column for the device. A change of the format, the networks or the tables changes the rows, on purpose.
"""

import numpy as np
import pytest
import torch
import xxhash

from neuralvdb.topology import Topology
from neuralvdb.values import lossless, lossy
from neuralvdb.values.lattice import domain, levels
from neuralvdb.values.promise import Promise
from neuralvdb.values.reader import Reader
from neuralvdb.volume import from_dense
from neuralvdb.volume.grid import TREE_TYPES

# case: XXH3-64 of the payloads of TILE sections, one after the other, and of the decoded leaf values
TABLE = {
    "fog": ("e0b51d39c2542a8a", "9fea52a9c86a7912"),
    "fog, half": ("8c9c305d47e9f99a", "fcbd75f61f4e611f"),
    "fog, tolerance": ("7fb8aebbf5d3ca1a", "8b428dcb7d9a8fca"),
    "fog, cut": ("e6a618c052a789b7", "b02e83f899b5772c"),
    "level set": ("be050768d92852dd", "a5e6b89334dbbdbd"),
    "velocity": ("5e412e9f392021a3", "06d650cf1cddc6d8"),
    "means": ("d320f61363f74484", "f4b3ef5f503fe610"),
    "means, cut": ("8eb38643451ae116", "51067e1833bd488b"),
    "means, companded": ("2edae04b22f22563", "659c51afebaa016d"),
    "means, bounded": ("108cc5422ede5d69", "ad6cb0890fa31c96"),
    "fog, a part": ("2a6045c8ff4f5766", "051835bc730c5235"),
    "means, a part": ("175deeac909e25f9", "04914014ab57e2dd"),
}


def field(components: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Values (40, 24, 32[, 3]) float32 and a mask, made of integers: the same bits everywhere."""
    x, y, z = np.indices((40, 24, 32))
    hill = x * (39 - x) * y * (23 - y) * z * (31 - z)
    noise = (x * 73 + y * 179 + z * 283) ** 2 % 251
    parts = [((hill >> 10 + c) + noise).astype(np.float32) / np.float32(1 << 12) for c in range(components)]
    return (np.stack(parts, -1) if components > 1 else parts[0]), (hill > 1 << 14) & (noise % 17 > 0)


def cases() -> dict[str, Promise]:
    """What is coded."""
    return {
        "fog": Promise(0.002, "fog", False),
        "fog, half": Promise(0.002, "fog", True),
        "fog, tolerance": Promise(0.001, "fog", False, 0.05),
        "fog, cut": Promise(0.002, "fog", False),
        "level set": Promise(0.002, "levelset", False),
        "velocity": Promise(0.002, "velocity", False),
        "means": Promise(np.inf, "fog-mean", False, step=0.01),
        "means, cut": Promise(np.inf, "fog-mean", False, step=0.01),
        "means, companded": Promise(np.inf, "fog-mean", False, step=0.01, knee=0.02, positive=True),
        "means, bounded": Promise(0.02, "fog-mean", False, step=0.01, knee=0.02),
        "fog, a part": Promise(0.002, "fog", False),
        "means, a part": Promise(np.inf, "fog-mean", False, step=0.01, knee=0.02),
    }


def device() -> str:
    """Where kernels run: interpreted where there is no GPU, and therefore only on a part of the field."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


ENCODERS = [{}, {"threads": 2}, {"implementation": "reference"}]
DECODERS = [*ENCODERS, {"implementation": "reference", "devices": [device()]}]
KERNELS = {"implementation": "triton", "devices": [device()]}
KERNEL_CASES = cases() if device() != "cpu" else [name for name in cases() if name.endswith("a part")]


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, options) for name in cases() for options in DECODERS), *((name, KERNELS) for name in KERNEL_CASES)],
    ids=str,
)
def test_the_table_holds(name, options, monkeypatch):
    if name.endswith("cut"):
        monkeypatch.setattr(domain, "LEAVES", 20)
    values, active = field(3 if name == "velocity" else 1)
    if name.endswith("a part"):
        values, active = values[8:20, 6:16, 10:20], active[8:20, 6:16, 10:20]
    grid = from_dense(values, name="g", active=active, origin=(-13, 100, 7))
    promise = cases()[name]
    payload, sections, _ = lossy.encode(grid.tree, promise, **(options if options in ENCODERS else {}))
    shape = (Topology.of(grid.tree), *TREE_TYPES[grid.grid_type], lossless.raw_size(grid.tree), "test")
    tree = Reader(payload, sections, *shape, **options).voxels()
    coded = b"".join(sections[number] for number in sorted(sections))
    assert (levels.OCTAVES in sections) == name.endswith("cut")
    found = tuple(xxhash.xxh3_64_hexdigest(data) for data in (coded, tree.leaf.values.tobytes()))
    assert found == TABLE[name]


def test_every_row_is_used():
    assert set(TABLE) == set(cases())
