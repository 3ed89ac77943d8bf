"""Twin of values/lattice/chunks.py (Quantiser) and values/lattice/compand.py on a device: the same numbers."""

from __future__ import annotations

import torch

from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.constants import LIMIT


def nearest(values: torch.Tensor, quantiser: Quantiser) -> torch.Tensor:
    """int32 lattice values as Quantiser.nearest() has them."""
    return finite(exact(values, quantiser).round_()).to(torch.int32)


def exact(values: torch.Tensor, quantiser: Quantiser) -> torch.Tensor:
    """float64 lattice values as Quantiser.exact() has them, not rounded."""
    x = values.double()
    return compand(x / scalar_as(quantiser.unit, x), quantiser.knee)


def finite(values: torch.Tensor) -> torch.Tensor:
    """Values within the lattice's limits, NaN 0; in place."""
    return values.nan_to_num_(nan=0.0, posinf=LIMIT, neginf=-LIMIT).clamp_(-LIMIT, LIMIT)


def compand(x: torch.Tensor, knee: int) -> torch.Tensor:
    """Companded values of lattice values as compand.compand() has them, floats of the same type."""
    if knee == 0:
        return x
    size, knee_as = x.abs(), scalar_as(knee, x)
    segment = torch.frexp(torch.where(x.isfinite(), size / knee_as, 0.0))[1].long().sub_(1).clamp_(min=0)
    shifted = size.double() * _power(-(segment // 2)) * _power(segment // 2 - segment)
    return x.sign() * (knee_as * segment.to(x.dtype) + shifted.to(x.dtype))


def expand(quantiser: Quantiser, lattice_values: torch.Tensor) -> torch.Tensor:
    """float64 values of lattice values as Quantiser.values() has them."""
    if quantiser.knee == 0:
        return lattice_values.double() * quantiser.unit
    size = lattice_values.long().abs()
    segment = (size // quantiser.knee - 1).clamp_(0, 62)
    size = (size - quantiser.knee * segment).double() * _power(segment)
    return lattice_values.sign().double() * size * quantiser.unit


def scalar_as(number: float, tensor: torch.Tensor) -> torch.Tensor:
    """A number () of a tensor's type beside it: by numbers elsewhere, torch divides inexactly on a GPU."""
    return torch.tensor(number, dtype=tensor.dtype, device=tensor.device)


def _power(exponent: torch.Tensor) -> torch.Tensor:
    """2 to integers from -1022 to 1023, float64, exact."""
    return (exponent + 1023 << 52).view(torch.float64)
