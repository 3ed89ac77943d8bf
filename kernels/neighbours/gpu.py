"""Twin of values/lattice/inputs.py in Triton: a program looks up the 27 bricks around each of 64 bricks."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Neighbours

BLOCK = 64


@triton.jit(do_not_specialize=["count"])
def _neighbours(p_table, p_boxes, p_cells, p_rows, p_edges, count, BLOCK: tl.constexpr):
    o_b = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    o_s = tl.arange(0, 32)
    m_b = o_b < count
    p_box = p_boxes + tl.load(p_cells + o_b * 4, mask=m_b, other=0).to(tl.int64) * 4
    b_at = tl.zeros((BLOCK, 32), tl.int64)
    b_edges = tl.zeros((BLOCK,), tl.int32)
    for AXIS in tl.static_range(3):
        b_cell = tl.load(p_cells + o_b * 4 + 1 + AXIS, mask=m_b, other=0).to(tl.int64)
        b_size = tl.load(p_box + 1 + AXIS, mask=m_b, other=1)
        b_step = o_s // (9 if AXIS == 0 else 3 if AXIS == 1 else 1) % 3 - 1
        b_near = tl.minimum(tl.maximum(b_cell[:, None] + b_step[None, :], 0), b_size[:, None] - 1)
        b_at = b_at * b_size[:, None] + b_near
        b_edges += (b_cell == 0).to(tl.int32) << AXIS
        b_edges += (b_cell == b_size - 1).to(tl.int32) << (3 + AXIS)
    m_s = m_b[:, None] & (o_s[None, :] < 27)
    b_rows = tl.load(p_table + tl.load(p_box, mask=m_b, other=0)[:, None] + b_at, mask=m_s, other=0)
    tl.store(p_rows + o_b[:, None] * 27 + o_s[None, :], b_rows, mask=m_s)
    tl.store(p_edges + o_b, b_edges.to(tl.uint8), mask=m_b)


def find_neighbours(table: torch.Tensor, boxes: torch.Tensor, cells: torch.Tensor) -> Neighbours:
    """The bricks around B bricks; arguments as in the package."""
    bricks = torch.empty((len(cells), 27), dtype=torch.int32, device=table.device)
    edges = torch.empty(len(cells), dtype=torch.uint8, device=table.device)
    if len(cells):
        _neighbours[(triton.cdiv(len(cells), BLOCK),)](table, boxes, cells, bricks, edges, len(cells), BLOCK)
    return Neighbours(bricks=bricks, edges=edges)
