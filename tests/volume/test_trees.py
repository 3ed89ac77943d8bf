"""Trees of every shape come back bit for bit: from a .vdb file, and from an archive."""

import struct
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from neuralvdb import compress, decompress
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import InnerLevel, LeafLevel, Root, Storage, Tree, TreeLevel, VolumeGrid, leaf_origins, lookup
from neuralvdb.volume.lookup import bricks_at

TYPES = [("f4", ()), ("f8", ()), ("f4", (3,)), ("f8", (3,))]
CLASSES = ["unknown", "level set", "fog volume", "staggered"]
UNSIGNED = {"f4": "u4", "f8": "u8"}
SPECIAL = {  # zeros, denormals, infinities, NaNs with payloads, quiet and signalling, and ordinary values
    "f4": [0, 0x80000000, 1, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFC12345, 0x7F800001, 0x3F800000],
    "f8": [0, 1 << 63, 1, 0x7FF0 << 48, 0xFFF0 << 48, (0x7FF8 << 48) + 1, (0xFFF8 << 48) + 77, (0x7FF0 << 48) + 1],
}
# Which of background, its negative and two others are the inactive values of a node; () stands for any. Sets that
# no file can hold in a half grid whose background no half can hold are left out, such as (1, 2).
FEW: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (0, 1), (0, 2), (2, 3)]
HALVES = [0, 0x8000, 1, 0x83FF, 0x7C00, 0xFC00, 0x7E01, 0xFE55, 0x3C00, 0xBC00, 0x1234]  # likewise, as half

parameters = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(TYPES),
        "half": st.booleans(),
        "grid_class": st.sampled_from(CLASSES),
        "uppers": st.integers(0, 2),
        "tiles": st.integers(0, 3),
        "lowers": st.integers(0, 3),
        "leaves": st.integers(0, 12),
        "far": st.booleans(),
        "seed": st.integers(0, 2**32),
    }
)
light = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pool(kind: str, half: bool, rng: np.random.Generator) -> np.ndarray:
    """Values to build a grid of: special ones and random ones; all of them halves for a half grid."""
    if half:
        return np.concatenate([HALVES, rng.integers(0, 0x7C00, 20)]).astype("u2").view("f2").astype(kind)
    special = np.asarray(SPECIAL[kind], UNSIGNED[kind]).view(kind)
    return np.concatenate([special, rng.normal(size=20).astype(kind)])


def kinds(rng, values: np.ndarray, ground: np.ndarray, half: bool) -> np.ndarray | None:
    """(kinds, *tail): the inactive values of a node; None for any."""
    few = FEW[rng.integers(len(FEW))]
    inactive = np.stack([ground, -ground, *rng.choice(values, (2, *ground.shape))])[list(few)]
    if half and few and ((inactive[0] == inactive[-1]).all() or np.isnan(inactive).any()):
        inactive[-1] = inactive[0]  # OpenVDB takes 0 and -0 for one value, and two NaNs for many
    return inactive if few else None


def level(rng, shape: tuple[int, int], children: int, values: np.ndarray, ground: np.ndarray, half: bool) -> tuple:
    """Child and active (nodes, slots) bool and values (nodes, slots, *tail), each node of another habit."""
    nodes, slots = shape
    child, active = np.zeros((2, nodes, slots), bool)
    out = rng.choice(values, (nodes, slots, *ground.shape))
    for node in range(nodes):
        child[node, rng.choice(slots, min(children, slots), replace=False)] = True
        habits = [0, 1, np.arange(slots) % 2, rng.random(slots) < 0.5, np.arange(slots) == rng.integers(slots)]
        active[node] = habits[rng.integers(len(habits))]
        inactive = kinds(rng, values, ground, half)
        if inactive is not None:
            out[node, ~active[node]] = rng.choice(inactive, int((~active[node]).sum()))
    out[child] = 0
    return child, active & ~child, out


def packed(child: np.ndarray | None, active: np.ndarray, values: np.ndarray) -> TreeLevel:
    pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
    return LeafLevel(pack(active), values) if child is None else InnerLevel(pack(child), pack(active), values)


def build(p: dict) -> VolumeGrid:
    """The grid that the parameters describe."""
    rng = np.random.default_rng(p["seed"])
    kind, tail = p["kind"]
    values = pool(kind, p["half"], rng)
    ground = rng.choice(values, tail) if rng.random() < 0.5 else np.full(tail, 1 / 3, kind)  # no half holds a third
    ground = np.asarray(ground, kind)
    reach = 1 << 19 if p["far"] else 2  # of the root table, in its entries
    origins = np.unique(rng.integers(-reach, reach, (p["uppers"] + p["tiles"], 3)), axis=0) * 4096
    is_tile = rng.permutation(len(origins)) < p["tiles"]
    uppers, tiles = origins[~is_tile].astype("i4"), origins[is_tile].astype("i4")
    upper = level(rng, (len(uppers), 32768), p["lowers"], values, ground, p["half"])
    lower = level(rng, (int(upper[0].sum()), 4096), p["leaves"], values, ground, p["half"])
    _, active, voxels = level(rng, (int(lower[0].sum()), 512), 0, values, ground, p["half"])
    root = Root(ground, uppers, tiles, rng.integers(0, 2, len(tiles), "u1"), rng.choice(values, (len(tiles), *tail)))
    active_voxel = np.ones((1, 1, 1), bool)
    properties = GridProperties(grid_class=p["grid_class"], half=p["half"])
    host = from_dense(np.ones((1, 1, 1, *tail), kind), name="g", active=active_voxel, properties=properties)
    return replace(host, tree=Tree(root, packed(*upper), packed(*lower), packed(None, active, voxels)))


