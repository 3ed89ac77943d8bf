"""Twin of topology/code_mask.py and topology/inputs.py in Triton: a program takes 128 cells from their neighbourhood to
both classes.

After the first symbols a prefix sum says which cells have a second one; how many those are stays on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.classify_masks import Classified
from neuralvdb.kernels.network.gpu import layers, weights
from neuralvdb.kernels.rans.gpu import decode as symbols_of

if TYPE_CHECKING:
    from neuralvdb.kernels.classify_masks import Cells, MaskLevel, Phase
    from neuralvdb.kernels.rans import Segments

BLOCK, WARPS = 128, 8  # of _classify
CELLS = 512  # of the other kernels


@triton.jit
def _inputs(p_states, p_above, p_reference, p_near, p_kinds, p_ways, b_parent, o_k, log, up):
    """Inputs (M, 64) int8 number o_k of the cells of b_parent."""
    b_kind = tl.load(p_kinds + o_k)[None, :]
    b_way = tl.load(p_ways + (b_parent & ((1 << (3 * up)) - 1))[:, None] * 128 + o_k[None, :]).to(tl.int32)
    p_near += (b_parent >> (3 * up)).to(tl.int64) * 27
    b_row = tl.load(p_near[:, None] + (b_way >> 9)).to(tl.int64)
    b_at = (b_row << tl.where(b_kind == 0, 3 * up, 3 * log)) + (b_way & 511)
    p_from = tl.where(b_kind == 0, p_above, p_states)
    if p_reference is not None:
        p_from = tl.where(b_kind == 2, p_reference, p_from)
    b_state = tl.where(b_kind < 3, tl.load(p_from + b_at), 0)
    return (tl.where(b_kind == 3, 1, b_state) * 16).to(tl.int8)


@triton.jit
def _cell(p_parents, o_n, m_n, octant, log, up):
    """Row, x, y and z of cells."""
    b_parent = tl.load(p_parents + o_n, mask=m_n, other=0)
    last = (1 << up) - 1
    b_x = (((b_parent >> (2 * up)) & last) << (log - up)) + (octant >> 2)
    b_y = (((b_parent >> up) & last) << (log - up)) + ((octant >> 1) & 1)
    b_z = ((b_parent & last) << (log - up)) + (octant & 1)
    return (b_parent >> (3 * up)).to(tl.int64), b_x, b_y, b_z


@triton.jit(do_not_specialize=["n", "log", "up"])
def _classify(
    p_states, p_above, p_reference, p_near, p_kinds, p_ways, p_parents, p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts,
    p_classes, n, log, up, BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    o_k = tl.arange(0, 64)
    m_n = o_n < n
    b_parent = tl.load(p_parents + o_n, mask=m_n, other=0)
    b_low = _inputs(p_states, p_above, p_reference, p_near, p_kinds, p_ways, b_parent, o_k, log, up)
    b_high = _inputs(p_states, p_above, p_reference, p_near, p_kinds, p_ways, b_parent, 64 + o_k, log, up)
    out0, out1 = layers((b_low, b_high), p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts)
    b_class = tl.minimum(tl.maximum((out0 >> 2) + 32, 0), 63)
    tl.store(p_classes + o_n, b_class.to(tl.uint8), mask=m_n)
    if log < 3:
        b_class = tl.minimum(tl.maximum((out1 >> 2) + 32, 0), 63)
        tl.store(p_classes + n + o_n, b_class.to(tl.uint8), mask=m_n)


@triton.jit(do_not_specialize=["n"])
def _narrow(p_classes, p_symbols, p_before, p_second, n, BLOCK: tl.constexpr):
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    m_n &= tl.load(p_symbols + o_n, mask=m_n, other=0) != 0
    b_class = tl.load(p_classes + n + o_n, mask=m_n, other=0)
    tl.store(p_second + tl.load(p_before + o_n, mask=m_n, other=0), b_class, mask=m_n)


@triton.jit(do_not_specialize=["n", "octant", "log", "up"])
def _store(
    p_states, p_parents, p_symbols, p_before, p_second, n, octant, log, up, BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_row, b_x, b_y, b_z = _cell(p_parents, o_n, m_n, octant, log, up)
    b_any = tl.load(p_symbols + o_n, mask=m_n, other=0).to(tl.int32)
    if p_second is None:
        b_state = 2 * b_any - 1
    else:
        m_any = m_n & (b_any != 0)
        o_s = tl.load(p_before + o_n, mask=m_any, other=0)
        b_state = tl.where(m_any, tl.load(p_second + o_s, mask=m_any, other=0).to(tl.int32), -1)
    b_at = (b_row << (3 * log)) + (((b_x << log) + b_y) << log) + b_z
    tl.store(p_states + b_at, b_state.to(tl.int8), mask=m_n)


@triton.jit(do_not_specialize=["n", "octant", "log", "up"])
def _keep(p_states, p_exact, p_parents, p_kept, n, octant, log, up, BLOCK: tl.constexpr):
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_row, b_x, b_y, b_z = _cell(p_parents, o_n, m_n, octant, log, up)
    b_at = (b_row << (3 * log)) + (((b_x << log) + b_y) << log) + b_z
    b_state = tl.load(p_exact + b_at, mask=m_n, other=0)
    tl.store(p_states + b_at, b_state, mask=m_n)
    tl.store(p_kept + o_n, b_state, mask=m_n)


def classify(level: MaskLevel, cells: Cells, phase: Phase, exact: torch.Tensor) -> Classified:
    """Arguments as in the package."""
    n, log, up = _sizes(level, cells)
    classes, states = _classes(level, cells, phase), torch.empty(n, dtype=torch.int8, device=exact.device)
    if n:
        octant = phase.octant if log else 0
        _keep[(triton.cdiv(n, CELLS),)](level.states, exact, cells.parents, states, n, octant, log, up, CELLS)
    return Classified(classes=classes, states=states)


def decode(level: MaskLevel, cells: Cells, phase: Phase, slots: torch.Tensor, segments: Segments) -> None:
    """Arguments as in the package."""
    parents, starts = cells.parents, cells.starts
    n, log, up = _sizes(level, cells)
    if not n:
        return
    grid, octant = (triton.cdiv(n, CELLS),), phase.octant if log else 0
    classes = _classes(level, cells, phase)
    first, before, second = symbols_of(slots, classes[0], starts, segments), None, None
    if log < 3:
        before = torch.zeros(n + 1, dtype=torch.int64, device=parents.device)
        torch.cumsum(first, 0, out=before[1:])
        narrowed = torch.empty(n, dtype=torch.uint8, device=parents.device)
        _narrow[grid](classes, first, before, narrowed, n, CELLS)
        second = symbols_of(slots, narrowed, before[starts], segments)
    _store[grid](level.states, parents, first, before, second, n, octant, log, up, CELLS)


def _sizes(level: MaskLevel, cells: Cells) -> tuple[int, int, int]:
    """Cells; log2 of a brick's edge in cells, and in cells of the level above."""
    return len(cells.parents), level.states.shape[1].bit_length() // 3, level.above.shape[1].bit_length() // 3


def _classes(level: MaskLevel, cells: Cells, phase: Phase) -> torch.Tensor:
    """(2, n) uint8, the second row only where cells are not bits."""
    n, log, up = _sizes(level, cells)
    classes = torch.empty((2, n), dtype=torch.uint8, device=cells.parents.device)
    if n:
        _classify[(triton.cdiv(n, BLOCK),)](
            level.states, level.above, level.reference, level.near, phase.points[3], phase.ways(1 << log),
            cells.parents, *weights(phase.network), classes, n, log, up, BLOCK, num_warps=WARPS,
        )  # fmt: skip
    return classes
