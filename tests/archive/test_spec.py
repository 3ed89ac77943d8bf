"""SPEC.md and the code say the same: a reader made from the text alone gives the same tables and arrays."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuralvdb
from neuralvdb.codec.frame import FrameReader
from neuralvdb.settings import CompressSettings
from neuralvdb.topology.chunks import group_leaves
from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import InnerLevel, LeafLevel, Root, Storage, Tree, TreeLevel, VolumeGrid
from neuralvdb.volume.grid import TREE_TYPES, leaf_origins, unpack
from neuralvdb.volume.regions import keep_leaves

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "data" / "sample").glob("*.vdb"))
ORIGIN_STEP = 4096


def arrays_of(tree: Tree) -> dict[str, np.ndarray]:
    """The arrays of a tree by the names of the reader made from SPEC.md."""
    root = tree.root
    arrays = {
        "child origins": root.child_origins,
        "tile origins": root.tile_origins,
        "tile active": root.tile_active,
        "background": root.background,
        "tile values": root.tile_values,
    }
    for name, level in zip(("upper", "lower", "leaf"), tree.levels, strict=True):
        of_level = {"child": getattr(level, "child", None), "active": level.active, "values": level.values}
        arrays.update({f"{name} {what}": array for what, array in of_level.items() if array is not None})
    return arrays


def table_row(head) -> tuple:
    """A row of the table as the code has it, in the order of SPEC.md."""
    names = (head.unique_name, head.grid_type, head.parent, head.metadata, head.transform, head.content)
    sizes = (head.block_offset, head.source_size, head.topology_of, head.leaves, head.active_tiles, head.active_voxels)
    return (*names, int(head.half), int(head.storage), *sizes, 0 if head.pruned is None else head.pruned + 1)


def check(reader, bits_equal, source: Path, archive: Path) -> list:
    """Compresses `source` and asserts that SPEC.md's reader, ours and the source agree; gives SPEC.md's grids."""
    neuralvdb.compress(source, archive, CompressSettings(quality="lossless"))
    (theirs,) = reader.read_archive(archive)
    original = VdbReader(source)
    with FrameReader(archive) as read_by_us:
        table = read_by_us.table
        assert (theirs.version, theirs.openvdb_version, theirs.uuid) == (
            table.version,
            table.openvdb_version,
            table.uuid,
        )
        assert (theirs.metadata, theirs.source_size) == (table.metadata, table.source_size)
        assert theirs.complete == int(table.complete) == 1
        assert len(theirs.grids) == len(table.grids) == len(original.entries)
        for index, (grid, head) in enumerate(zip(theirs.grids, table.grids, strict=True)):
            fields = [getattr(grid, name) for name in list(grid.__dataclass_fields__)[:15]]
            assert tuple(fields) == table_row(head)
            for volume in (read_by_us.read(index), original.read(index)):
                assert grid.blob == volume.blob
                expected = arrays_of(volume.tree) if volume.tree is not None else {}
                assert grid.arrays.keys() == expected.keys()
                assert [n for n in expected if not bits_equal(grid.arrays[n], expected[n])] == []
    return theirs.grids


def with_few_leaves(source: Path, folder: Path) -> Path:
    """The file, or where it is large one of its grids with up to 20 of their leaves: the reader takes long."""
    if source.stat().st_size < 100_000:
        return source
    grids = []
    for grid in VdbReader(source):
        if grid.tree is not None:
            keep = np.arange(len(grid.tree.leaf.values)) % max(1, len(grid.tree.leaf.values) // 20) == 0
            grid = replace(grid, tree=keep_leaves(grid.tree, keep))
        grids.append(grid)
    write_vdb(folder / source.name, grids)
    return folder / source.name


@pytest.mark.slow
@pytest.mark.parametrize("source", SAMPLES, ids=[path.name for path in SAMPLES])
def test_samples_decode_by_the_specification(spec_reader, bits_equal, source, tmp_path):
    assert check(spec_reader, bits_equal, with_few_leaves(source, tmp_path), tmp_path / "x.neuralvdb")


def test_there_are_samples():
    assert len(SAMPLES) == 3


@pytest.mark.slow
def test_files_of_other_programs_decode_by_the_specification(spec_reader, bits_equal, data, tmp_path):
    files = sorted((data / "hosts").glob("*.vdb"))
    assert files
    ways = set()
    for source in files:
        few = with_few_leaves(source, tmp_path)
        ways |= {g.way for g in check(spec_reader, bits_equal, few, tmp_path / f"{source.stem}.neuralvdb")}
    assert {spec_reader.TREE, spec_reader.SERIAL} <= ways


def palette(rng: np.random.Generator, kind: str, dtype: np.dtype, background: np.ndarray, shape: tuple) -> np.ndarray:
    """Values (*shape, C) that make every class of nodes and every stored type occur."""
    components = len(background)
    if kind == "any bits":
        return rng.integers(0, 1 << 8 * dtype.itemsize, (*shape, components), f"u{dtype.itemsize}").view(dtype)
    if kind == "half":
        return rng.integers(0, 1 << 16, (*shape, components), np.uint16).view(np.float16).astype(dtype)
    choices = [background, -background, np.full(components, 0.1, dtype), np.full(components, np.nan, dtype)]
    picked = rng.choice(len(choices), size=rng.integers(1, 5), replace=False)
    return np.stack([choices[i] for i in picked])[rng.integers(0, len(picked), shape)]


def level_of(rng, kinds, nodes, slots, children, background) -> TreeLevel:
    """`nodes` nodes of `slots` slots; node 0 holds `children` children if it exists; each node has its own kind."""
    child, active = np.zeros((nodes, slots), bool), rng.random((nodes, slots)) < rng.choice([0, 0.01, 0.5, 1])
    if nodes:
        child[0, rng.choice(slots, children, replace=False)] = True
    active &= ~child
    of_nodes = [palette(rng, rng.choice(kinds), background.dtype, background, (slots,)) for _ in range(nodes)]
    values = np.stack(of_nodes) if of_nodes else np.zeros((0, slots, len(background)), background.dtype)
    values[child] = 0
    pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
    return InnerLevel(pack(child), pack(active), values) if slots > 512 else LeafLevel(pack(active), values)


@st.composite
def trees(draw) -> tuple[str, Tree]:
    """A grid type and a tree of a few nodes and root tiles."""
    name = draw(st.sampled_from(sorted(TREE_TYPES)))
    dtype, components = TREE_TYPES[name]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    kinds = draw(st.lists(st.sampled_from(("few", "half", "any bits")), min_size=1, max_size=3))
    uppers, tiles = draw(st.integers(0, 2)), draw(st.integers(0, 3))
    lowers = draw(st.integers(0, 2)) if uppers else 0
    leaves = draw(st.integers(0, 5)) if lowers else 0
    background = np.array(draw(st.sampled_from([[0.0, 0, 0], [-0.0, 1, 2], [3e-5, 3e-5, 7]])), dtype)[:components]
    origins = (rng.permutation(64)[: uppers + tiles, None] // np.array([16, 4, 1]) % 4 - 2) * ORIGIN_STEP
    node_origins = origins.astype(np.int32)
    active = rng.integers(0, 2, tiles, np.uint8)
    root_tiles = palette(rng, rng.choice(kinds), dtype, background, (tiles,)).reshape(tiles, components)
    sizes = ((uppers, 32768, lowers), (lowers, 4096, leaves), (leaves, 512, 0))
    levels = [level_of(rng, kinds, n, slots, children, background) for n, slots, children in sizes]
    tail = () if components == 1 else (components,)
    for level in levels:
        level.values = level.values.reshape(*level.values.shape[:2], *tail)
    root = Root(
        background.reshape(tail)[()],
        node_origins[:uppers],
        node_origins[uppers:],
        active,
        root_tiles.reshape(tiles, *tail),
    )
    return name, Tree(root, *levels)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(trees(), min_size=1, max_size=2))
def test_made_grids_decode_by_the_specification(spec_reader, bits_equal, tmp_path, sample, made):
    model = VdbReader(sample).read(0)
    grids = [
        VolumeGrid(b"g%d" % i, kind, False, Storage.TREE, b"", model.metadata, model.transform, tree)
        for i, (kind, tree) in enumerate(made)
    ]
    write_vdb(tmp_path / "made.vdb", grids)
    archive = tmp_path / "made.neuralvdb"
    archive.unlink(missing_ok=True)
    assert len(check(spec_reader, bits_equal, tmp_path / "made.vdb", archive)) == len(made)


@pytest.mark.slow
def test_similar_topologies_decode_by_the_specification(spec_reader, bits_equal, tmp_path):
    """One is coded from the other, where there are leaves and where there are tiles or nothing."""
    rng = np.random.default_rng(3)
    rough = np.linalg.norm(np.indices((20, 20, 20)) - 9.5, axis=0) + rng.normal(0, 1, (20, 20, 20)) < 8
    masks = [
        rough,
        rough ^ ((rng.random(rough.shape) < 0.01) & rough),
        np.pad(rough, ((8, 0), (0, 0), (0, 0)))[:20] | rough,
    ]
    grids = [from_dense(np.ones(rough.shape, "f4"), name=f"g{i}", active=mask) for i, mask in enumerate(masks)]
    write_vdb(tmp_path / "made.vdb", grids)
    check(spec_reader, bits_equal, tmp_path / "made.vdb", tmp_path / "made.neuralvdb")
    sections = spec_reader.read_sections((tmp_path / "made.neuralvdb").read_bytes())
    assert {s.codec for s in sections if s.kind == "TOPO"} >= {1, 2}


@pytest.mark.slow
def test_a_box_decodes_by_the_specification(spec_reader, bits_equal, tmp_path):
    """It lies in two upper nodes, and one of its leaves is a tile."""
    shape = (30, 140, 33)
    grid = from_dense(np.ones(shape, "f4"), name="box", active=np.ones(shape, bool), origin=(-5, 3, 4080))
    lower, leaf = grid.tree.lower, grid.tree.leaf
    full = int(np.flatnonzero(leaf.active.all(1))[0])
    node, slot = (indices[full] for indices in np.nonzero(unpack(lower.child)))
    for mask in (lower.child, lower.active):
        mask[node, slot // 8] ^= 1 << slot % 8
    lower.values[node, slot] = 1
    without_full = replace(leaf, active=np.delete(leaf.active, full, 0), values=np.delete(leaf.values, full, 0))
    write_vdb(tmp_path / "made.vdb", [replace(grid, tree=replace(grid.tree, leaf=without_full))])
    check(spec_reader, bits_equal, tmp_path / "made.vdb", tmp_path / "made.neuralvdb")
    sections = spec_reader.read_sections((tmp_path / "made.neuralvdb").read_bytes())
    assert {s.codec for s in sections if s.kind == "TOPO"} == {3}


HALVES = np.arange(1 << 16, dtype=np.uint16)


@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_every_half_widens_by_the_specification(spec_reader, wide):
    """Each of the 65,536 half floats becomes the same bits in numpy, which the decoder uses, and by SPEC.md."""
    width = np.dtype(wide).itemsize
    numpy_bits = HALVES.view(np.float16).astype(wide).view(f"u{width}")
    spec_bits = [spec_reader.widened(int(half), 2, width) for half in HALVES]
    assert numpy_bits.tolist() == spec_bits


def test_the_oracle_imports_nothing_of_ours():
    for name in ("spec_reader.py", "spec_blocks.py"):
        tree = ast.parse((ROOT / "tests" / "oracles" / name).read_text())
        modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert modules and not [module for module in modules if module.partition(".")[0] == "neuralvdb"]


@pytest.mark.slow
def test_chunks_of_topology_decode_by_the_specification(spec_reader, bits_equal, tmp_path):
    """A thin rod that is too long for a cube, and pieces far apart that share a chunk."""
    x, y, z = np.ogrid[:22, :22, :12000]
    active = (x - 11) ** 2 + (y - 9 - 3 * np.sin(z / 31)) ** 2 < (5 + 3 * np.sin(z / 9.7)) ** 2
    active[:, :, 140:-30] = False
    active[0, 0, [4500, 5500, 8000]] = True
    rods = from_dense(active.astype(np.float32), name="rods", active=active)
    write_vdb(tmp_path / "rods.vdb", [rods])
    groups = group_leaves(leaf_origins(rods.tree))
    assert [len(group.low) for group in groups] == [1, 5]
    assert check(spec_reader, bits_equal, tmp_path / "rods.vdb", tmp_path / "rods.neuralvdb")
    with FrameReader(tmp_path / "rods.neuralvdb") as frame:
        assert [section.codec for section in frame.archive.sections if section.kind == "TOPO"] == [1]
