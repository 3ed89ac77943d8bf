"""Topology by networks: every tree comes back, the native code gives the definition's bytes, damage is one error."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralvdb import topology
from neuralvdb.errors import DamagedFile
from neuralvdb.topology import Topology, _topology, chunks, count_differing, lossless, neural, priors, resembles
from neuralvdb.topology.code_tree import TreeCoder
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


def assert_same(first: Topology, second: Topology) -> None:
    for name in first.__dataclass_fields__:
        a, b = getattr(first, name), getattr(second, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


def of_file(path: Path) -> list[Topology]:
    return [Topology.of(grid.tree) for grid in VdbReader(path) if grid.tree is not None]


def test_real_files_come_back(real_grids):
    for original in of_file(real_grids):
        payload = neural.encode(original, threads=2)
        assert_same(original, neural.decode(stored(payload, original.nbytes), threads=2))
        codec, smaller = topology.encode(original)
        smallest = min(len(payload), len(lossless.encode(original)))
        assert len(smaller) < smallest if codec == 3 else len(smaller) == smallest
        assert_same(original, topology.decode(stored(smaller, original.nbytes, codec)))


@pytest.mark.slow
@given(st.data())
@quick
def test_every_tree_comes_back(drawn, data):
    topology = data.draw(drawn)
    for threads in (1, 2):
        payload = neural.encode(topology, threads=threads)
        assert_same(
            topology,
            neural.decode(stored(payload, topology.nbytes), threads=threads),
        )
    assert_same(topology, lossless.decode(lossless.encode(topology), topology.nbytes, "x"))


@pytest.mark.slow
@given(st.data())
@few
def test_native_is_the_reference(drawn, data):
    topology = data.draw(drawn)
    payload = neural.encode(topology)
    assert payload == neural.encode(topology, implementation="reference")
    assert_same(
        topology,
        neural.decode(stored(payload, topology.nbytes), implementation="reference"),
    )


def test_native_is_the_reference_on_a_sample(sample):
    topology = of_file(sample)[0]
    assert neural.encode(topology, threads=2) == neural.encode(topology, implementation="reference")


@pytest.mark.slow
@given(data=st.data())
@settings(few, max_examples=2)
def test_chunks_come_back_alone_and_together(drawn, data):
    """Cut into chunks of few leaves: native code is the definition, and what is asked for is decoded, no more."""
    original, base = data.draw(drawn), data.draw(drawn)
    rng = np.random.default_rng(0)
    with mock.patch.object(chunks, "LEAVES", 7), mock.patch.object(chunks, "SPARSE", 1):
        groups = chunks.group_leaves(original.leaf_origins())
        for codec, reference in ((1, None), (2, Reference(7, base))):
            payload = neural.encode(original, reference, threads=2)
            assert payload == neural.encode(original, reference, implementation="reference")
            source = stored(payload, original.nbytes, codec)
            for coding in (neural.Coding(threads=2), neural.Coding(implementation="reference")):
                assert_same(original, neural.decode(source, reference, implementation=coding.implementation))
                begun = neural.begin(source, reference, coding)
                wanted = rng.random(len(original.leaf_active)) < 0.1
                begun.need(wanted)
                for group in groups:
                    is_there = wanted[group.leaves].any()
                    expected = original.leaf_active[group.leaves] * is_there
                    np.testing.assert_array_equal(begun.leaf_active[group.leaves], expected)
                begun.need()
                np.testing.assert_array_equal(begun.leaf_active, original.leaf_active)


def scattered_noise(origins: np.ndarray) -> Topology:
    """Leaves at origins (N, 3), each alone in its upper node, with voxels at random."""
    count, none = len(origins), np.zeros((0, 3), np.int32)
    rng = np.random.default_rng(0)
    upper, lower = np.zeros((count, 4096), np.uint8), np.zeros((count, 512), np.uint8)
    for node, origin in enumerate(origins % 4096):
        x, y, z = origin // 128
        upper[node, (x << 10 | y << 5 | z) >> 3] = 1 << (z & 7)
        x, y, z = origin % 128 // 8
        lower[node, (x << 8 | y << 4 | z) >> 3] = 1 << (z & 7)
    table = np.ascontiguousarray(origins // 4096 * 4096, np.int32), none, np.zeros(0, np.uint8)
    leaf = rng.integers(0, 256, (count, 64)).astype(np.uint8)
    return Topology(*table, upper, np.zeros_like(upper), lower, np.zeros_like(lower), leaf)


def test_damage_in_one_chunk_is_met_there():
    """Two leaves far apart: the second one's payload is cut off; it is met again by who asks again."""
    leaf = np.array([[0, 0, 0], [0, 0, 800_000]])
    topology = scattered_noise(leaf)
    with mock.patch.object(chunks, "CROWD", 1):
        payload = neural.encode(topology)
        begun = neural.begin(stored(payload[:-2] + bytes(2), topology.nbytes), None, neural.Coding())
        begun.need(np.array([True, False]))
        assert (begun.leaf_active[0] == topology.leaf_active[0]).all() and not begun.leaf_active[1].any()
        for _ in range(2):
            with pytest.raises(DamagedFile):
                begun.need()


def test_nothing_at_all():
    none = [np.zeros((0, width), kind) for width, kind in ((3, np.int32), (3, np.int32))]
    empty = [np.zeros((0, size), np.uint8) for size in (4096, 4096, 512, 512, 64)]
    topology = Topology(*none, np.zeros(0, np.uint8), *empty)
    assert_same(topology, neural.decode(stored(neural.encode(topology), 0)))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 1 << 28), st.integers(0, 1 << 32))
