"""What quality presets and PSNR ask for is what a grid gets."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.codec.encode import encode_values
from neuralvdb.codec.guarantee import kept, promise_for
from neuralvdb.errors import UsageError
from neuralvdb.metrics import psnr
from neuralvdb.presets import MeanQuality, Preset, presets
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.promise import CodingMode, ErrorBound, Promise, mean_promise, sample_promise
from neuralvdb.values.select.families import select_networks
from neuralvdb.values.select.sampling import Sample
from neuralvdb.vdb import GridProperties, VdbReader, from_dense
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import unpack


def hill(size: int = 40, name: str = "density", components: int = 1, **options):
    """A rough hill, 0 to 1, in a ball."""
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    radius = np.sqrt((x**2).sum(0))
    values = np.maximum(0, 1 - radius) * (1 + 0.05 * np.random.default_rng(0).random(radius.shape))
    if components > 1:
        values = np.stack([values * (c + 1) for c in range(components)], -1)
    return from_dense(values.astype(np.float32), name=name, active=radius < 1, **options)


def test_presets_differ_by_kind_of_grid():
    settings = CompressSettings(quality="production")
    fog, flame = (promise_for(hill(name=name), settings) for name in ("density", "Temperature"))
    assert (fog.mode.family, flame.mode.family) == ("fog-mean", "fog-mean")
    assert fog.mode.knee < flame.mode.knee
    assert fog.mode.nonnegative
    wind = promise_for(hill(name="v", components=3), settings)
    assert (wind.mode.family, wind.mode.lattice) == ("velocity", LatticeKind.SAMPLE)
    surface = promise_for(hill(name="s", properties=GridProperties(grid_class="level set", voxel_size=0.5)), settings)
    assert (surface.mode.family, surface.bound.max_error) == ("levelset", 0.5 * presets()["production"].levelset)


def test_bounds_override_the_quality_of_the_grids_they_name():
    bounds = (Bound(value=0.01, relative=False, grid="density"),)
    for quality, lattice in (("production", LatticeKind.MEAN), ("lossless", None)):
        settings = CompressSettings(quality=quality, bounds=bounds)
        density, heat = (promise_for(hill(name=name), settings) for name in ("density", "heat"))
        assert (density.mode.lattice, density.bound.max_error) == (LatticeKind.SAMPLE, 0.01)
        assert (heat and heat.mode.lattice) == lattice
        assert settings.lossy
    assert CompressSettings() == CompressSettings(quality="production")
    assert not CompressSettings(quality="lossless").lossy


def test_finer_presets_are_nearer_and_larger():
    grid = hill()
    coded = [encode_values(grid, CompressSettings(quality=name)) for name in ("preview", "production", "master")]
    assert [c.codec for c in coded] == [1, 1, 1]
    assert coded[0].size < coded[1].size < coded[2].size
    quality = [psnr(grid.tree, c.tree) for c in coded]
    assert quality[0] + 3 < quality[1] < quality[2] - 3


def test_an_outlier_does_not_spoil_the_rest():
    grid = hill()
    fine = encode_values(grid, CompressSettings(quality="production"))
    leaf = int(np.argmax(grid.tree.leaf.values.max(1)))
    voxel = int(grid.tree.leaf.values[leaf].argmax())
    grid.tree.leaf.values[leaf, voxel] = 1e30
    coded = encode_values(grid, CompressSettings(quality="production"))
    assert coded.codec == 1
    assert coded.tree.leaf.values[leaf, voxel] == np.float32(1e30)
    error = np.abs(coded.tree.leaf.values.astype(float) - grid.tree.leaf.values)
    assert np.median(error) < 2 * np.median(np.abs(fine.tree.leaf.values.astype(float) - grid.tree.leaf.values)) + 1e-6


def test_what_renderers_integrate_is_kept():
    grid = hill()
    total = grid.tree.leaf.values.sum(dtype=float)
    for name in presets():
        decoded = encode_values(grid, CompressSettings(quality=name)).tree.leaf.values
        assert decoded.min() >= 0
        assert decoded.sum(dtype=float) == pytest.approx(total, rel=0.004)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("decibels", [35, 60])
def test_a_psnr_is_reached_but_not_by_far(decibels, components):
    grid = hill(components=components)
    coded = encode_values(grid, CompressSettings(bounds=(Bound(value=decibels, relative=False, decibels=True),)))
    assert coded.codec == 1
    assert decibels <= psnr(grid.tree, coded.tree) < decibels + 1


def test_a_psnr_that_is_not_kept_is_noticed():
    grid = hill()
    promise = promise_for(grid, CompressSettings(bounds=(Bound(value=50, relative=False, decibels=True),)))
    other = hill()
    other.tree.leaf.values[:] *= np.float32(1.01)
    assert not kept(promise, grid, other)


def test_the_family_is_chosen_by_coding():
    radius = np.sqrt(((np.indices((64, 64, 64)) - 31.5) ** 2).sum(0))
    distance = (radius - 24).astype(np.float32)
    surface = from_dense(distance, name="s", active=np.abs(distance) < 3)
    sample = Sample(surface.tree)
    families = [
        select_networks(sample, sample_promise(family, max_error=0.001), [priors.shipped()]).promise.mode.family
        for family in ("velocity", "fog", "levelset")
    ]
    assert families[0] != "velocity"
    assert families[1] == families[2]


def room() -> VolumeGrid:
    """A box full of light, brighter to one side, that ends within leaves."""
    x, y, z = np.indices((44, 52, 60))
    light = (1 + np.sin(x / 9) * np.cos(y / 11) / 4 + z / 100).astype(np.float32)
    return from_dense(light, name="light", active=np.ones(light.shape, bool), background=0, origin=(2, 3, 1))


def test_where_values_end_abruptly_only_active_ones_are_looked_at():
    grid = room()
    promise = promise_for(grid, CompressSettings(bounds=(Bound(value=0.01, relative=True),)))
    choice = select_networks(Sample(grid.tree), promise, [priors.shipped()]).promise
    assert choice.mode.active_only and not promise.mode.active_only
    with_active_only, with_neighbours = (encoder.encode(grid.tree, p) for p in (choice, promise))
    sizes = [len(coded.payload) + sum(map(len, coded.chunks.values())) for coded in (with_active_only, with_neighbours)]
    assert sizes[0] < 0.8 * sizes[1]
    assert choice.kept(grid.tree.leaf.values, with_active_only.tree.leaf.values)[unpack(grid.tree.leaf.active)].all()


def test_where_values_fade_out_inactive_ones_are_looked_at():
    promise = sample_promise("fog", max_error=0.01)
    assert not select_networks(Sample(hill().tree), promise, [priors.shipped()]).promise.mode.active_only


def test_what_only_one_lattice_has_is_no_promise_of_the_other():
    mode = CodingMode(lattice=LatticeKind.MEAN, family="fog-mean", step=0.1)
    assert Promise(ErrorBound(max_error=0.1), mode).valid()
    assert not Promise(ErrorBound(max_error=0.1), replace(mode, active_only=True)).valid()


def test_a_thin_part_does_not_choose_for_the_whole(data):
    """The middle leaves of smoke.vdb alone would have those of velocities."""
    grid = next(iter(VdbReader(data / "openvdb-models/smoke.vdb")))
    promise = promise_for(grid, CompressSettings(bounds=(Bound(value=0.03, relative=True),)))
    assert select_networks(Sample(grid.tree), promise, [priors.shipped()]).promise.mode.family == "fog"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (sample_promise("fog", max_error=0.1, ratio=1e-310), sample_promise("fog", max_error=0.1, ratio=2.0**-59)),
        (sample_promise("fog", max_error=0.1, ratio=2.0**-60), sample_promise("fog", max_error=0.1, ratio=2.0**-59)),
        (
            mean_promise(max_error=0.1, step=5e-324, knee=1e-320),
            mean_promise(max_error=0.1, step=1e-290, knee=1e-286),
        ),
    ],
    ids=["ratio=1e-310", "ratio=2**-60", "step=5e-324"],
)
def test_knees_that_no_integer_can_be_are_damage(wrong, right):
    """As are promises of nothing else; a little more is none."""
    assert not wrong.valid()
    assert right.valid() and 0 < right.quantiser.knee < 1 << 63


def test_presets_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[hero]\nfog = { step = 0.001, knee = 0 }\n[preview]\nlevelset = { voxels = 1 }\n")
    by_name = presets(str(path))
    assert by_name["hero"] == Preset(fog=MeanQuality(step=0.001))
    assert by_name["preview"] == Preset(levelset=1.0)
    assert by_name["master"] == presets()["master"]
    assert promise_for(hill(components=3), CompressSettings(quality="hero", presets_file=str(path))) is None


@pytest.mark.parametrize(
    "text",
    ["[a", "a = 1", "[a]\nfog = 1", "[a]\nfog = { step = 1 }", "[a]\nsmoke = { step = 1, knee = 1 }"]
    + ["[lossless]\nlevelset = { voxels = 1 }"]
    + [f"[a]\nlevelset = {{ voxels = {value} }}" for value in ("0", "-1", "nan", "inf", '"1"', "true")],
)
def test_presets_that_make_no_sense(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"mine\.toml"):
        presets(str(path))
