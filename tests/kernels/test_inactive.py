"""Inactive values of leaves on a device are those of the package's definition."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.inactive import Inactive, restore
from neuralvdb.values import inactive as definition
from neuralvdb.values.device.inactive import InactiveLeaves
from neuralvdb.values.lossless import InactiveLeaves as HostLeaves
from neuralvdb.values.lossless import by_component
from neuralvdb.vdb import from_dense


@pytest.mark.parametrize("implementation", ["reference", "triton"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("components", [1, 3])
def test_restored(device, implementation, dtype, components):
    """Leaves of every kind, with NaN and -0, and some of them in another order."""
    rng = np.random.default_rng(components)
    tail = () if components == 1 else (components,)
    values = rng.normal(size=(64, 8, 8, *tail)).astype(dtype)
    active = rng.random((64, 8, 8)) < 0.6
    background = np.array([2.0] * components, dtype)
    for leaf, choices in enumerate(([2], [-2], [5], [2, -2], [2, np.nan], [-2, -0.0], [7, 8], None)):
        box = slice(8 * leaf, 8 * leaf + 8)
        if choices is not None:
            values[box][~active[box]] = rng.choice(np.array(choices, dtype), (~active[box]).sum())[
                (..., *[None] * len(tail))
            ]
    tree = from_dense(values, name="g", active=active, background=background if tail else background[0]).tree
    leaf = by_component(tree.leaf)
    on = np.unpackbits(tree.leaf.active, axis=1, bitorder="little").view(bool)
    bits, plus = leaf.view(f"u{dtype().itemsize}"), background.view(f"u{dtype().itemsize}")
    kept = HostLeaves(
        definition.classify(bits, lambda nodes: ~on[nodes], plus, (-background).view(plus.dtype)), background
    )
    assert len(np.unique(kept.values.kinds)) == len(definition.KINDS)
    leaves = np.array([7, 3, 0, 6, 1, 2, 4, 5, 7])
    arrays = (torch.from_numpy(array).to(device) for array in (leaves, tree.leaf.active[leaves]))
    restored = InactiveLeaves(tree, kept, torch.device(device)).of(*arrays, implementation).cpu().numpy()
    expected = np.where(on[..., None], 0, leaf)[leaves]
    assert restored.tobytes() == expected.astype(dtype).tobytes()


def test_shapes_are_checked(device):
    numbers = {"first": (2, 1), "second": (2, 1), "stored": (0, 1), "selected": (2,)}
    arrays = {name: torch.zeros(shape, dtype=torch.int32, device=device) for name, shape in numbers.items()}
    selection = torch.zeros((0, 64), dtype=torch.uint8, device=device)
    begins = torch.zeros(2, dtype=torch.int64, device=device)
    inactive = Inactive(selection=selection, begins=begins, **arrays)
    with pytest.raises(ValueError, match="masks"):
        restore(inactive, begins, torch.zeros((1, 64), dtype=torch.uint8, device=device))
    with pytest.raises(ValueError, match="second"):
        Inactive(selection=selection, begins=begins, **arrays | {"second": arrays["second"][:1]})
