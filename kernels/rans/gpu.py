"""Twin of archive/rans.py in Triton: a program, one warp, per segment; its lanes take or put a symbol each per turn.

Lanes whose state fell below 2^16 take words in the order of their symbols: a prefix sum over the warp says which.
Encoders walk backwards and fill their words' room from its end.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.rans import Encoded, Plan, Segments


@triton.jit
def _ranks(m_l, o_l):
    """How many lanes before each are set (32,) int32, and how many all in all: bits of one word, counted."""
    bits = tl.sum(tl.where(m_l, (1 << o_l), 0), 0)
    return _ones(bits & ((1 << o_l) - 1)), _ones(bits)


@triton.jit
def _ones(x):
    """The bits of an int32 that are set; compilers know these lines as one instruction."""
    x = x.to(tl.uint32, bitcast=True)
    x -= (x >> 1) & 0x55555555
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _decode(
    p_slots, p_classes, p_starts, p_stream, p_number, p_count, p_lanes, p_states, p_words, p_at, p_end, p_taken,
    p_selected, p_symbols,
):  # fmt: skip
    i_segment = tl.program_id(0).to(tl.int64)
    if p_selected is not None:
        i_segment = tl.load(p_selected + i_segment)
    p_start = p_starts + tl.load(p_stream + i_segment)
    first = tl.load(p_start)
    n = tl.load(p_start + 1) - first
    number = tl.load(p_number + i_segment).to(tl.int64)
    count = tl.load(p_count + i_segment)
    begin = first + number * n // count
    end = first + (number + 1) * n // count
    lanes = tl.load(p_lanes + i_segment)
    taken = tl.load(p_taken + i_segment)
    at = tl.load(p_at + i_segment)
    last = tl.load(p_end + i_segment)
    o_l = tl.arange(0, 32)
    b_x = tl.load(p_states + i_segment * 32 + o_l).to(tl.uint32, bitcast=True)
    o_i = begin - taken % lanes + o_l
    m_i = (o_l < lanes) & (o_i >= begin) & (o_i < end)
    # what does not depend on the states of a turn is loaded a turn ahead: classes, and the words that may be taken
    b_class = tl.load(p_classes + o_i, mask=m_i, other=0).to(tl.int64)
    b_words = tl.load(p_words + at + o_l, mask=at + o_l < last, other=0)
    here = begin - taken % lanes
    while here < end:
        o_next = o_i + lanes
        m_next = (o_l < lanes) & (o_next < end)
        b_ahead = tl.load(p_classes + o_next, mask=m_next, other=0).to(tl.int64)
        b_slot = tl.load(p_slots + b_class * 4096 + (b_x & 4095), mask=m_i, other=0).to(tl.uint32, bitcast=True)
        tl.store(p_symbols + o_i, (b_slot & 255).to(tl.uint8), mask=m_i)
        b_next = (((b_slot >> 8) & 4095) + 1) * (b_x >> 12) + (b_slot >> 20)
        m_low = m_i & (b_next < 65536)
        b_rank, put = _ranks(m_low, o_l)
        b_word = tl.gather(b_words, b_rank, 0).to(tl.uint16, bitcast=True)
        at += put
        b_words = tl.load(p_words + at + o_l, mask=at + o_l < last, other=0)
        b_next = tl.where(m_low, (b_next << 16) | b_word.to(tl.uint32), b_next)
        b_x = tl.where(m_i, b_next, b_x)
        o_i, m_i, b_class = o_next, m_next, b_ahead
        here += lanes
    tl.store(p_states + i_segment * 32 + o_l, b_x.to(tl.int32, bitcast=True))
    tl.store(p_at + i_segment, at)
    tl.store(p_taken + i_segment, taken + end - begin)


def decode(
    slots: torch.Tensor,
    classes: torch.Tensor,
    starts: torch.Tensor,
    segments: Segments,
    symbols: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symbols (n,) uint8; arguments as in the package."""
    s = segments
    if symbols is None:
        symbols = torch.empty(len(classes), dtype=torch.uint8, device=classes.device)
    count = len(s.stream if s.selected is None else s.selected)
    if count:
        _decode[(count,)](
            slots, classes, starts, s.stream, s.number, s.count, s.lanes, s.states, s.words, s.at, s.end, s.taken,
            s.selected, symbols, num_warps=1,
        )  # fmt: skip
    return symbols


