"""One table of checksums for every implementation, number of threads and machine: what is coded, and what is decoded.

There is no column for the device. A change of the format, the networks or the tables changes the rows, on purpose.
"""

import numpy as np
import pytest
import torch
import xxhash

from neuralvdb.topology import Topology
from neuralvdb.values import lossless, lossy
from neuralvdb.values.lattice import domain, levels, priors
from neuralvdb.values.promise import Promise
from neuralvdb.values.reader import Reader
from neuralvdb.volume import from_dense
from neuralvdb.volume.grid import TREE_TYPES

# case: XXH3-64 of the payloads of TILE sections, one after the other, and of the decoded leaf values
TABLE = {
    "fog": ("156f577665327567", "18cae9e9a50512e0"),
    "fog, half": ("139a0ef4468ade4f", "c70fab3307040204"),
    "fog, tolerance": ("39300670945b559e", "d4e0f1cb3d622a67"),
    "fog, cut": ("950f04e42b3c8b9b", "bebe8be62eceb862"),
    "level set": ("51f5d6ec432323d6", "e425db70a7346802"),
    "velocity": ("d27803c9bf110fef", "3dac1af452c8160f"),
    "means": ("010bcfcea4e69c35", "b672d4a6de40b174"),
    "means, cut": ("18908e56e8307c92", "6f17615e51e96756"),
    "means, companded": ("88287e75a2845f43", "d0bf058d6bce11bf"),
    "means, bounded": ("663cec30d693adc5", "8b0dd32db1cec52b"),
    "fog, fast": ("f5063a10ffba657b", "17ae8d14dbe86bf7"),
    "level set, fast": ("7436ffb9cd11e666", "9f54cfb165ea4aa0"),
    "velocity, fast": ("0eb7290cafa3f25a", "0875c7ecf93653d3"),
    "means, fast": ("b215ca2dbcd49d16", "ca2ef3a893305670"),
    "fog, a part": ("e0a856b75e2433cf", "3d78cdf969bddffe"),
    "means, a part": ("6ad9390fe690aead", "f9687469a1c2d347"),
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
        "fog, fast": Promise(0.002, "fog", False),
        "level set, fast": Promise(0.002, "levelset", False),
        "velocity, fast": Promise(0.002, "velocity", False),
        "means, fast": Promise(np.inf, "fog-mean", False, step=0.01, knee=0.02, positive=True),
        "fog, a part": Promise(0.002, "fog", False),
        "means, a part": Promise(np.inf, "fog-mean", False, step=0.01, knee=0.02),
    }


def device() -> str:
    """Where kernels run: interpreted where there is no GPU, and therefore only on a part of the field."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


OPTIONS = [
    {},
    {"threads": 2},
    {"implementation": "reference"},
    {"implementation": "reference", "devices": [device()]},
]
KERNELS = {"implementation": "triton", "devices": [device()]}
KERNEL_CASES = cases() if device() != "cpu" else [name for name in cases() if name.endswith("a part")]


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, options) for name in cases() for options in OPTIONS), *((name, KERNELS) for name in KERNEL_CASES)],
    ids=str,
)
def test_the_table_holds(name, options, monkeypatch):
    if name.endswith("cut"):
        monkeypatch.setattr(domain, "LEAVES", 20)
    values, active = field(3 if name.startswith("velocity") else 1)
    if name.endswith("a part"):
        values, active = values[8:20, 6:16, 10:20], active[8:20, 6:16, 10:20]
    grid = from_dense(values, name="g", active=active, origin=(-13, 100, 7))
    library = priors.fast() if ", fast" in name else priors.shipped()
    payload, sections, decoded = lossy.encode(grid.tree, cases()[name], library=library, **options)
    shape = (Topology.of(grid.tree), *TREE_TYPES[grid.grid_type], lossless.raw_size(grid.tree), "test")
    tree = Reader(payload, sections, *shape, **options).voxels()
    coded = b"".join(sections[number] for number in sorted(sections))
    assert (levels.OCTAVES in sections) == name.endswith("cut")
    found = tuple(xxhash.xxh3_64_hexdigest(data) for data in (coded, tree.leaf.values.tobytes()))
    assert found == TABLE[name]
    assert decoded.leaf.values.tobytes() == tree.leaf.values.tobytes()


def test_every_row_is_used():
    assert set(TABLE) == set(cases())
