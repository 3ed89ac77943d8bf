"""Which implementation an operation runs: said by the caller, never found out by failing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch

IMPLEMENTATIONS = ("auto", "reference", "triton")


def chosen(operation: str, name: str, implementation: str, tensor: torch.Tensor) -> Callable:
    """The function of this name that runs an operation on the device of `tensor`: that of "reference" or "triton";
    auto: triton where `tensor` is on a GPU. Raises ValueError on any other implementation."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation {implementation!r} does not exist; {', '.join(IMPLEMENTATIONS)} do")
    if implementation == "auto":
        implementation = "triton" if tensor.is_cuda else "reference"
    module = import_module(f"{operation}.{'gpu' if implementation == 'triton' else 'reference'}")

    def run(*args: object) -> object:
        with torch.cuda.device_of(tensor):  # Triton launches on the current device, wherever the arguments are
            return getattr(module, name)(*args)

    return run


def checked(name: str, tensor: torch.Tensor, dtype: torch.dtype, *shape: int | None) -> None:
    """Raises ValueError unless `tensor` is contiguous and of this type and shape; None stands for any size."""
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if tensor.dtype != dtype or not fits or not tensor.is_contiguous():
        raise ValueError(f"{name}: contiguous {dtype} {shape} expected, not {tensor.dtype} {tuple(tensor.shape)}")
