"""Fields far smoother than their error are interpolated and nothing else; all others keep their networks."""

import numpy as np
import pytest

from neuralvdb.codec.encode import encode_values
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.head import read_head
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES
from neuralvdb.values.promise import mean_promise, sample_promise
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.interpolation_only import try_interpolation_only
from neuralvdb.values.select.sampling import Sample
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


def coded_size(grid: VolumeGrid, candidate: Candidate) -> int:
    options = EncodeOptions(models=candidate.models, changes=candidate.changes)
    coded = encoder.encode(grid.tree, candidate.promise, options)
    return len(coded.payload) + sum(map(len, coded.chunks.values()))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("family", SAMPLE_FAMILIES)
@pytest.mark.parametrize("bound", [0.02, 0.0005])
def test_smooth_fields_take_half_the_bytes(bound, family, components):
    grid = waves(components=components)
    trained = Candidate(sample_promise(family, max_error=bound), priors.shipped())
    choice = try_interpolation_only(Sample(grid.tree), trained)
    assert choice.changes and choice.promise.mode.active_only
    assert coded_size(grid, choice) < 0.5 * coded_size(grid, trained)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_is_chosen_is_what_archives_have(noise):
    coded = encode_values(waves(noise), CompressSettings(bounds=(Bound(value=0.02, relative=False),), effort=0))
    head = read_head(coded.payload, "test")
    assert head.fine_tuned == (noise == 0)
    assert head.promise.mode.active_only
    assert np.abs(coded.tree.leaf.values - waves(noise).tree.leaf.values).max() <= 0.02


def test_the_lattice_of_means_has_none():
    candidate = Candidate(mean_promise(step=0.001), priors.shipped())
    assert try_interpolation_only(Sample(waves().tree), candidate) is candidate
