"""Volumes of several chunks with tiles of every level, and OpenVDB's own view of files."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from neuralvdb.archive import ArchiveWriter, SectionLabel
from neuralvdb.codec.frame import FrameReader
from neuralvdb.topology import chunks
from neuralvdb.vdb import GridProperties, from_dense
from neuralvdb.volume import InnerLevel, Root, VolumeGrid
from neuralvdb.volume.lookup import bricks_at

ORACLES = Path(__file__).resolve().parent.parent / "oracles"
MODULES = {
    "pyopenvdb": os.environ.get("NEURALVDB_TEST_PYOPENVDB") or "/usr/bin/python3",
    "openvdb12": os.environ.get("NEURALVDB_TEST_BPY") or sys.executable,
}


def _run(python: str, script: str, *args: object) -> object:
    done = subprocess.run([python, str(ORACLES / script), *map(str, args)], capture_output=True, text=True, timeout=300)
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{python} has neither pyopenvdb nor bpy")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session", params=MODULES)
def probe(request) -> Callable[..., dict]:
    """What an OpenVDB module sees of (file, low, high)."""
    return lambda path, low, high: _run(MODULES[request.param], "probe.py", path, *low, *high)


@pytest.fixture(scope="session")
def probe12() -> Callable[..., dict]:
    """The same by OpenVDB 12, which reads all types."""
    return lambda path, low, high: _run(MODULES["openvdb12"], "probe.py", path, *low, *high)


@pytest.fixture(scope="session")
def make_odd() -> Callable[[str, Path], Path]:
    """Has OpenVDB 12 write a file of tests/oracles/make_odd.py."""

    def make(kind: str, path: Path) -> Path:
        _run(MODULES["openvdb12"], "make_odd.py", kind, path)
        return path

    return make


@pytest.fixture(scope="module", autouse=True)
def sparse() -> Iterator[None]:
    """The two blobs of a rod are chunks of their own."""
    with mock.patch.multiple(chunks, SPARSE=2, CROWD=1):
        yield


@pytest.fixture(scope="session")
def rod() -> Callable[..., VolumeGrid]:
    """Makes a grid: two rough blobs 1300 voxels apart, one across the origin, and tiles of 8, 128 and 4096 voxels."""

    made: dict[str, VolumeGrid] = {}

    def make(
        kind: str = "f4", components: int = 1, background: float = 0.0, properties: GridProperties = GridProperties()
    ) -> VolumeGrid:
        key = str((kind, components, background, properties))
        if key not in made:
            made[key] = new(kind, components, background, properties)
        return copy.deepcopy(made[key])

    def new(kind: str, components: int, background: float, properties: GridProperties) -> VolumeGrid:
        rng = np.random.default_rng(7)
        shape = (1300, 21, 27)
        active = rng.random(shape) < 0.8
        active[40:-30] = False
        x, y, z = np.indices(shape)
        waves = [np.sin(x * a / 9) * np.cos(y / 7 + z / (5 + a)) + 2 for a in range(1, components + 1)]
        values = np.stack(waves, -1) if components > 1 else waves[0]
        values = (values + rng.normal(0, 0.01, values.shape)).astype(kind)
        if properties.half:
            values = values.astype(np.float16).astype(kind)
        return with_tiles(
            from_dense(
                values, name="g", active=active, background=background, origin=(-20, -9, -13), properties=properties
            )
        )

    return make


def with_tiles(grid: VolumeGrid) -> VolumeGrid:
    """Adds an active tile of 8 voxels from (64, 0, 0), an inactive one beside it, an active one of 128 from (128, 0, 0)
    and an active one of the root, from (4096, 0, 0)."""
    tree = grid.tree
    upper = int(np.nonzero((tree.root.child_origins == 0).all(1))[0][0])
    lower = int(np.bitwise_count(tree.upper.child[:upper]).sum())  # the first child of that node is at its origin
    assert tree.upper.child[upper, 0] & 1
    arrays = [a.copy() for a in (tree.lower.active, tree.lower.values, tree.upper.active, tree.upper.values)]
    lower_active, lower_values, upper_active, upper_values = arrays
    slots = (8 * 256, 9 * 256, 1 * 1024)
    lower_active[lower, slots[0] // 8] |= 1
    lower_values[lower, slots[0]], lower_values[lower, slots[1]] = 2.5, 0.75
    upper_active[upper, slots[2] // 8] |= 1
    upper_values[upper, slots[2]] = 1.5
    root = replace(
        tree.root,
        tile_origins=np.array([[4096, 0, 0]], np.int32),
        tile_active=np.ones(1, np.uint8),
        tile_values=np.full((1, *tree.root.tile_values.shape[1:]), 3.5, tree.root.tile_values.dtype),
    )
    assert isinstance(root, Root)
    tree = replace(
        tree,
        root=root,
        lower=InnerLevel(tree.lower.child, lower_active, lower_values),
        upper=InnerLevel(tree.upper.child, upper_active, upper_values),
    )
    return replace(grid, tree=tree)


def dense(grid: VolumeGrid, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Values (X, Y, Z, C) and active (X, Y, Z) from `low` to `high`, both included."""
    first, last = np.array(low) // 8, np.array(high) // 8
    shape = last - first + 1
    origins = (np.stack(np.unravel_index(np.arange(shape.prod()), shape), 1) + first) * 8
    values, active = bricks_at(grid.tree, origins.astype(np.int32))
    region = tuple(slice(a - f * 8, b - f * 8 + 1) for a, b, f in zip(low, high, first, strict=True))

    def joined(bricks: np.ndarray) -> np.ndarray:
        cubes = bricks.reshape(*shape, 8, 8, 8, -1).transpose(0, 3, 1, 4, 2, 5, 6)
        return cubes.reshape(*shape * 8, -1)[region]

    return joined(values), joined(active)[..., 0]


@pytest.fixture(scope="session")
def dense_of() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """dense()."""
    return dense


@pytest.fixture
def forge(tmp_path: Path) -> Callable[..., Path]:
    """Writes an archive anew with what `change(section, payload)`, a list of the same, gives for each section."""

    def forged(archive: Path, change: Callable) -> Path:
        path = tmp_path / "forged.neuralvdb"
        with FrameReader(archive) as frame, open(path, "wb") as stream:
            writer = ArchiveWriter(stream)
            for section in frame.archive.sections:
                for s, payload in change(section, frame.archive.read(section)):
                    writer.add(
                        SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid, part=s.part),
                        payload,
                        raw_size=s.raw_size,
                    )
            writer.close()
        return path

    return forged


@pytest.fixture
def damage(tmp_path: Path) -> Callable[..., Path]:
    """A copy of an archive with a byte flipped in each section that `is_hit(section)` names."""

    def damaged(archive: Path, is_hit: Callable) -> Path:
        data = bytearray(archive.read_bytes())
        with FrameReader(archive) as frame:
            hit = [s for s in frame.archive.sections if is_hit(s)]
        assert hit
        for section in hit:
            data[section.offset + section.size // 2] ^= 0x10
        path = tmp_path / "damaged.neuralvdb"
        path.write_bytes(data)
        return path

    return damaged
