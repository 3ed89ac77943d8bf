"""decompress() without a target gives tensors, the same values as in the .vdb file, decoded by kernels or not."""

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings, devices
from neuralvdb.errors import MissingPriors, NoSuchDevice, UsageError
from neuralvdb.settings import Bound
from neuralvdb.topology import device as masks
from neuralvdb.values import model_file
from neuralvdb.values.device import decoder
from neuralvdb.values.lattice import priors
from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import leaf_origins

ON_CPU, ON_CUDA = DecompressSettings(device="cpu"), DecompressSettings(device="cuda")


@pytest.fixture(scope="module", params=["lossless", "lossy", "pruned"])
def files(request, tmp_path_factory):
    """An archive of three grids, and the .vdb that it makes."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("tensors")
    values = rng.random((20, 12, 15)).astype(np.float32) * (rng.random((20, 12, 15)) < 0.7)
    active = rng.random(values.shape) < 0.8
    vectors = np.stack([values, -values, values**2], -1)
    grids = [from_dense(values, name="density", active=active), from_dense(vectors, name="vel", active=active)]
    write_vdb(folder / "a.vdb", [*grids, from_dense(values * 0, name="none", active=active & False)])
    lossy = {
        "bounds": (Bound(value=0.02, relative=True),),
        "topology": "exact" if request.param == "lossy" else "pruned",
    }
    settings = CompressSettings(**({"quality": "lossless"} if request.param == "lossless" else lossy))
    neuralvdb.compress(folder / "a.vdb", folder / "a.neuralvdb", settings)
    neuralvdb.decompress(folder / "a.neuralvdb", folder / "b.vdb", ON_CPU)
    return folder / "a.neuralvdb", folder / "b.vdb"


def assert_equal(by_name: dict, vdb) -> None:
    grids = {grid.name: grid for grid in VdbReader(vdb)}
    assert by_name.keys() == grids.keys()
    for name, tensors in by_name.items():
        tree = grids[name].tree
        np.testing.assert_array_equal(tensors.origins.cpu(), leaf_origins(tree))
        np.testing.assert_array_equal(tensors.masks.cpu(), tree.leaf.active)
        np.testing.assert_array_equal(tensors.values.cpu(), tree.leaf.values.reshape(tensors.values.shape))
        np.testing.assert_array_equal(tensors.root.background, tree.root.background)
        assert (tensors.transform, tensors.grid_type) == (grids[name].transform, grids[name].grid_type)


def test_tensors_on_the_cpu(files):
    assert_equal(neuralvdb.decompress(files[0], settings=ON_CPU), files[1])


def by_reference(kind: type) -> type:
    """The class with the kernels' definitions in place of the kernels."""

    class Reference(kind):
        def __init__(self, *args, **options):
            super().__init__(*args, **options | {"implementation": "reference"})

    return Reference


def test_tensors_decoded_by_kernels(files, device, monkeypatch):
    resolved = (f"{device}:0",) if device == "cuda" else ("cpu",)
    monkeypatch.setattr(devices, "resolve", lambda _: resolved)
    for module, name in ((decoder, "DeviceDecoder"), (masks, "DeviceMasks")) if device == "cpu" else ():
        monkeypatch.setattr(module, name, by_reference(getattr(module, name)))
    tensors = neuralvdb.decompress(files[0], settings=ON_CUDA)
    assert {grid.values.device.type for grid in tensors.values()} == {device}
    assert_equal(tensors, files[1])


def test_small_grids_stay_on_the_cpu_unless_a_gpu_is_asked_for(monkeypatch):
    looked_up, started = [], [False]
    monkeypatch.setattr(devices, "resolve", lambda name: looked_up.append(name) or ("cuda:0",))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started[0])
    where = devices.Devices("auto")
    assert (where.of(devices.ENOUGH_TO_START - 1), where.used, looked_up) == ((), (), [])
    assert (where.of(devices.ENOUGH_TO_START), where.used, where.first) == (("cuda:0",), ("cuda:0",), "cuda:0")
    assert where.of(devices.ENOUGH) == ()
    started[0] = True
    assert (where.of(devices.ENOUGH), where.of(devices.ENOUGH - 1)) == (("cuda:0",), ())
    assert devices.Devices("cuda").of(1) == ("cuda:0",)
    assert (devices.Devices("auto").first, looked_up[0]) == ("cuda:0", "auto")


def test_a_grid_is_sized_while_torch_is_loaded(monkeypatch):
    """By another thread: what is loaded of it has no `cuda` yet."""
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert devices.Devices("auto").of(devices.ENOUGH) == ()


def test_a_selection(files):
    assert list(neuralvdb.decompress(files[0], settings=replace(ON_CPU, grids=("vel",)))) == ["vel"]


def test_priors_are_used_without_a_target_too(files, tmp_path):
    """An archive that needs its own priors: without them MissingPriors, with them the tensors."""
    source, archive, priors_file = files[0].with_name("a.vdb"), tmp_path / "own.neuralvdb", tmp_path / "my.priors"
    shipped = priors.shipped()
    velocity = shipped.families["velocity"]
    net = velocity.networks[0, 0, 0]
    networks = velocity.networks | {(0, 0, 0): replace(net, b2=net.b2 + np.int32(40))}
    models = shipped.families | {"velocity": priors.make(networks, velocity.tables)}
    with open(priors_file, "wb") as stream:
        model_file.write_models(stream, priors.model_set(models))
    bounds = (Bound(value=0.02, relative=True),)
    neuralvdb.compress(
        source, archive, CompressSettings(bounds=bounds, grids=("density",), effort=0, priors=str(priors_file))
    )
    assert neuralvdb.info(archive).missing_priors is not None
    with pytest.raises(MissingPriors, match="the keyword priors"):
        neuralvdb.decompress(archive, settings=ON_CPU)
    reading = replace(ON_CPU, priors=str(priors_file))
    neuralvdb.decompress(archive, tmp_path / "b.vdb", reading)
    assert_equal(neuralvdb.decompress(archive, settings=reading), tmp_path / "b.vdb")


def test_a_part_is_refused(files):
    with pytest.raises(UsageError, match="whole"):
        neuralvdb.decompress(files[0], settings=replace(ON_CPU, lod=1))


@pytest.mark.skipif(devices.seems_there(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error(files):
    assert devices.resolve("auto") == ()
    with pytest.raises(NoSuchDevice, match="device='cpu'"):
        neuralvdb.decompress(files[0], settings=ON_CUDA)
