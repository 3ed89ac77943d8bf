"""compress() on a device writes the archives that it writes on the CPU, byte for byte, of real grids."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings, devices
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.settings import Bound
from neuralvdb.topology import device as masks
from neuralvdb.values.device import decoder, encoder
from neuralvdb.vdb import VdbReader, write_vdb
from neuralvdb.volume.regions import keep_leaves

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "sample"
PSNR = Bound(value=40.0, relative=False, decibels=True)
# fog and vectors, sample and mean lattice, companded too; a search for a PSNR; networks that are fitted; a level set
CASES = {
    "smoke": ("smoke", CompressSettings(bounds=(Bound(value=0.02, relative=True),), effort=0)),
    "tolerance": ("smoke", CompressSettings(bounds=(Bound(value=0.01, relative=True, ratio=0.1),), effort=0)),
    "quality": ("smoke", CompressSettings(quality="production", effort=0)),
    "psnr": ("cloud", CompressSettings(bounds=(PSNR,), effort=0)),
    "fitted": ("cloud", CompressSettings(bounds=(Bound(value=0.01, relative=True),), effort=3)),
    "level set": ("levelset", CompressSettings(bounds=(Bound(value=0.1, relative=False),), effort=0)),
}


def recorded(kind: type, options: dict[str, str], names: list[str]) -> type:
    """The class with other options, which appends its name to `names` when one is made, and whether a reference
    corrects."""

    class Recorded(kind):
        def __init__(self, *args, **keywords):
            names.append(kind.__name__ + ", referred" * (keywords.get("reference") is not None))
            super().__init__(*args, **keywords | options)

    return Recorded


@pytest.fixture
def on_device(device, monkeypatch):
    """Devices are the GPUs, or the CPU with references of kernels; what was encoded there."""
    expected = (f"{device}:0",) if device == "cuda" else ("cpu",)
    monkeypatch.setattr(devices, "resolve", lambda name: () if name == "cpu" else expected)
    monkeypatch.setattr(devices, "described", ", ".join)
    devices_used = []
    for module, name in ((encoder, "DeviceEncoder"), (decoder, "DeviceDecoder"), (masks, "DeviceMasks")):
        options = {"implementation": "reference"} if device == "cpu" else {}
        monkeypatch.setattr(module, name, recorded(getattr(module, name), options, devices_used))
    return devices_used


def with_few_leaves(name: str, folder: Path) -> Path:
    """A sample, with the first 40 leaves of each grid: there may be nothing but references of kernels."""
    grids = list(VdbReader(SAMPLES / f"{name}.vdb"))
    write_vdb(
        folder / "few.vdb",
        [replace(g, tree=keep_leaves(g.tree, np.arange(len(g.tree.leaf.active)) < 40)) for g in grids],
    )
    return folder / "few.vdb"


@pytest.mark.parametrize("case", CASES)
def test_archives_are_those_of_the_cpu(on_device, tmp_path, case):
    name, settings = CASES[case]
    whole = case == "fitted"  # fitting pays for no small grid
    source = SAMPLES / f"{name}.vdb" if whole else with_few_leaves(name, tmp_path)
    for device in ("cpu", "cuda"):
        on_this_device = replace(settings, device=device, threads=1)
        report = neuralvdb.compress(source, tmp_path / device, on_this_device)
        assert bool(on_device) == (device == "cuda")
    assert report.promises
    assert set(on_device) >= {"DeviceEncoder", "DeviceDecoder"}
    assert (tmp_path / "cuda").read_bytes() == (tmp_path / "cpu").read_bytes()


SHOTS = {
    "vectors, levels": CompressSettings(bounds=(Bound(value=0.01, relative=True),), effort=0),
    "means": CompressSettings(quality="production", effort=0),
}


@pytest.mark.parametrize("shot", SHOTS)
def test_frames_coded_from_each_other_are_those_of_the_cpu(on_device, tmp_path, data, shot):
    """A chunk of real frames: grids with a source in their frame and in the one before, vectors among them."""
    sources = [FrameSource(str(data / "sequence-blender" / f"fluid_data_{n:04}.vdb"), n) for n in (24, 25)]
    for device in ("cpu", "cuda"):
        settings = replace(SHOTS[shot], device=device, threads=1, grids=("velocity", "density"))
        with compressing_frames(sources, str(tmp_path / device), settings, ShotSoFar(2)) as task:
            task.work()
        assert bool(on_device) == (device == "cuda")
    assert (tmp_path / "cuda").read_bytes() == (tmp_path / "cpu").read_bytes()
    assert {"DeviceEncoder, referred", "DeviceDecoder, referred"} <= set(on_device)
    on_cpu, on_cuda = (
        neuralvdb.decompress(tmp_path / "cpu", settings=DecompressSettings(device=name, frame=25))
        for name in ("cpu", "cuda")
    )
    assert on_cpu.keys() == on_cuda.keys() == {"velocity", "density"}
    for name, tensors in on_cuda.items():
        assert tensors.values.cpu().numpy().tobytes() == on_cpu[name].values.cpu().numpy().tobytes()
