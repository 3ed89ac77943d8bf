"""The inactive values of a grid's leaves on a device. Twin of values/inactive.py, by neuralvdb.kernels.inactive."""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.archive.device import upload
from neuralvdb.kernels.inactive import Inactive, restore
from neuralvdb.values import lossless
from neuralvdb.values.inactive import ALL, two_valued
from neuralvdb.volume.grid import Tree, unpack


class InactiveLeaves:
    """Those of all leaves of a tree, uploaded once."""

    def __init__(self, tree: Tree, inactive: lossless.InactiveLeaves, device: torch.device) -> None:
        values = inactive.values
        first, second = inactive.pairs()
        self._type = torch.from_numpy(np.empty(0, tree.leaf.values.dtype)).dtype
        signed = f"i{first.itemsize}"
        selected, begins = (np.full(len(first), -1, dtype) for dtype in (np.int32, np.int64))
        has_selection, all_stored = two_valued()[values.kinds], values.kinds == ALL
        selected[has_selection] = np.arange(np.count_nonzero(has_selection))
        counts = np.count_nonzero(~unpack(tree.leaf.active[all_stored]), axis=1)
        begins[all_stored] = np.cumsum(counts) - counts
        bits = (array.view(signed) for array in (first, second, values.stored))
        first_bits, second_bits, stored = upload(list(bits), device)
        self._values = Inactive(
            first=first_bits,
            second=second_bits,
            selected=upload([selected], device)[0],
            selection=upload([values.selection], device)[0],
            begins=upload([begins], device)[0],
            stored=stored,
        )

    def of(self, leaves: torch.Tensor, masks: torch.Tensor, implementation: str) -> torch.Tensor:
        """Values (B, 512, C) of some leaves (B,) int64, 0 where masks (B, 64) uint8 say that they are active."""
        return restore(self._values, leaves, masks, implementation=implementation).view(self._type)