@quick
def test_find_is_the_slow_way(count, wanted, reach, seed):
    rng = np.random.default_rng(seed)
    among = np.unique(rng.integers(-reach, reach, (count, 3), np.int32), axis=0)
    rng.shuffle(among)
    elsewhere = rng.integers(-reach, reach, (wanted, 3), np.int32)
    asked = np.concatenate([elsewhere, among[: wanted // 2], elsewhere])
    assert _topology.find(among, asked).tolist() == lookup.find(among, asked).tolist()


def test_smoke_takes_33_kilobytes(data):
    (smoke,) = of_file(data / "openvdb-models" / "smoke.vdb")
    codec, payload = topology.encode(smoke)
    assert codec == 1 and len(payload) <= 33_000


def test_a_file_of_boxes_stays_raw(data):
    """Where masks repeat, a dictionary is better than a network, and codec 0 remains."""
    (cube,) = of_file(data / "openvdb-models" / "cube.vdb")
    assert topology.encode(cube)[0] == 0


def test_networks_stop_where_masks_repeat(monkeypatch):
    """As soon as they take more than the masks themselves, they cannot win, however little is left to code."""
    monkeypatch.setattr(chunks, "LEAVES", 64)
    upper, lower = np.zeros((1, 4096), np.uint8), np.zeros((16, 512), np.uint8)
    upper[:, :2], lower[:, :8] = 255, 255
    leaf = np.tile(np.random.default_rng(0).integers(0, 256, 64, np.uint8), (16 * 64, 1))
    nowhere, masks = np.zeros((0, 3), np.int32), (upper, 0 * upper, lower, 0 * lower, leaf)
    repeated = Topology(np.zeros((1, 3), np.int32), nowhere, np.zeros(0, np.uint8), *masks)
    code_leaves = TreeCoder.code_leaves
    with mock.patch.object(TreeCoder, "code_leaves", autospec=True, side_effect=code_leaves) as coded:
        assert topology.encode(repeated) == (0, lossless.encode(repeated))
        calls = coded.call_count
        neural.encode(repeated)
        assert calls < coded.call_count - calls


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


def test_phases_see_what_is_decoded():
    """All eight phases together see every cell around, and none sees a cell of its own or a later phase."""
    for family in FAMILIES:
        for phase, octant in enumerate(ORDER):
            parity = np.array([octant >> 2 & 1, octant >> 1 & 1, octant & 1])
            octants = (parity + offsets(family, phase)[1]) % 2 @ np.array([4, 2, 1])
            assert {ORDER.index(o) for o in octants} == set(range(phase))


def varied(topology: Topology, seed: int) -> Topology:
    """A topology that resembles `one`: a few voxels others."""
    rng = np.random.default_rng(seed)
    noise = np.packbits(rng.random((len(topology.leaf_active), 512)) < 0.01, axis=1, bitorder="little")
    return replace(topology, leaf_active=topology.leaf_active ^ noise)


@pytest.mark.slow
@given(st.data(), st.integers(0, 1 << 32))
@few
def test_every_tree_comes_back_from_another(drawn, data, seed):
    topology, other = data.draw(drawn), data.draw(drawn)
    for base in (other, topology, varied(topology, seed)):
        payload = neural.encode(topology, Reference(7, base))
        assert payload == neural.encode(topology, Reference(7, base), implementation="reference", threads=2)
        assert_same(
            topology,
            neural.decode(stored(payload, topology.nbytes, 2), Reference(7, base)),
        )


def test_what_resembles_another_costs_less(sample):
    original = of_file(sample)[0]
    similar = varied(original, 1)
    codec, payload = topology.encode(similar, Reference(0, original))
    assert resembles(similar, original) and codec == 2
    assert len(payload) < 0.9 * len(topology.encode(similar)[1])
    assert len(neural.encode(original, Reference(0, original))) < 0.4 * len(neural.encode(original))


@given(st.data())
@few
def test_differing_voxels_are_counted(drawn, data):
    topology, other = data.draw(drawn), data.draw(drawn)
    assert count_differing(topology, topology) == 0
    assert count_differing(topology, other) == count_differing(other, topology)
    mask = varied(topology, 3)
    assert count_differing(topology, mask) == int((unpack(topology.leaf_active) ^ unpack(mask.leaf_active)).sum())


@pytest.fixture(scope="module")
def coded(sample) -> tuple[Topology, bytes]:
    topology = of_file(sample)[0]
    return topology, neural.encode(topology)


@pytest.mark.parametrize("declared", [0, 100, 8204, -1])
def test_more_than_declared_is_refused(coded, declared):
    topology, payload = coded
    with pytest.raises(DamagedFile, match="declared"):
        neural.decode(stored(payload, declared if declared >= 0 else topology.nbytes - 1))


def test_other_networks_are_refused(coded):
    topology, payload = coded
    identity = priors.load().identity
    with pytest.raises(DamagedFile, match="networks"):
        neural.decode(stored(payload.replace(identity, bytes(8)), topology.nbytes))


def test_every_cut_is_damage(coded):
    topology, payload = coded
    for size in [*range(0, 60), *range(60, len(payload), len(payload) // 50)]:
        with pytest.raises(DamagedFile):
            neural.decode(stored(payload[:size], topology.nbytes))


@given(st.integers(0, 1 << 32))
@quick
def test_flipped_bits_are_damage_or_another_tree(coded, seed):
    """No flipped bit makes the decoder crash, hang or take more than was declared."""
    topology, payload = coded
    rng = np.random.default_rng(seed)
    broken = bytearray(payload)
    for index in rng.integers(0, len(payload), rng.integers(1, 4)):
        broken[index] ^= 1 << rng.integers(8)
    try:
        decoded = neural.decode(stored(bytes(broken), topology.nbytes))
    except DamagedFile:
        return
    assert decoded.nbytes <= topology.nbytes
