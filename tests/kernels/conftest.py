"""Kernels run on a GPU where there is one, else interpreted; new memory is poisoned, so that an unwritten lane
shows."""

import pytest
import torch

from neuralvdb.kernels.network import Packed, Weights, pack
from neuralvdb.nets.network import Network


@pytest.fixture(scope="session")
def device() -> str:
    """Where kernels run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def poisoned(monkeypatch) -> None:
    """torch.empty gives memory full of NaN, or of bytes 0xA5."""
    empty = torch.empty

    def poison(*size, **options) -> torch.Tensor:
        tensor = empty(*size, **options)
        return (
            tensor.fill_(torch.nan)
            if tensor.is_floating_point()
            else tensor.view(torch.uint8).fill_(0xA5).view(tensor.dtype)
        )

    monkeypatch.setattr(torch, "empty", poison)


@pytest.fixture
def packed(device):
    """Packs a network: packed(net, columns)."""

    def make(net: Network, columns: list[int]) -> Packed:
        return pack(Weights.of(vars(net)), columns).to(device)

    return make
