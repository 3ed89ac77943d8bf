"""One table of checksums for every implementation, number of threads and machine: what is coded, and what is decoded.

There is no column for the device. A change of the format, the networks or the tables changes the rows, on purpose.
"""

import numpy as np
import pytest
import torch
import xxhash
from interpreter import hasten

from neuralvdb.values import encoder
from neuralvdb.values.coded import LOSSY, SCATTERED
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import correction_network, priors
from neuralvdb.values.lattice.constants import LAYERS
from neuralvdb.values.lattice.reference import Correction, ReferenceValues
from neuralvdb.values.promise import Promise, mean_promise, sample_promise
from neuralvdb.vdb import from_dense

# case: XXH3-64 of the payloads of TILE sections, one after the other, and of the decoded leaf values
TABLE = {
    "fog": ("a8104bfcf7fbab4c", "1b3020f119dcc294"),
    "fog, half": ("2002404f35d62159", "1ade1e25b7061f4e"),
    "fog, tolerance": ("82d14a3dd333a8b6", "7bca5d1c38cfd343"),
    "fog, cut": ("07d333465494a528", "c6a246fc09e5ff3b"),
    "level set": ("2d4f3103b49ec14c", "0a3d8c99f5639780"),
    "velocity": ("edc8cc309c0dd598", "896fb4a5de742ae7"),
    "means": ("cf634f68818d431d", "1bc3bc0e74d4da59"),
    "means, cut": ("69b2bcbfba52b6be", "35d248ae97c19b5e"),
    "means, companded": ("9bc7f7dd23faee74", "4eadc5036ffeebc7"),
    "means, bounded": ("9588704cbb74ba73", "ca3e136c5fe8b843"),
    "fog, fast": ("2e145ec514e699f2", "ab905b797531b1da"),
    "level set, fast": ("57b7a7444f966d45", "fc6be66df59093d8"),
    "velocity, fast": ("8c027ea50d9ce0a3", "eef57131d1526360"),
    "means, fast": ("6be4f74213fac60a", "9ec7f23f69626717"),
    "fog, inside": ("7cf9c17b51fc69e0", "ef7574a6e50ddd5f"),
    "fog, inside, a part": ("1d5082d20de8c420", "0866dba878fd7256"),
    "fog, a part": ("50c7167c9bb5f46e", "5f4504972c2ddff5"),
    "means, a part": ("bdf9601183f5cb58", "d7de7cd8b3c3352d"),
    "fog, scattered": ("5dd89cf1e97a6a79", "491eb24e74d2a8e7"),
    "means, scattered": ("b951ffa1cf0572ae", "74132b05f67bb166"),
    "fog, referred": ("5ac255eb5e135efe", "a40899d6dce02639"),
    "means, referred": ("5bd1e4d9b4404cd7", "77975eef462c4873"),
    "fog, referred, by a network": ("e69b7ea69d0bda64", "2806cab0a2ec927c"),
    "level set, referred, by a network": ("6e55fc06ee3afd10", "7104487614b04290"),
    "velocity, referred, by a network": ("38caf95fae77772f", "d18810026dcbba55"),
    "means, referred, by a network": ("2e0d7e9c0970549a", "722bfd66b6c350a9"),
}
CORRECTION = Correction(gains=(12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 16), shifts=(-4, -1, 1, 3, 8))


