"""Topology by networks: every tree comes back, the native code gives the definition's bytes, damage is one error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralvdb import topology
from neuralvdb.errors import DamagedFile
from neuralvdb.topology import Topology, _topology, count_differing, lossless, neural, priors, resembles
from neuralvdb.topology.inputs import FAMILIES, ORDER, inputs_of, offsets
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import lookup
from neuralvdb.volume.grid import unpack

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
few = settings(quick, max_examples=8)


def stored(payload: bytes, declared: int, codec: int = 1) -> TopologyPayload:
    return TopologyPayload(codec=codec, payload=payload, declared=declared, where="x")


def assert_same(one: Topology, two: Topology) -> None:
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


def of_file(path: Path) -> list[Topology]:
    return [Topology.of(grid.tree) for grid in VdbReader(path) if grid.tree is not None]


def test_real_files_come_back(real_vdb):
    for one in of_file(real_vdb):
        payload = neural.encode(one, threads=2)
        assert_same(one, neural.decode(stored(payload, one.nbytes), threads=2))
        codec, smaller = topology.encode(one)
        others = min(len(payload), len(lossless.encode(one)))
        assert len(smaller) < others if codec == 3 else len(smaller) == others
        assert_same(one, topology.decode(stored(smaller, one.nbytes, codec)))


@given(st.data())
@quick
def test_every_tree_comes_back(drawn, data):
    one = data.draw(drawn)
    for threads in (1, 2):
        payload = neural.encode(one, threads=threads)
        assert_same(
            one,
            neural.decode(stored(payload, one.nbytes), threads=threads),
        )
    assert_same(one, lossless.decode(lossless.encode(one), one.nbytes, "x"))


@given(st.data())
@few
def test_native_is_the_reference(drawn, data):
    one = data.draw(drawn)
    payload = neural.encode(one)
    assert payload == neural.encode(one, implementation="reference")
    assert_same(
        one,
        neural.decode(stored(payload, one.nbytes), implementation="reference"),
    )


def test_native_is_the_reference_on_a_sample(sample):
    one = of_file(sample)[0]
    assert neural.encode(one, threads=2) == neural.encode(one, implementation="reference")


def test_nothing_at_all():
    none = [np.zeros((0, width), kind) for width, kind in ((3, np.int32), (3, np.int32))]
    empty = [np.zeros((0, size), np.uint8) for size in (4096, 4096, 512, 512, 64)]
    one = Topology(*none, np.zeros(0, np.uint8), *empty)
    assert_same(one, neural.decode(stored(neural.encode(one), 0)))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 1 << 28), st.integers(0, 1 << 32))
@quick
def test_find_is_the_slow_way(count, wanted, reach, seed):
    rng = np.random.default_rng(seed)
    among = np.unique(rng.integers(-reach, reach, (count, 3), np.int32), axis=0)
    rng.shuffle(among)
    others = rng.integers(-reach, reach, (wanted, 3), np.int32)
    asked = np.concatenate([others, among[: wanted // 2], others])
    assert _topology.find(among, asked).tolist() == lookup.find(among, asked).tolist()


def test_smoke_takes_33_kilobytes(data):
    (one,) = of_file(data / "openvdb-models" / "smoke.vdb")
    codec, payload = topology.encode(one)
    assert codec == 1 and len(payload) <= 33_000


def test_a_file_of_boxes_stays_plain(data):
    """Where masks repeat, a dictionary is better than a network, and codec 0 remains."""
    (one,) = of_file(data / "openvdb-models" / "cube.vdb")
    assert topology.encode(one)[0] == 0


def test_networks_stay_exact():
    """No sum reaches 2^24, where float32 ends to be exact, nor 2^15 in the first layer, which is summed in 16 bits."""
    prior = priors.load()
    for family in FAMILIES:
        for phase in range(len(ORDER)):
            net = prior.networks[family.name, phase]
            inputs = inputs_of(family, phase)
            assert net.w1.shape == (family.hidden[0], inputs) and net.linear.shape == (2, inputs)
            assert np.abs(net.w1.astype(int)).sum(1).max() < 1 << 15
            assert 255 * np.abs(net.w2.astype(int)).sum(1).max() + np.abs(net.b2).max() < 1 << 24
            assert 16 * np.abs(net.w1.astype(int)).sum(1).max() + np.abs(net.b1).max() < 1 << 24


def test_phases_see_what_is_known():
    """All eight phases together see every cell around, and none sees a cell of its own or a later phase."""
    for family in FAMILIES:
        for phase, octant in enumerate(ORDER):
            own = np.array([octant >> 2 & 1, octant >> 1 & 1, octant & 1])
            seen = (own + offsets(family, phase)[1]) % 2 @ np.array([4, 2, 1])
            assert {ORDER.index(o) for o in seen} == set(range(phase))


def varied(one: Topology, seed: int) -> Topology:
    """A topology that resembles `one`: a few voxels others."""
    rng = np.random.default_rng(seed)
    noise = np.packbits(rng.random((len(one.leaf_active), 512)) < 0.01, axis=1, bitorder="little")
    return replace(one, leaf_active=one.leaf_active ^ noise)


@pytest.mark.slow
@given(st.data(), st.integers(0, 1 << 32))
@few
def test_every_tree_comes_back_from_another(drawn, data, seed):
    one, other = data.draw(drawn), data.draw(drawn)
    for base in (other, one, varied(one, seed)):
        payload = neural.encode(one, Reference(7, base))
        assert payload == neural.encode(one, Reference(7, base), implementation="reference", threads=2)
        assert_same(
            one,
            neural.decode(stored(payload, one.nbytes, 2), Reference(7, base)),
        )


def test_what_resembles_another_costs_less(sample):
    one = of_file(sample)[0]
    like = varied(one, 1)
    codec, payload = topology.encode(like, Reference(0, one))
    assert resembles(like, one) and codec == 2
    assert len(payload) < 0.9 * len(topology.encode(like)[1])
    assert len(neural.encode(one, Reference(0, one))) < 0.4 * len(neural.encode(one))


@given(st.data())
@few
def test_differing_voxels_are_counted(drawn, data):
    one, other = data.draw(drawn), data.draw(drawn)
    assert count_differing(one, one) == 0
    assert count_differing(one, other) == count_differing(other, one)
    mask = varied(one, 3)
    assert count_differing(one, mask) == int((unpack(one.leaf_active) ^ unpack(mask.leaf_active)).sum())


@pytest.fixture(scope="module")
def coded(sample) -> tuple[Topology, bytes]:
    one = of_file(sample)[0]
    return one, neural.encode(one)


@pytest.mark.parametrize("declared", [0, 100, 8204, -1])
def test_more_than_declared_is_refused(coded, declared):
    one, payload = coded
    with pytest.raises(DamagedFile, match="declared"):
        neural.decode(stored(payload, declared if declared >= 0 else one.nbytes - 1))


def test_other_networks_are_refused(coded):
    one, payload = coded
    identity = priors.load().identity
    with pytest.raises(DamagedFile, match="networks"):
        neural.decode(stored(payload.replace(identity, bytes(8)), one.nbytes))


def test_every_cut_is_damage(coded):
    one, payload = coded
    for size in [*range(0, 60), *range(60, len(payload), len(payload) // 50)]:
        with pytest.raises(DamagedFile):
            neural.decode(stored(payload[:size], one.nbytes))


@given(st.integers(0, 1 << 32))
@quick
def test_flipped_bits_are_damage_or_another_tree(coded, seed):
    """No flipped bit makes the decoder crash, hang or take more than was declared."""
    one, payload = coded
    rng = np.random.default_rng(seed)
    broken = bytearray(payload)
    for place in rng.integers(0, len(payload), rng.integers(1, 4)):
        broken[place] ^= 1 << rng.integers(8)
    try:
        found = neural.decode(stored(bytes(broken), one.nbytes))
    except DamagedFile:
        return
    assert found.nbytes <= one.nbytes
