"""A way to encode a grid that a search tries or has found."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from neuralvdb.dataclass import dataclass
from neuralvdb.picture import Sums
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.context import EncodeContext
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice.network_changes import NetworkChanges
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.values.promise import Promise
from neuralvdb.volume import Tree


class Tuning(Protocol):
    """Encodes a grid whose networks are fine-tuned to grids of other frames as well."""

    @property
    def expected(self) -> bool:
        """Whether lossy values of such grids are known to pay."""

    def encode(self, tree: Tree, candidate: Candidate, context: EncodeContext) -> CodedValues:
        """The values of the grid by a candidate whose networks are not changed yet."""

    def settle(self, coded: CodedValues) -> None:
        """Is told what the grid becomes."""


@dataclass(frozen=True)
class Candidate:
    """A promise with the mode that is to keep it, the models to encode with, changes to their networks, and what
    corrects predictions. tuning: of the group of frames; None where networks are fine-tuned to the grid alone. sums: of
    the grid along rays, where a picture is promised."""

    promise: Promise
    models: ModelSet
    changes: NetworkChanges = field(default_factory=dict)
    reference: ReferenceValues | None = None
    tuning: Tuning | None = None
    sums: Sums | None = None

    def options(self, tree: Tree, context: EncodeContext) -> EncodeOptions:
        """To encode a tree with it where the context says."""
        return EncodeOptions(
            models=self.models,
            changes=self.changes,
            threads=context.free_threads(),
            devices=context.devices.of(tree.leaf.values.nbytes),
            reference=self.reference,
            sums=self.sums,
        )