def field(components: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Values (40, 24, 32[, 3]) float32 and a mask, made of integers: the same bits everywhere."""
    x, y, z = np.indices((40, 24, 32))
    hill = x * (39 - x) * y * (23 - y) * z * (31 - z)
    noise = (x * 73 + y * 179 + z * 283) ** 2 % 251
    arrays = [((hill >> 10 + c) + noise).astype(np.float32) / np.float32(1 << 12) for c in range(components)]
    return (np.stack(arrays, -1) if components > 1 else arrays[0]), (hill > 1 << 14) & (noise % 17 > 0)


def scattered() -> tuple[np.ndarray, np.ndarray]:
    """A row of ten pairs of leaves of such a field, 1024 voxels from each other."""
    values, active = field()
    cut = slice(8, 16), slice(8, 16), slice(8, 24)
    lines = [np.zeros((8, 8, 9 * 1024 + 16), array.dtype) for array in (values, active)]
    for line, array in zip(lines, (values, active), strict=True):
        for number in range(10):
            line[:, :, 1024 * number :][:, :, :16] = np.roll(array, number, axis=0)[cut]
    return lines[0], lines[1]


def cases() -> dict[str, Promise]:
    """What is coded."""
    return {
        "fog": sample_promise("fog", max_error=0.002),
        "fog, half": sample_promise("fog", max_error=0.002, half=True),
        "fog, tolerance": sample_promise("fog", max_error=0.001, ratio=0.05),
        "fog, cut": sample_promise("fog", max_error=0.002),
        "level set": sample_promise("levelset", max_error=0.002),
        "velocity": sample_promise("velocity", max_error=0.002),
        "means": mean_promise(step=0.01),
        "means, cut": mean_promise(step=0.01),
        "means, companded": mean_promise(step=0.01, knee=0.02, nonnegative=True),
        "means, bounded": mean_promise(max_error=0.02, step=0.01, knee=0.02),
        "fog, fast": sample_promise("fog", max_error=0.002),
        "level set, fast": sample_promise("levelset", max_error=0.002),
        "velocity, fast": sample_promise("velocity", max_error=0.002),
        "means, fast": mean_promise(step=0.01, knee=0.02, nonnegative=True),
        "fog, inside": sample_promise("fog", max_error=0.002, active_only=True),
        "fog, inside, a part": sample_promise("fog", max_error=0.002, active_only=True),
        "fog, a part": sample_promise("fog", max_error=0.002),
        "means, a part": mean_promise(step=0.01, knee=0.02),
        "fog, scattered": sample_promise("fog", max_error=0.002),
        "means, scattered": mean_promise(step=0.01, knee=0.02),
        "fog, referred": sample_promise("fog", max_error=0.002),
        "means, referred": mean_promise(step=0.01, knee=0.02),
        "fog, referred, by a network": sample_promise("fog", max_error=0.002),
        "level set, referred, by a network": sample_promise("levelset", max_error=0.002),
        "velocity, referred, by a network": sample_promise("velocity", max_error=0.002),
        "means, referred, by a network": mean_promise(step=0.01, knee=0.02),
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
# an interpreter takes minutes: one of each lattice
KERNEL_CASES = cases() if device() != "cpu" else ["fog, inside, a part", "means, a part"]


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, options) for name in cases() for options in OPTIONS), *((name, KERNELS) for name in KERNEL_CASES)],
    ids=str,
)
def test_the_table_holds(name, options, monkeypatch):
    if options.get("implementation") == "triton":
        hasten(monkeypatch, checks_overflow=False)  # as the tests of each kernel do
    if name.endswith("cut"):
        monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 20)
    values, active = field(3 if name.startswith("velocity") else 1)
    origin = (-13, 100, 7)
    if name.endswith("a part"):  # two leaves: interpreters take long
        values, active, origin = values[8:20, 6:14, 10:18], active[8:20, 6:14, 10:18], (-13, 96, 8)
    if name.endswith("scattered"):
        (values, active), origin = scattered(), (-8, 0, 8)
    grid = from_dense(values, name="g", active=active, origin=origin)
    models = priors.fast() if ", fast" in name else priors.shipped()
    reference = refer = None
    if "referred" in name:
        said = np.roll(grid.tree.leaf.values, 64, axis=1).astype(np.float64)
        by_network = name.endswith("network")
        correction = correction_network.shipped(cases()[name].mode.family) if by_network else CORRECTION
        reference, refer = ReferenceValues.over(grid.tree, said, correction), lambda _: said
    coded = encoder.encode(grid.tree, cases()[name], EncodeOptions(models=models, reference=reference, **options))
    assert coded.codec == (SCATTERED if name.endswith("scattered") else LOSSY)
    tree = ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(refer=refer, **options)).decode()
    sections = b"".join(coded.chunks[number] for number in sorted(coded.chunks))
    assert (LAYERS in coded.chunks) == name.endswith("cut")
    digests = tuple(xxhash.xxh3_64_hexdigest(data) for data in (sections, tree.leaf.values.tobytes()))
    assert digests == TABLE[name]
    assert coded.tree.leaf.values.tobytes() == tree.leaf.values.tobytes()


def test_every_row_is_used():
    assert set(TABLE) == set(cases())
