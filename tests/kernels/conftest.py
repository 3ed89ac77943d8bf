"""Kernels run on a GPU where there is one, else interpreted; new memory is poisoned, so that an unwritten lane
shows."""

import pytest
import torch
from interpreter import hasten

from neuralvdb.kernels.network import Packed, Weights, pack
from neuralvdb.nets.network import Network

CHECKED = set()  # tests whose integers were looked at


@pytest.fixture(scope="session")
def device() -> str:
    """Where kernels run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def hastened(request, monkeypatch) -> None:
    """Only the first case of each test that is interpreted looks for integers that overflow."""
    implementation = getattr(request.node, "callspec", None) and request.node.callspec.params.get("implementation")
    name, is_kernel = (request.node.path, request.node.originalname), implementation in (None, "triton")
    hasten(monkeypatch, checks_overflow=is_kernel and name not in CHECKED)
    if is_kernel:
        CHECKED.add(name)


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
