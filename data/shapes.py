"""Procedural clouds and a level set with noise on it.

Letters: X, Y, Z voxels per axis, y is up; S spheres. A field is (X, Y, Z) float32; points are (..., 3) float32 in
voxels, voxel centres at whole numbers. All shapes live in a box 4 world units wide.
"""

import torch
import torch.nn.functional as F
from noise import fractal, generator, worley

WIDTH = 4.0  # world units
HALF_BAND = 3  # half-width of the level set's narrow band, voxels


def voxel_centres(shape: tuple[int, int, int]) -> torch.Tensor:
    """(X, Y, Z, 3) float32 index-space coordinates."""
    return torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"), dim=-1)


def smooth_union(a: torch.Tensor, b: torch.Tensor, width: float) -> torch.Tensor:
    """The lesser of two distances, rounded where they differ by less than `width` (Quilez's smooth minimum)."""
    overlap = (width - (a - b).abs()).clamp(min=0) / width
    return torch.minimum(a, b) - overlap**2 * (width / 4)


# ---- cloud

CLOUD_HEIGHT = 0.7  # of the width


def cumulus_spheres(random: torch.Generator) -> torch.Tensor:
    """(S, 4) float32 centres and radii in widths: big spheres over a flat base, each covered by ever smaller ones."""
    angle = torch.rand(9, generator=random) * torch.tensor(6.2832)
    reach = torch.rand(9, generator=random).sqrt() * 0.24
    x, z = 0.5 + reach * angle.cos(), 0.5 + 0.8 * reach * angle.sin()
    radius = (0.2 - 0.35 * reach) * (0.75 + 0.4 * torch.rand(9, generator=random))
    spheres = [torch.stack([x, 0.12 + 0.4 * radius, z, radius], dim=1)]
    for children in (5, 4):
        parent = spheres[-1].repeat_interleave(children, dim=0)
        direction = F.normalize(torch.randn(len(parent), 3, generator=random), dim=1)
        direction[:, 1].abs_()
        size = parent[:, 3:] * (0.35 + 0.25 * torch.rand(len(parent), 1, generator=random))
        spheres.append(torch.cat([parent[:, :3] + direction * parent[:, 3:] * 0.9, size], dim=1))
    return torch.cat(spheres)


def billows(points: torch.Tensor, spacing: float, scales: int, random: torch.Generator) -> torch.Tensor:
    """(...) float32, 0 to about 1: a fractal sum of inverted Worley noise, the round heads of a cumulus.

    Source: Schneider, "The Real-time Volumetric Cloudscapes of Horizon: Zero Dawn" (2015).
    """
    total = torch.zeros(points.shape[:-1])
    for n in range(scales):
        total += 0.5**n * (1 - worley(points, spacing / 2**n, random))
    return total / (2 - 0.5 ** (scales - 1))


def cloud(resolution: int, seed: int, sharp: bool = False) -> torch.Tensor:
    """(X, Y, Z) float32 density, 0 to about 1, of a cumulus with eroded edges; `resolution` voxels wide.

    sharp: the edges are a few voxels wide and more eroded.
    """
    random = generator(seed)
    depth = cumulus_depth(resolution, 4, random)
    wisps = 1 + 0.35 * fractal(tuple(depth.shape), resolution / 12, 5, random, gain=0.7)
    eroded = depth - (0.05 if sharp else 0.012) * (1 - wisps).clamp(min=0)
    return (eroded / (2 / resolution if sharp else 0.05)).clamp(0, 1) ** 1.5 * (0.6 * wisps + 0.4).clamp(min=0.05)


def storm(resolution: int, seed: int) -> torch.Tensor:
    """(X, Y, Z) float32 density, 0 to 1, of a cumulus of which only every so many voxels were kept.

    A dense shell around an even core, patches of both torn, and detail finer than the voxels.
    """
    random = generator(seed)
    depth = cumulus_depth(resolution, 6, random) * resolution
    torn, mixed = (fractal(tuple(depth.shape), resolution / 16, 7, random, gain=0.75) for _ in range(2))
    crust = (depth / 1.5 - 0.8 * torn.abs()).clamp(0, 1)
    core = ((depth - 3 - 3 * torn) / 2).clamp(0, 1)
    middle = 0.5 + 0.25 * (mixed.abs() - 1.3).clamp(min=0) * torn.sign()
    return (crust * (1 - core) + middle * core).clamp(0, 1) * (depth > 0)