@triton.jit
def _number(p_classes, p_symbols, o_i, o_l, lanes, begin, end):
    """Where the codes of symbols (32,) are; 0 for lanes without a symbol."""
    m_i = (o_l < lanes) & (o_i >= begin) & (o_i < end)
    b_class = tl.load(p_classes + o_i, mask=m_i, other=0).to(tl.int32)
    return b_class * 64 + tl.load(p_symbols + o_i, mask=m_i, other=0).to(tl.int32)


@triton.jit
def _encode(
    p_codes, p_classes, p_symbols, p_batches, p_begins, p_stream, p_number, p_count, p_lanes, p_end,
    p_states, p_words, p_sizes,
):  # fmt: skip
    i_segment = tl.program_id(0).to(tl.int64)
    p_begin = p_begins + tl.load(p_stream + i_segment)
    first = tl.load(p_begin)
    batch = tl.load(p_begin + 1)
    number = tl.load(p_number + i_segment).to(tl.int64)
    count = tl.load(p_count + i_segment).to(tl.int64)
    lanes = tl.load(p_lanes + i_segment).to(tl.int64)
    taken = tl.zeros((), tl.int64)
    i_batch = first
    while i_batch < batch:
        n = tl.load(p_batches + i_batch * 2 + 1) - tl.load(p_batches + i_batch * 2)
        taken += (number + 1) * n // count - number * n // count
        i_batch += 1
    last = tl.load(p_end + i_segment)
    at = last
    o_l = tl.arange(0, 32)
    b_x = tl.full((32,), 65536, tl.uint32)
    while batch > first:
        batch -= 1
        here = tl.load(p_batches + batch * 2)
        n = tl.load(p_batches + batch * 2 + 1) - here
        begin = here + number * n // count
        end = here + (number + 1) * n // count
        taken -= end - begin
        low = begin - taken % lanes
        o_i = low + (end - low - 1) // lanes * lanes + o_l
        # codes do not depend on states: those of a turn are loaded one turn ahead, their numbers two
        b_code = tl.load(p_codes + _number(p_classes, p_symbols, o_i, o_l, lanes, begin, end))
        b_number = _number(p_classes, p_symbols, o_i - lanes, o_l, lanes, begin, end)
        here = low + (end - low + lanes - 1) // lanes * lanes
        while here > low:
            here -= lanes
            b_ahead = _number(p_classes, p_symbols, o_i - 2 * lanes, o_l, lanes, begin, end)
            b_next_code = tl.load(p_codes + b_number)
            m_i = (o_l < lanes) & (o_i >= begin) & (o_i < end)
            b_code = b_code.to(tl.uint32, bitcast=True)
            b_frequency = (b_code & 4095) + 1
            m_full = m_i & ((b_x >> 20) >= b_frequency)
            b_rank, put = _ranks(m_full, o_l)
            at -= put
            b_word = (b_x & 65535).to(tl.uint16).to(tl.int16, bitcast=True)
            tl.store(p_words + at + b_rank, b_word, mask=m_full)
            b_y = tl.where(m_full, b_x >> 16, b_x)
            b_next = b_y + (b_y // b_frequency) * (4096 - b_frequency) + (b_code >> 12)
            b_x = tl.where(m_i, b_next, b_x)
            b_code, b_number = b_next_code, b_ahead
            o_i -= lanes
    tl.store(p_states + i_segment * 32 + o_l, b_x.to(tl.int32, bitcast=True))
    tl.store(p_sizes + i_segment, last - at)


def encode(codes: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, plan: Plan) -> Encoded:
    """Segments, each with its words at the end of its room: the last `sizes` words before its `ends`."""
    count, device = len(plan.stream), classes.device
    states = torch.empty((count, 32), dtype=torch.int32, device=device)
    words = torch.empty(len(classes), dtype=torch.int16, device=device)
    sizes = torch.empty(count, dtype=torch.int64, device=device)
    if count:
        _encode[(count,)](
            codes, classes, symbols, plan.batches, plan.begins, plan.stream, plan.number, plan.count, plan.lanes,
            plan.ends, states, words, sizes, num_warps=1,
        )  # fmt: skip
    return Encoded(states=states, words=words, sizes=sizes)
