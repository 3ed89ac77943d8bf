"""No decoded active value leaves the range of the original's active values, however it is coded and read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuralvdb
from neuralvdb import CompressSettings
from neuralvdb.archive import FieldReader, FieldWriter, pack_table
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound
from neuralvdb.topology import Topology
from neuralvdb.values import encoder
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.head import ValuesHead, put_head, take_head
from neuralvdb.values.lattice import tables
from neuralvdb.values.lossless import by_component, put_tree_without_voxels
from neuralvdb.values.promise import mean_promise, sample_promise
from neuralvdb.values.value_range import ValueRange, ranges_of
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.grid import unpack

LODS = (1, 2, 3)
PROMISES = {
    "maximum error": lambda half: sample_promise("fog", max_error=0.2, half=half),
    "tolerance": lambda half: sample_promise("fog", max_error=0.1, ratio=0.2, half=half),
    "active points only": lambda half: sample_promise("levelset", max_error=0.2, half=half, active_only=True),
    "velocity": lambda half: sample_promise("velocity", max_error=0.3, half=half),
    "means": lambda half: mean_promise(step=0.7, half=half),
    "means, companded": lambda half: mean_promise(step=0.4, knee=0.5, half=half, nonnegative=True),
    "means, bounded": lambda half: mean_promise(step=0.7, max_error=0.4, half=half),
}
SETTINGS = {
    "maximum error": CompressSettings(bounds=(Bound(value=0.05, relative=False),)),
    "relative error": CompressSettings(bounds=(Bound(value=0.01, relative=True),)),
    "tolerance": CompressSettings(bounds=(Bound(value=0.01, relative=True, ratio=0.05),)),
    "psnr": CompressSettings(bounds=(Bound(value=35, relative=False, decibels=True),)),
    "pruned": CompressSettings(bounds=(Bound(value=0.01, relative=True),), topology="pruned"),
    "preview": CompressSettings(quality="preview"),
    "production": CompressSettings(quality="production"),
    "master": CompressSettings(quality="master"),
}


def plateau(dtype: str = "f4", components: int = 1, low: float = 0.0, *, half: bool = False, seed: int = 0):
    """A grid whose values lie on the ends of their range, on a third of all voxels each, and between them."""
    rng = np.random.default_rng(seed)
    shape = (12, 9, 17)
    waves = np.sin(np.indices(shape).sum(0) / 4 + rng.random()) + rng.normal(0, 0.1, shape)
    values = np.stack([np.clip(waves, -0.5, 0.5) * (c + 1) + (0.5 * (c + 1) + low) for c in range(components)], -1)
    values = values.astype(np.float16 if half else dtype).astype(dtype)
    active = rng.random(shape) < 0.9
    values[~active] = 2 * values.max() + 1  # beyond the range of the active ones
    properties = GridProperties(half=half)
    return from_dense(
        values if components > 1 else values[..., 0], name="density", active=active, properties=properties, background=0
    )


def assert_within(values: np.ndarray, active: np.ndarray, tree: Tree) -> None:
    """Active values (N, M[, C]) lie in the range of those of the tree; no more of them are NaN or infinite."""
    true = by_component(tree.leaf)[unpack(tree.leaf.active)]
    values = values.reshape(*active.shape, -1)[active]
    for component in range(true.shape[1]):
        x, y = (array[:, component][np.isfinite(array[:, component])] for array in (true, values))
        assert len(values) - len(y) <= len(true) - len(x)
        assert not len(y) or (x.min() <= y.min() and y.max() <= x.max())


@pytest.mark.parametrize("kind", PROMISES)
@settings(max_examples=10)
@given(
    dtype=st.sampled_from(["f4", "f8"]),
    components=st.sampled_from([1, 3]),
    half=st.booleans(),
    low=st.sampled_from([0.0, -0.4, 0.1, 3.0]),
    seed=st.integers(0, 999),
)
def test_every_way_of_coding_and_decoding_stays_in_the_range(kind, dtype, components, half, low, seed):
    grid, promise = plateau(dtype, components, low, half=half, seed=seed), PROMISES[kind](half)
    coded = encoder.encode(grid.tree, promise)
    source, active = ValuesSource.of(coded, "test"), unpack(grid.tree.leaf.active)
    decoded = ValuesDecoder(source).decode().leaf.values
    assert decoded.tobytes() == coded.tree.leaf.values.tobytes()
    assert_within(decoded, active, grid.tree)
    assert promise.kept(grid.tree.leaf.values, decoded)[active].all()
    if half:
        assert decoded[active].tobytes() == decoded[active].astype(np.float16).astype(dtype).tobytes()
    for lod in LODS:
        cells = ValuesDecoder(source).cells(lod)
        assert_within(cells.values, cells.active, grid.tree)


@pytest.mark.parametrize("kind", PROMISES)
def test_tensors_stay_in_the_range_and_are_those_of_the_cpu(kind):
    pytest.importorskip("triton")
    grid = plateau(components=3)
    options = encoder.EncodeOptions(devices=("cpu",), implementation="reference")
    coded, on_cpu = (
        encoder.encode(grid.tree, PROMISES[kind](False), each) for each in (options, encoder.EncodeOptions())
    )
    assert (coded.payload, coded.chunks) == (on_cpu.payload, on_cpu.chunks)
    reader = ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(devices=("cpu",), implementation="reference"))
    tensor = reader.tensor().numpy()
    assert tensor.tobytes() == on_cpu.tree.leaf.values.tobytes()
    assert_within(tensor, unpack(grid.tree.leaf.active), grid.tree)


def test_values_are_clamped_at_all():
    """Without ranges, a good part of the values would be beyond."""
    grid = plateau()
    for kind in PROMISES:
        coded = encoder.encode(grid.tree, PROMISES[kind](False))
        values = coded.tree.leaf.values[unpack(grid.tree.leaf.active)]
        (ends,) = coded.head.promise.ranges
        assert (ends.low, ends.high) == (0, 1)
        assert ((values == 0) | (values == 1)).mean() > 0.3


def check_archive(original: VolumeGrid, frame: FrameReader, number: int) -> bool:
    """Whether a grid is lossy; then its active values lie in the range, to which the background belongs where the
    topology is pruned."""
    if frame.head(number) is None:
        return False
    tree, leaf = frame.read(number).tree, original.tree.leaf
    if frame.table.grids[number].pruned is not None:
        values = np.where(unpack(leaf.active), leaf.values, original.tree.root.background)
        leaf = replace(leaf, values=values, active=np.full_like(leaf.active, 255))
    assert_within(tree.leaf.values, unpack(tree.leaf.active), replace(original.tree, leaf=leaf))
    return True


@pytest.mark.parametrize("mode", SETTINGS)
def test_the_sample_stays_in_the_range(mode, sample, tmp_path):
    neuralvdb.compress(sample, tmp_path / "a.neuralvdb", replace(SETTINGS[mode], effort=0, threads=1))
    with FrameReader(tmp_path / "a.neuralvdb") as frame:
        lossy = [check_archive(original, frame, number) for number, original in enumerate(VdbReader(sample))]
    assert any(lossy)


def test_fog_without_negatives_keeps_none(tmp_path):
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij"))
    fog = np.exp(-8 * (x**2).sum(0)).astype(np.float32)
    write_vdb(tmp_path / "in.vdb", [from_dense(fog, name="density", active=fog > 1e-5)])
    neuralvdb.compress(tmp_path / "in.vdb", tmp_path / "a.neuralvdb", SETTINGS["relative error"])
    neuralvdb.decompress(tmp_path / "a.neuralvdb", tmp_path / "out.vdb")
    (grid,) = VdbReader(tmp_path / "out.vdb")
    values = grid.tree.leaf.values[unpack(grid.tree.leaf.active)]
    assert (values.min(), values.max()) >= (1e-5, 0)
    assert values.max() <= fog.max()


def test_infinities_and_nan_are_kept_and_widen_no_range():
    grid = plateau()
    points = np.argwhere(unpack(grid.tree.leaf.active))[::50][:3]
    grid.tree.leaf.values[tuple(points.T)] = np.nan, np.inf, -np.inf
    for kind in PROMISES:
        coded = encoder.encode(grid.tree, PROMISES[kind](False))
        assert coded.head.promise.ranges == (ValueRange(0.0, 1.0),)
        decoded = ValuesDecoder(ValuesSource.of(coded, "test")).decode().leaf.values
        assert decoded[tuple(points.T)].tobytes() == grid.tree.leaf.values[tuple(points.T)].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", PROMISES)
def test_where_nothing_is_finite_everything_is_kept(kind, value):
    values = np.full((9, 9, 9), value, np.float32)
    tree = from_dense(values, name="g", active=np.ones(values.shape, bool)).tree
    coded = encoder.encode(tree, PROMISES[kind](False))
    assert coded.head.promise.ranges == (ValueRange(0.0, 0.0),)
    assert ValuesDecoder(ValuesSource.of(coded, "test")).decode().leaf.values.tobytes() == tree.leaf.values.tobytes()


def test_active_tiles_beyond_the_range_are_exact():
    tree = plateau().tree
    slot = int(np.flatnonzero(~unpack(tree.lower.child)[0])[0])
    tree.lower.active[0, slot // 8] |= 1 << slot % 8
    tree.lower.values[0, slot] = 77
    decoded = ValuesDecoder(ValuesSource.of(encoder.encode(tree, PROMISES["means"](False)), "test")).decode()
    assert decoded.lower.values.tobytes() == tree.lower.values.tobytes()
    assert decoded.leaf.values.max() <= tree.leaf.values.max()


def test_ranges_are_exact_and_zeros_have_no_sign():
    values = np.full((8, 8, 8, 3), -0.0, np.float32)
    values[0, 0, 0] = 0.1, np.nan, -1e-30
    tree = from_dense(values, name="v", active=np.ones((8, 8, 8), bool)).tree
    ranges = ranges_of(tree, half=False)
    assert ranges == (ValueRange(0.0, float(np.float32(0.1))), ValueRange(), ValueRange(float(np.float32(-1e-30)), 0.0))
    assert not any(np.signbit([ends.low, ends.high]).any() for ends in ranges[:2])
    assert all(ends.fits(np.dtype("f4")) for ends in ranges)
    assert ranges_of(tree, half=True)[0] == ValueRange(0.0, float(np.float16(0.1)))


def test_ranges_of_halves_are_finite():
    values = np.full((8, 8, 8), 7e4, np.float32)
    assert ranges_of(from_dense(values, name="g", active=values > 0).tree, half=True) == (ValueRange(65504.0, 65504.0),)


def test_clamping_gives_the_same_bits_everywhere():
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from neuralvdb.values.device.lattice import rounded

    values = np.array([-0.0, 0.0, -1e-9, 0.05, 1e-9, 0.1, 0.3, np.inf, -np.inf, -5])
    for half in (False, True):
        ends = ValueRange(0.0, float(np.float16(0.1)))
        promise = replace(sample_promise("fog", max_error=1.0, half=half), ranges=(ends,))
        for dtype in (np.float32, np.float64):
            exact = values.astype(dtype)
            with np.errstate(over="ignore"):
                expected = ends.clamp(exact.astype(np.float32).astype(np.float16).astype(dtype) if half else exact)
            given = rounded(promise, torch.from_numpy(values), torch.from_numpy(exact).dtype, 0).numpy()
            assert given.tobytes() == expected.tobytes()
            assert np.signbit(expected[0])
            assert (expected >= 0).all()


WRONG = {
    "NaN": (ValueRange(np.nan, 1.0),),
    "the other way round": (ValueRange(1.0, 0.5),),
    "infinite": (ValueRange(-np.inf, np.inf),),
    "infinite above": (ValueRange(0.0, np.inf),),
    "none": (),
    "of three components": (ValueRange(0.0, 1.0),) * 3,
    "no float": (ValueRange(0.0, 0.1),),
    "beyond floats": (ValueRange(0.0, 1e300),),
}


def test_the_ends_stand_behind_the_numbers_of_the_promise():
    promise = replace(mean_promise(step=0.5, knee=2.0), ranges=(ValueRange(-1.0, 4.0), ValueRange(0.0, 0.5)))
    head = ValuesHead(promise=promise, models=b"networks", table_rows=tables.default_rows("fog-mean"), fine_tuned=False)
    out = FieldWriter()
    put_head(out, head)
    golden = "0300506e6574776f726b73000000000000f07f0000000000000000000000000000e03f0000000000000040"
    golden += "0000000000000000000000000000f0bf00000000000010400000000000000000000000000000e03f"
    assert out.getvalue().hex().startswith(golden)
    assert take_head(FieldReader(out.getvalue(), "test")).promise == promise


@pytest.mark.parametrize("wrong", WRONG)
def test_a_range_that_makes_no_sense_is_damage(wrong):
    tree = plateau().tree
    coded = encoder.encode(tree, PROMISES["maximum error"](False))
    assert source_with(coded, coded.head.promise.ranges).payload == coded.payload
    with pytest.raises(DamagedFile):
        ValuesDecoder(source_with(coded, WRONG[wrong]))


def source_with(coded, ranges: tuple[ValueRange, ...]) -> ValuesSource:
    """What encode() made, with other ranges."""
    out = FieldWriter(in_table=True)
    put_head(out, replace(coded.head, promise=replace(coded.head.promise, ranges=ranges)))
    put_tree_without_voxels(out, coded.tree)
    return replace(ValuesSource.of(coded, "test"), payload=pack_table(out.getvalue()), topology=Topology.of(coded.tree))
