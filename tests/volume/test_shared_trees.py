"""Of grids that share a tree only the first is compressed: later ones copy its bytes, where those would be the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb.vdb import _bridge, files, from_dense, write_vdb
from neuralvdb.volume import VolumeGrid

BARE, FOG, HALF = {}, {"class": "fog volume"}, {"is_saved_as_half_float": True}
INACTIVE_ZEROS = {"both zeros": -0.0, "one zero": 0.0}  # the first forbids OpenVDB's compression by masks


def grids(inactive: float, kinds: list[dict], *, shared: bool) -> Iterator[VolumeGrid]:
    values = np.random.default_rng(1).normal(size=(20, 16, 24)).astype(np.float32)
    active = values > 0
    values[~active] = 0
    values[3, 3, 3], active[3, 3, 3] = inactive, False
    grid = from_dense(values, name="g", active=active)
    assert grid.tree is not None
    for number, kind in enumerate(kinds):
        tree = grid.tree if shared else replace(grid.tree)
        metadata = _bridge.make_metadata(kind)
        yield replace(grid, unique_name=b"g\x1e%d" % number, metadata=metadata, half=kind is HALF, tree=tree)


@pytest.mark.parametrize("inactive", INACTIVE_ZEROS.values(), ids=INACTIVE_ZEROS)
@pytest.mark.parametrize(
    ("compression", "compressed"),
    [("blosc", 3), ("none", 3), ("zip", 4)],  # zip is not used for fog
)
def test_bytes_are_those_of_trees_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, compressed: int, inactive: float
) -> None:
    kinds = [BARE, BARE, FOG, HALF, HALF, BARE]
    calls: list[object] = []
    arrays_of = files.arrays_of
    monkeypatch.setattr(files, "arrays_of", lambda tree: calls.append(tree) or arrays_of(tree))
    write_vdb(tmp_path / "own.vdb", grids(inactive, kinds, shared=False), compression=compression)
    assert len(calls) == len(kinds)
    write_vdb(tmp_path / "shared.vdb", grids(inactive, kinds, shared=True), compression=compression)
    assert len(calls) - len(kinds) == compressed
    assert (tmp_path / "shared.vdb").read_bytes() == (tmp_path / "own.vdb").read_bytes()