def cumulus_depth(resolution: int, scales: int, random: torch.Generator) -> torch.Tensor:
    """(X, Y, Z) float32: how far inside a cumulus a voxel lies, in widths, negative outside; `scales` of billows."""
    shape = (resolution, round(resolution * CLOUD_HEIGHT), resolution)
    warp = torch.stack([fractal(shape, resolution / 8, 4, random) for _ in range(3)], dim=-1)
    points = voxel_centres(shape) + warp * (resolution * 0.008)
    distance = torch.full(shape, torch.inf)
    for sphere in cumulus_spheres(random) * resolution:
        distance = smooth_union(distance, (points - sphere[:3]).norm(dim=-1) - sphere[3], 0.02 * resolution)
    base = 0.12 * resolution - points[..., 1] + 0.01 * resolution * fractal(shape, resolution / 6, 4, random)
    distance = torch.maximum(distance, base) / resolution
    return -distance + 0.13 * (billows(points, resolution / 7, scales, random) - 0.45)


# ---- level set


def carved_solid(resolution: int, random: torch.Generator) -> torch.Tensor:
    """(X, Y, Z) field, negative inside, in voxels: a ball and a ring with holes drilled, roughened by noise."""
    shape = (resolution,) * 3
    x, y, z = ((voxel_centres(shape) + 0.5) / resolution - 0.5).unbind(-1)
    ball = (x**2 + y**2 + z**2).sqrt() - 0.27
    tube = torch.hypot(torch.hypot(x, z) - 0.34, y + 0.05) - 0.07
    solid = smooth_union(ball, tube, 0.06)
    hole = torch.minimum(torch.hypot(x, y) - 0.11, torch.hypot(y - 0.02, z) - 0.08)
    slab = torch.maximum((y - 0.3).abs() - 0.1, (x - z).abs() - 0.05)
    solid = torch.maximum(solid, -torch.minimum(hole, slab))
    rough = fractal(shape, resolution / 8, 6, random, gain=0.45)
    patches = (0.7 + 0.5 * fractal(shape, resolution / 3, 2, random)).clamp(0, 1)
    return (solid - 0.012 * rough * patches) * resolution


def redistance(field: torch.Tensor, iterations: int = 24) -> torch.Tensor:
    """(X, Y, Z) signed distance in voxels, right within a few voxels of the field's zero set, which stays put.

    Sussman, Smereka and Osher (1994) with the subcell fix of Russo and Smereka, "A remark on computing distance
    functions" (2000): next to the surface the distance is taken from the field itself.
    """
    target, near = _surface_distance(field)
    sign = torch.sign(field)
    distance = torch.where(near, target, field)
    for _ in range(iterations):
        change = torch.where(near, sign * distance.abs() - target, sign * (_upwind_slope(distance, sign) - 1))
        distance = distance - 0.5 * change
    return distance


def _surface_distance(field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(distance in voxels, mask): field / |gradient of the field| where the field changes sign to a neighbour."""
    padded = F.pad(field[None, None], (1,) * 6, mode="replicate")[0, 0]
    squared, near = torch.zeros_like(field), torch.zeros_like(field, dtype=torch.bool)
    for axis in range(3):
        below, above = _neighbours(padded, axis)
        steepest = torch.maximum((above - field).abs(), (field - below).abs())
        squared += torch.maximum(steepest, (above - below).abs() / 2) ** 2
        near |= (below * field < 0) | (above * field < 0)
    return field / squared.sqrt().clamp(min=1e-6), near


def _upwind_slope(distance: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    """(X, Y, Z) |gradient| by Godunov's scheme: only differences that point to the surface count."""
    padded = F.pad(distance[None, None], (1,) * 6, mode="replicate")[0, 0]
    squared = torch.zeros_like(distance)
    for axis in range(3):
        below, above = _neighbours(padded, axis)
        inflow = torch.maximum(sign * (distance - below), sign * (distance - above)).clamp(min=0)
        squared += inflow**2
    return squared.sqrt()


def _neighbours(padded: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The lower and upper neighbour along an axis, from a field with one voxel of padding on all sides."""
    inner = [slice(1, -1)] * 3
    below, above = inner.copy(), inner.copy()
    below[axis], above[axis] = slice(0, -2), slice(2, None)
    return padded[tuple(below)], padded[tuple(above)]


def level_set(resolution: int, seed: int) -> torch.Tensor:
    """(X, Y, Z) float32 signed distance in world units, negative inside, clamped to HALF_BAND voxels."""
    distance = redistance(carved_solid(resolution, generator(seed)))
    return distance.clamp(-HALF_BAND, HALF_BAND) * (WIDTH / resolution)
