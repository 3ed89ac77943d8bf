"""Which leaves are in which chunk, as CHUNKS.md has it: one piece after the other. For spec_topology.py."""

from __future__ import annotations

from math import prod

Origin = tuple[int, int, int]
NOWHERE = 1 << 40


def chunks_of(origins: list[Origin], scattered: bool = False) -> list[list[int]]:
    """Numbers of the leaves of each chunk; scattered: of values of codec 3."""
    if not origins:
        return []
    pieces = pieces_of(origins, list(range(len(origins))), [-NOWHERE] * 3, [NOWHERE] * 3)
    if scattered:
        pieces = [smaller for piece in pieces for smaller in in_blocks(origins, *piece)]
    chunks, edges = [], []
    for leaves, low, high in pieces:
        edge = cube_edge([origins[leaf] for leaf in leaves], low, high)
        largest = max([edge, *edges])
        together = len(chunks[-1]) + len(leaves) if chunks else 0
        fits = edge and edges and edges[-1] and together <= 2048 and (len(edges) + 1) * largest**3 <= 64 * 16**3
        chunks, edges = ([*chunks[:-1], chunks[-1] + leaves], [*edges, edge]) if fits else ([*chunks, leaves], [edge])
    return [sorted(leaves) for leaves in chunks]


def pieces_of(origins: list[Origin], leaves: list[int], low: list[int], high: list[int]) -> list[tuple]:
    """Leaves of each piece, and the cuts below and above it."""
    blocks = [tuple(x // 128 for x in origins[leaf]) for leaf in leaves]
    least = [min(along) for along in zip(*blocks, strict=True)]
    edges = [max(along) - first + 1 for along, first in zip(zip(*blocks, strict=True), least, strict=True)]
    if max(edges) == 1 or (len(leaves) <= 8192 and prod(edges) <= 8 * len(set(blocks))):
        return [(leaves, low, high)]
    axis = edges.index(max(edges))
    along = [block[axis] for block in blocks]
    sizes = []
    for border in range(least[axis] + 1, least[axis] + edges[axis]):
        before = sum(x < border for x in along)
        sizes.append((max(before, len(along) - before), border))
    border = min(sizes)[1]
    cut = lambda ends: [128 * border if a == axis else end for a, end in enumerate(ends)]  # noqa: E731
    lower = [leaf for leaf, x in zip(leaves, along, strict=True) if x < border]
    upper = [leaf for leaf, x in zip(leaves, along, strict=True) if x >= border]
    return pieces_of(origins, lower, low, cut(high)) + pieces_of(origins, upper, cut(low), high)


def in_blocks(origins: list[Origin], leaves: list[int], low: list[int], high: list[int]) -> list[tuple]:
    """What becomes of a piece of scattered leaves."""
    blocks = [tuple(x // 128 for x in origins[leaf]) for leaf in leaves]
    size = prod(max(along) - min(along) + 1 for along in zip(*blocks, strict=True))
    few = len(leaves) < 64 and not cube_edge([origins[leaf] for leaf in leaves], low, high)
    if not few and (size <= 8 or 4 * size <= len(leaves)):
        return [(leaves, low, high)]
    pieces = []
    for block in sorted(set(blocks)):
        held = [leaf for leaf, b in zip(leaves, blocks, strict=True) if b == block]
        pieces.append((held, [128 * x for x in block], [128 * x + 128 for x in block]))
    return pieces


def cube_edge(leaves: list[Origin], low: list[int], high: list[int]) -> int:
    """Of a piece, in bricks; 0 where it has no cube."""
    needed = 0
    for along, below, above in zip(zip(*leaves, strict=True), low, high, strict=True):
        begin = max((min(along) - 8) // 16 * 16, below)
        needed = max(needed, min(-(-(max(along) + 16) // 16) * 16, above) - begin)
    return next((edge for edge in (4, 8, 16) if needed <= 8 * edge), 0)