def arrays(tree: Tree) -> dict[str, tuple]:
    """All of a tree's arrays as type, shape and bytes."""
    by_name = {f"root.{name}": getattr(tree.root, name) for name in tree.root.__dataclass_fields__}
    for name_of_level, level_of_tree in zip(("upper", "lower", "leaf"), tree.levels, strict=True):
        by_name.update({f"{name_of_level}.{name}": array for name, array in vars(level_of_tree).items()})
    return {k: (a.dtype.str, a.shape, np.ascontiguousarray(a).tobytes()) for k, a in by_name.items() if a is not None}


def assert_same(first: VolumeGrid, second: VolumeGrid) -> None:
    first_arrays, second_arrays = arrays(first.tree), arrays(second.tree)
    assert [name for name in first_arrays if first_arrays[name] != second_arrays[name]] == []
    assert replace(first, tree=None) == replace(second, tree=None)


FULL = {
    "kind": ("f4", ()),
    "half": False,
    "grid_class": "fog volume",
    "uppers": 1,
    "tiles": 1,
    "lowers": 1,
    "far": False,
}


@pytest.mark.slow
@given(parameters, st.sampled_from(["blosc", "zip", "none"]))
@example({**FULL, "leaves": 4096, "seed": 1}, "blosc")
@light
def test_tree_survives_a_vdb_file(p: dict, compression: str) -> None:
    grid = build(p)
    with TemporaryDirectory() as folder:
        write_vdb(f"{folder}/a.vdb", [grid], compression=compression)
        (read,) = VdbReader(f"{folder}/a.vdb")
        assert_same(grid, read)


@pytest.mark.slow
@given(parameters)
@example({**FULL, "leaves": 4096, "seed": 2})
@light
def test_tree_survives_an_archive(p: dict) -> None:
    grid = build(p)
    with TemporaryDirectory() as folder:
        write_vdb(f"{folder}/a.vdb", [grid])
        compress(f"{folder}/a.vdb", f"{folder}/a.neuralvdb", CompressSettings(quality="lossless", verify=False))
        decompress(f"{folder}/a.neuralvdb", f"{folder}/b.vdb")
        (read,) = VdbReader(f"{folder}/b.vdb")
        assert_same(grid, read)


def serialised(tree: Tree) -> bytes:
    """The tree as OpenVDB writes it uncompressed: topology, then values of leaves."""
    root, is_whole = tree.root, b"\x06"  # before values of which none is left out
    lowers, leaves = range(len(tree.lower)), range(len(tree.leaf))
    upper_of, lower_of = (np.nonzero(np.unpackbits(inner.child, axis=1))[0] for inner in (tree.upper, tree.lower))

    def node(inner: InnerLevel, i: int) -> bytes:
        return inner.child[i].tobytes() + inner.active[i].tobytes() + is_whole + inner.values[i].tobytes()

    def lower(i: int) -> bytes:
        return node(tree.lower, i) + b"".join(
            tree.leaf.active[leaf].tobytes() for leaf in leaves if lower_of[leaf] == i
        )

    out = struct.pack("<i", 1) + root.background.tobytes() + struct.pack("<2I", len(root.tile_active), len(tree.upper))
    for at, value, active in zip(root.tile_origins, root.tile_values, root.tile_active, strict=True):
        out += at.tobytes() + value.tobytes() + active.tobytes()
    for i, at in enumerate(root.child_origins):
        out += at.tobytes() + node(tree.upper, i) + b"".join(lower(child) for child in lowers if upper_of[child] == i)
    return out + b"".join(tree.leaf.active[i].tobytes() + is_whole + tree.leaf.values[i].tobytes() for i in leaves)


def without_zeros(tree: Tree) -> Tree:
    """The tree with ones for zeros: one with 0 and -0, which OpenVDB does not tell apart, is written with more care."""
    for values in (level_of_tree.values for level_of_tree in tree.levels):
        values[values == 0] = 1
    for inner in (tree.upper, tree.lower):
        inner.values[np.unpackbits(inner.child, axis=1, bitorder="little").view(bool)] = 0
    background = np.where(tree.root.background == 0, 1, tree.root.background).astype(tree.root.background.dtype)
    return replace(tree, root=replace(tree.root, background=background))


