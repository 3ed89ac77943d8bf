"""Fields far smoother than their error are interpolated and nothing else; all others keep their networks."""

import numpy as np
import pytest

from neuralvdb.codec.encode import encode_values
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.head import read_head
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES
from neuralvdb.values.promise import Promise, mean_promise, sample_promise
from neuralvdb.values.select.interpolation_only import plain_for
from neuralvdb.vdb import from_dense
from neuralvdb.volume import VolumeGrid


def waves(noise: float = 0.0, components: int = 1) -> VolumeGrid:
    """A box full of slow waves, 60 voxels long."""
    x, y, z = np.indices((60, 52, 45)) / 9
    values = 2 + np.sin(x) * np.cos(y) * np.sin(z) + np.random.default_rng(0).normal(0, 1, x.shape) * noise
    active = np.ones(values.shape, bool)
    if components > 1:
        values = np.stack([values] * components, -1)
    return from_dense(values.astype(np.float32), name="waves", active=active, background=0)


def coded_size(grid: VolumeGrid, promise: Promise, **options) -> int:
    payload, sections, _ = encoder.encode(grid.tree, promise, **options)
    return len(payload) + sum(map(len, sections.values()))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("family", SAMPLE_FAMILIES)
@pytest.mark.parametrize("bound", [0.02, 0.0005])
def test_smooth_fields_take_half_the_bytes(bound, family, components):
    grid, library = waves(components=components), priors.shipped()
    promise = sample_promise(family, max_error=bound)
    found, changes = plain_for(grid.tree, promise, library)
    assert changes and found.mode.active_only
    assert coded_size(grid, found, refinement=changes) < 0.5 * coded_size(grid, promise)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_is_chosen_is_what_archives_have(noise):
    coded = encode_values(waves(noise), CompressSettings(bounds=(Bound(value=0.02, relative=False),), effort=0))
    head = read_head(coded.payload, "test")
    assert head.fine_tuned == (noise == 0)
    assert head.promise.mode.active_only
    assert np.abs(coded.tree.leaf.values - waves(noise).tree.leaf.values).max() <= 0.02


def test_the_lattice_of_means_has_none():
    promise = mean_promise(step=0.001)
    assert plain_for(waves().tree, promise, priors.shipped()) == (promise, {})
