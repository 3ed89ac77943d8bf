"""A grid's networks and tables on a device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from neuralvdb.archive.rans import Tables
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels import correct
from neuralvdb.kernels.network import Packed, Weights, pack
from neuralvdb.kernels.predict import Stencil, StencilNetwork
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice.correction_network import CorrectionNetwork
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.reference import Correction


@dataclass(frozen=True, kw_only=True)
class DeviceModels:
    """What predicts and codes.

    predictors: by (level, axis, phase);
    slots: (64, 4096) int32, as neuralvdb.kernels.rans takes them; encoders, who have no tables yet, get none;
    dead_zone: (64,) float64, how much the mean lattice rounds residuals of each scale class towards zero; None for
    decoders;
    correction: how a reference corrects predictions; None where there is none.
    """

    predictors: Mapping[NetworkKey, StencilNetwork]
    slots: torch.Tensor
    dead_zone: torch.Tensor | None = None
    correction: Correction | correct.Weights | None = None


def slots_on(tables: Tables | None, device: torch.device) -> torch.Tensor:
    """The slots of tables, (64, 4096) int32, or none of no tables."""
    slots = np.empty((0, TOTAL), np.uint32) if tables is None else tables.slots
    return torch.from_numpy(slots.view(np.int32)).to(device)


def packed(net: Network, stencil: Stencil) -> Packed:
    """A network of the package for what a stencil sees, on the host."""
    return pack(Weights.of(vars(net)), stencil.columns())


def correction_on(correction: Correction | CorrectionNetwork, device: torch.device) -> Correction | correct.Weights:
    """A correction, ready to correct there."""
    if isinstance(correction, Correction):
        return correction
    return correct.Weights.of({name: torch.tensor(array) for name, array in vars(correction).items()}, device)