@given(parameters, st.sampled_from(["blosc", "zip", "none"]))
@example({**FULL, "leaves": 4096, "seed": 4}, "blosc")
@settings(light, max_examples=15)
def test_files_are_what_openvdb_writes(p: dict, compression: str) -> None:
    """Values go from arrays to the file without OpenVDB's leaves, which would write the same bytes."""
    grid = build({**p, "half": False})
    grid = replace(grid, tree=without_zeros(grid.tree))
    serial = replace(grid, storage=Storage.SERIAL, tree=None, blob=serialised(grid.tree))
    with TemporaryDirectory() as folder:
        for name, written in (("a", grid), ("b", serial)):
            write_vdb(f"{folder}/{name}.vdb", [written], compression=compression)
        assert Path(f"{folder}/a.vdb").read_bytes() == Path(f"{folder}/b.vdb").read_bytes()


def brick_slowly(tree: Tree, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition of bricks_at(), one brick at a time: down from the root until something is not a node."""
    root = tree.root
    shape = (512, *root.background.shape)
    for at, active, value in zip(root.tile_origins, root.tile_active, root.tile_values, strict=True):
        if (at == origin // 4096 * 4096).all():
            return np.broadcast_to(value, shape), np.full(512, bool(active))
    node = next((i for i, at in enumerate(root.child_origins) if (at == origin // 4096 * 4096).all()), None)
    if node is None:
        return np.broadcast_to(root.background, shape), np.zeros(512, bool)
    for level_of_tree, edge, span in ((tree.upper, 128, 32), (tree.lower, 8, 16)):
        x, y, z = origin // edge % span
        slot = (x * span + y) * span + z
        child = np.unpackbits(level_of_tree.child, axis=1, bitorder="little")
        if not child[node, slot]:
            active = np.unpackbits(level_of_tree.active[node], bitorder="little")[slot]
            return np.broadcast_to(level_of_tree.values[node, slot], shape), np.full(512, bool(active))
        node = int(child[:node].sum()) + int(child[node, :slot].sum())
    return tree.leaf.values[node], np.unpackbits(tree.leaf.active[node], bitorder="little").view(bool)


@given(parameters)
@light
def test_bricks_at_is_the_slow_way(p: dict) -> None:
    tree = build(p).tree
    rng = np.random.default_rng(p["seed"])
    roots = np.concatenate([tree.root.child_origins, tree.root.tile_origins, [[0, 0, 4096]]])
    points = rng.choice(roots, 10) + rng.integers(0, 512, (10, 3)) * 8
    origins = np.concatenate([points, leaf_origins(tree)[:10]]).astype(np.int32)
    values, active = bricks_at(tree, origins)
    for i, origin in enumerate(origins):
        slow_values, slow_active = brick_slowly(tree, origin)
        assert values[i].tobytes() == np.ascontiguousarray(slow_values).tobytes()
        assert (active[i] == slow_active).all()


def test_bricks_at_nowhere() -> None:
    tree = build({**FULL, "uppers": 0, "tiles": 0, "leaves": 0, "seed": 3}).tree
    values, active = bricks_at(tree, np.zeros((0, 3), np.int32))
    assert values.shape == (0, 512, 1) and active.shape == (0, 512)


def test_half_background_beside_negative_zero(tmp_path: Path) -> None:
    """Old files hold half grids with a background that no half can hold; a -0 elsewhere must not round it."""
    ground = np.float32(1 / 3)
    values = np.full((8, 8, 8), ground)
    values[0, 0, 0], values[0, 0, 1] = 1, -0.0
    grid = from_dense(values, name="g", active=values == 1, background=ground, properties=GridProperties(half=True))
    write_vdb(tmp_path / "a.vdb", [grid])
    assert_same(grid, VdbReader(tmp_path / "a.vdb").read(0))


@pytest.mark.parametrize("half", [False, True])
def test_background_keeps_its_bits(half: bool, tmp_path: Path) -> None:
    """Even in a half grid, where OpenVDB itself would round it."""
    grid = build({**FULL, "half": half, "leaves": 2, "seed": 4})
    grid.tree.root.background = np.asarray(1 / 3, np.float32)
    write_vdb(tmp_path / "a.vdb", [grid])
    assert_same(grid, VdbReader(tmp_path / "a.vdb").read(0))


def test_few_origins_are_found_as_many_are(monkeypatch):
    among = np.array([[0, 128, -128], [128, 0, 0], [-128, 0, 0]], np.int32)
    wanted = np.concatenate([among[::-1], among + 1, among])
    for count in range(4):
        few = lookup.find(among[:count], wanted)
        with monkeypatch.context() as patch:
            patch.setattr(lookup, "_FEW", -1)
            assert few.tolist() == lookup.find(among[:count], wanted).tolist()
