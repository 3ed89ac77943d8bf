"""Seeded noise on voxel grids: smooth lattice noise, its fractal sum, and Worley noise.

Letters: X, Y, Z voxels per axis; C channels. Every random number comes from a CPU generator, so a seed means the
same noise on a CPU and on a GPU.
"""

import math

import torch


def generator(seed: int) -> torch.Generator:
    """A CPU generator that starts from `seed`."""
    return torch.Generator(device="cpu").manual_seed(seed)


def spline_matrix(samples: int, knots: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(samples, knots) float32: uniform cubic B-spline weights that stretch `knots` values over `samples` voxels."""
    position = torch.linspace(1.0, knots - 2.0, samples, device=device)
    distance = (position[:, None] - torch.arange(knots, device=device)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def knots_for(shape: tuple[int, int, int], spacing: float) -> tuple[int, ...]:
    """Knots per axis for lattice noise whose features are about `spacing` voxels wide."""
    return tuple(math.ceil(size / spacing) + 4 for size in shape)


def stretch(lattice: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """(C, X, Y, Z) smooth field through the random lattice (C, knots...): lattice noise, one product per axis.

    Value noise with the B-spline that Cook and DeRose use in "Wavelet Noise" (2005), cubic instead of quadratic.
    """
    for axis, size in enumerate(shape, start=1):
        matrix = spline_matrix(size, lattice.shape[axis], lattice.device)
        lattice = torch.tensordot(lattice, matrix, dims=([axis], [1])).movedim(-1, axis)
    return lattice


def fractal(
    shape: tuple[int, int, int], spacing: float, scales: int, random: torch.Generator, gain: float = 0.5
) -> torch.Tensor:
    """(X, Y, Z) float32 of about unit deviation: `scales` of lattice noise, each half as wide, `gain` as strong.

    Source: fractional Brownian motion, Musgrave in "Texturing and Modeling" (1994).
    """
    total = torch.zeros(shape)
    for n in range(scales):
        knots = knots_for(shape, spacing / 2**n)
        total += gain**n * stretch(torch.randn(1, *knots, generator=random), shape)[0]
    return total / total.std()


def worley(points: torch.Tensor, spacing: float, random: torch.Generator) -> torch.Tensor:
    """(...) float32 in cells: distance from each of the points (..., 3), in voxels, to the nearest feature point.

    One feature point per cubic cell of `spacing` voxels, placed at random inside it; the 27 cells around a
    point are searched. Source: Worley, "A Cellular Texture Basis Function" (1996).
    """
    position = points / spacing
    position = position - position.reshape(-1, 3).amin(0).floor() + 1
    cell = position.floor().long()
    cells = [int(size) + 2 for size in cell.reshape(-1, 3).amax(0)]
    jitter = torch.rand(cells[0] * cells[1] * cells[2], 3, generator=random)
    nearest = torch.full(position.shape[:-1], torch.inf)
    for offset in torch.cartesian_prod(*[torch.arange(-1, 2)] * 3):
        corner = cell + offset
        index = (corner[..., 0] * cells[1] + corner[..., 1]) * cells[2] + corner[..., 2]
        squared = (corner + jitter[index] - position).square().sum(-1)
        nearest = torch.minimum(nearest, squared)
    return nearest.sqrt()
