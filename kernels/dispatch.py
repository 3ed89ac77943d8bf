"""Which implementation an operation runs: the caller says it; nothing falls back in silence."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

IMPLEMENTATIONS = ("auto", "reference", "triton")


def select(operation: str, name: str, implementation: str, tensor: torch.Tensor) -> Callable[..., Any]:
    """The function `name` of an operation's reference.py or gpu.py, run on the device of `tensor`.

    operation: its package, such as neuralvdb.kernels.split; implementation: "reference", "triton", or "auto", which is
    triton where `tensor` is on a GPU. Raises ValueError on any other implementation.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation {implementation!r} does not exist; {', '.join(IMPLEMENTATIONS)} do")
    if implementation == "auto":
        implementation = "triton" if tensor.is_cuda else "reference"
    module = import_module(f"{operation}.{'gpu' if implementation == 'triton' else 'reference'}")
    function = getattr(module, name)

    def run(*args: object, **named: object) -> object:
        with torch.cuda.device_of(tensor):  # Triton launches on the current device, wherever the arguments are
            return function(*args, **named)

    return run


def checked(name: str, tensor: torch.Tensor, dtype: torch.dtype, *shape: int | None) -> None:
    """Raises ValueError unless `tensor` is contiguous and of this type and shape; None stands for any size."""
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if tensor.dtype != dtype or not fits or not tensor.is_contiguous():
        raise ValueError(f"{name}: contiguous {dtype} {shape} expected, not {tensor.dtype} {tuple(tensor.shape)}")
