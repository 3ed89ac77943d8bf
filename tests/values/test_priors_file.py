"""Networks that come with the package are read from their files as NumPy reads them."""

import numpy as np
import pytest

from neuralvdb.nets.arrays import read_arrays
from neuralvdb.topology import priors as of_topology
from neuralvdb.values.lattice import priors as of_values


@pytest.mark.parametrize("module", [of_values, of_topology])
def test_arrays_are_those_that_numpy_reads(module):
    arrays = read_arrays(module._FILE)
    with np.load(module._FILE, allow_pickle=False) as expected:
        assert list(arrays) == expected.files
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name], strict=True)
