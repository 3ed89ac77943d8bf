"""Predictions of a phase: stencil, block floating point and integer network in one pass over memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from neuralvdb.kernels.bricks import Bricks, Predictions
from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.predict.stencil import Group, Stencil

__all__ = ["Group", "Stencil", "StencilNetwork", "predict", "prepare"]


@dataclass(frozen=True, kw_only=True)
class StencilNetwork:
    """A stencil and the network for what it sees. network: packed with the stencil's columns, or with others."""

    stencil: Stencil
    network: Packed

    def __post_init__(self) -> None:
        inputs = len(self.stencil.columns())
        if len(self.network.columns) != inputs:
            raise ValueError(f"network: {inputs} inputs expected, not {len(self.network.columns)}")


def prepare(predictors: Iterable[StencilNetwork], device: torch.device) -> None:
    """Compiles the kernels of predictors side by side where `device` is a GPU that has not seen them yet.

    The compiler takes half a minute of a core for each kind, once on a machine; one after the other would be minutes.
    """
    if device.type == "cuda":
        from neuralvdb.kernels.predict import gpu

        with torch.cuda.device(device):
            gpu.prepare(predictors)


def predict(
    bricks: Bricks,
    points: torch.Tensor,
    predictor: StencilNetwork,
    quant_step: int,
    *,
    room: Predictions | None = None,
    implementation: str = "auto",
) -> Predictions:
    """Predictions of points.

    points: (n,) int32, brick * 512 + offset, of bricks below B;
    quant_step: of the residuals, in lattice units;
    room: for them, of as many points.

    Raises ValueError on other shapes or types.
    """
    checked("points", points, torch.int32, None)
    if predictor.stencil.mean and bricks.differences is None:
        raise ValueError("differences: this stencil needs them")
    if room is None:
        room = Predictions(
            values=torch.empty(len(points), dtype=torch.int64, device=points.device),
            scale_classes=torch.empty(len(points), dtype=torch.uint8, device=points.device),
        )
    checked("room", room.values, torch.int64, len(points))
    run = select(__name__, "predict", implementation, points)
    run(bricks, points, predictor, quant_step, room)
    return room
