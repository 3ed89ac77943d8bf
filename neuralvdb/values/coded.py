"""What the values of a tree become when they are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.archive import ENTRY_SIZE
from neuralvdb.dataclass import dataclass
from neuralvdb.values import lossless
from neuralvdb.volume import Tree

if TYPE_CHECKING:
    from neuralvdb.values.head import ValuesHead

LOSSLESS, LOSSY, SCATTERED = 0, 1, 3  # codecs of VALS; 2 is LOSSY from another frame's


@dataclass(frozen=True, kw_only=True)
class CodedValues:
    """Encoded values of a tree.

    payload: of the VALS section.
    tree: as the values decode.
    chunks: payloads of TILE sections by number.
    head: what the payload begins with; None where every bit is kept.
    families: those whose networks decoding needs.
    picture: T-PSNR of the tree's picture in dB, None where that was not measured.
    said: by which of the things that others said values are corrected; None where they are coded alone.
    scattered: whether thin boxes of leaves are cut into blocks.
    """

    payload: bytes
    tree: Tree
    chunks: Mapping[int, bytes] = field(default_factory=dict)
    head: ValuesHead | None = None
    families: frozenset[str] = frozenset()
    picture: float | None = None
    said: int | None = None
    scattered: bool = False

    @property
    def codec(self) -> int:
        """Of the VALS section."""
        if self.head is None:
            return LOSSLESS
        return SCATTERED if self.scattered else LOSSY

    @property
    def table_rows(self) -> np.ndarray | None:
        """(64,) uint8, rows of tables that the encoder selected; None where every bit is kept."""
        return None if self.head is None else self.head.table_rows

    @property
    def size(self) -> int:
        """Bytes of all sections, and of the entries of TILE sections in the index."""
        return len(self.payload) + sum(len(chunk) + ENTRY_SIZE for chunk in self.chunks.values())


def exact(tree: Tree) -> CodedValues:
    """The values of a tree, every bit kept."""
    return CodedValues(payload=lossless.encode(tree), tree=tree)
