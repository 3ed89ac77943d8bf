"""A grid's networks and tables on a device."""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.archive.rans import TOTAL, Tables
from neuralvdb.kernels.network import Packed, pack
from neuralvdb.kernels.predict import Stencil
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.schedule import NetworkKey


class Networks:
    """Networks by (level, axis, phase). slots: (64, 4096) int32, as neuralvdb.kernels.rans takes them; encoders, who
    have no tables yet, get none."""

    def __init__(
        self, networks: dict[NetworkKey, Network], tables: Tables | None, device: torch.device, *, mean: bool
    ) -> None:
        slots = np.empty((0, TOTAL), np.uint32) if tables is None else tables.slots
        self.slots = torch.from_numpy(slots.view(np.int32)).to(device)
        self._packed: dict[NetworkKey, Packed] = {}
        for key, net in networks.items():
            parts = (net.w1, net.b1, net.w2, net.b2, net.w3, net.b3, net.linear, net.shifts)
            columns = Stencil(*key[1:], mean).columns()
            self._packed[key] = pack(*map(torch.from_numpy, parts), columns).to(device)

    def __getitem__(self, key: NetworkKey) -> Packed:
        return self._packed[key]
