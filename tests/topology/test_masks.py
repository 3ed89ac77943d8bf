"""nvdb decompress --topology-only: mask grids of what is active."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings
from neuralvdb.errors import UsageError
from neuralvdb.settings import Bound
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import Storage

PROPERTIES = GridProperties(grid_class="fog volume", half=True)


def active_of(path: Path) -> list[tuple[str, int, int, tuple]]:
    """Name, active voxels, active tiles and box of every grid."""
    reader = VdbReader(path)
    outlines = [reader.outline(i) for i in range(len(reader.entries))]
    return [
        (entry.name, outline.active_voxels, outline.active_tiles, outline.active_bbox)
        for entry, outline in zip(reader.entries, outlines, strict=True)
    ]


def test_masks_of_real_files(real_grids, tmp_path):
    archive, masks = tmp_path / "x.neuralvdb", tmp_path / "masks.vdb"
    neuralvdb.compress(real_grids, archive, CompressSettings(quality="lossless", verify=False))
    report = neuralvdb.decompress(archive, masks, DecompressSettings(topology_only=True))
    reader = VdbReader(masks)
    assert {entry.grid_type for entry in reader.entries} <= {"Tree_mask_5_4_3"}
    source = VdbReader(real_grids)
    trees = {grid.unique_name for grid in source if grid.storage is Storage.TREE}
    wanted = [
        of_grid
        for of_grid, entry in zip(active_of(real_grids), source.entries, strict=True)
        if entry.unique_name in trees
    ]
    assert active_of(masks) == wanted
    assert len(report.grids) + len(report.notes) == len(source.entries)


def test_the_mask_is_the_same_voxels(sample, tmp_path):
    """As OpenVDB serialises the tree: its leaf masks are those of the source, in order."""
    archive, masks = tmp_path / "x.neuralvdb", tmp_path / "masks.vdb"
    neuralvdb.compress(sample, archive, CompressSettings(quality="lossless"))
    neuralvdb.decompress(archive, masks, DecompressSettings(topology_only=True, grids=("density",)))
    (grid,) = VdbReader(masks)
    leaves = VdbReader(sample).read(0).tree.leaf.active
    assert grid.storage is Storage.SERIAL
    assert all(mask.tobytes() in grid.blob for mask in leaves)


def test_masks_of_instances_share_the_mask(tmp_path):
    """What grids say of their values, class and half, no mask says."""
    active = np.ones((9, 9, 9), bool)
    fog = from_dense(active.astype(np.float32), name="fog", active=active, properties=PROPERTIES)
    again = replace(fog, unique_name=b"again", storage=Storage.INSTANCE, parent=b"fog", tree=None)
    write_vdb(tmp_path / "x.vdb", [again, fog])
    neuralvdb.compress(tmp_path / "x.vdb", tmp_path / "x.neuralvdb", CompressSettings(quality="lossless"))
    neuralvdb.decompress(tmp_path / "x.neuralvdb", tmp_path / "m.vdb", DecompressSettings(topology_only=True))
    first, second = VdbReader(tmp_path / "m.vdb")
    assert (first.storage, first.parent, second.storage) == (Storage.INSTANCE, b"fog", Storage.SERIAL)
    assert [(grid.grid_type, grid.half, b"fog volume" in grid.metadata) for grid in (first, second)] == [
        ("Tree_mask_5_4_3", False, False)
    ] * 2
    assert (tmp_path / "m.vdb").stat().st_size < 1.5 * len(second.blob)


def test_a_pruned_mask_is_that_of_the_grid(sample, tmp_path):
    archive = tmp_path / "x.neuralvdb"
    options = CompressSettings(bounds=(Bound(value=0.2, relative=True),), topology="pruned", grids=("temperature",))
    assert neuralvdb.compress(sample, archive, options).pruned
    neuralvdb.decompress(archive, tmp_path / "masks.vdb", DecompressSettings(topology_only=True))
    neuralvdb.decompress(archive, tmp_path / "values.vdb")
    (mask,), (values,) = active_of(tmp_path / "masks.vdb"), active_of(tmp_path / "values.vdb")
    assert mask[:3] == values[:3]


def test_with_a_box_it_is_refused(sample, tmp_path):
    neuralvdb.compress(sample, tmp_path / "x.neuralvdb", CompressSettings(quality="lossless", verify=False))
    with pytest.raises(UsageError, match="topology alone"):
        neuralvdb.decompress(
            tmp_path / "x.neuralvdb", tmp_path / "y.vdb", DecompressSettings(topology_only=True, lod=1)
        )


def test_the_command(sample, tmp_path, nvdb):
    nvdb("compress", sample, "-o", tmp_path / "x.neuralvdb")
    done = nvdb("decompress", tmp_path / "x.neuralvdb", "--topology-only", "-o", tmp_path / "masks.vdb")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(
        [masks[0] for masks in active_of(tmp_path / "masks.vdb")], ["density", "temperature", "velocity"]
    )
