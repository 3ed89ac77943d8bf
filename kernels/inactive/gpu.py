"""Twin of values/inactive.py (restore) in Triton: a program writes a component of a leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from neuralvdb.kernels.inactive import Inactive


@triton.jit
def _bits(p_bits, o_p):
    """(512,) int32, 0 or 1."""
    return (tl.load(p_bits + (o_p >> 3)).to(tl.int32) >> (o_p & 7)) & 1


@triton.jit(do_not_specialize=["C"])
def _restore(
    p_leaves, p_masks, p_first, p_second, p_selected, p_selection, p_begins, p_stored, p_values, C
):  # fmt: skip
    i_b = tl.program_id(0).to(tl.int64)
    i_c = tl.program_id(1)
    leaf = tl.load(p_leaves + i_b)
    o_p = tl.arange(0, 512)
    b_active = _bits(p_masks + i_b * 64, o_p)
    first = tl.load(p_first + leaf * C + i_c)
    second = tl.load(p_second + leaf * C + i_c)
    selected = tl.load(p_selected + leaf).to(tl.int64)
    begin = tl.load(p_begins + leaf)
    b_value = tl.zeros((512,), p_values.dtype.element_ty) + first
    if selected >= 0:
        b_value = tl.where(_bits(p_selection + selected * 64, o_p) != 0, second, b_value)
    if begin >= 0:
        o_s = begin + tl.cumsum(1 - b_active, 0) - 1
        b_value = tl.load(p_stored + o_s * C + i_c, mask=b_active == 0, other=0)
    b_value = tl.where(b_active != 0, 0, b_value)
    tl.store(p_values + (i_b * 512 + o_p) * C + i_c, b_value)


def restore(inactive: Inactive, leaves: torch.Tensor, masks: torch.Tensor, values: torch.Tensor) -> None:
    """Arguments as in the package."""
    bricks, _, components = values.shape
    if bricks:
        _restore[(bricks, components)](
            leaves, masks, inactive.first, inactive.second, inactive.selected, inactive.selection, inactive.begins,
            inactive.stored, values, components,
        )  # fmt: skip
