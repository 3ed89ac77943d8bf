"""Solids for level sets: meshes, CSG, fractals, eroded and broken rock, drops.

Each is a function of (resolution, seed) that gives (X, Y, Z) float32 distance in voxels, negative inside, in a box one
wide: true within a few voxels of the surface where it comes from a mesh or is re-distanced, and otherwise as the minima
and maxima of CSG leave it.
"""

import math

import torch
from mesh import knot, mesh_distance, revolved, triangles
from noise import fractal, generator, worley
from shapes import redistance, smooth_union, voxel_centres

_REACH = 7  # voxels within which distances are true


def rotation(random: torch.Generator) -> torch.Tensor:
    """(3, 3) float32: a random rotation."""
    matrix, upper = torch.linalg.qr(torch.randn(3, 3, generator=random))
    matrix = matrix * upper.diagonal().sign()
    return matrix * torch.linalg.det(matrix)


def box_points(resolution: int, turn: torch.Tensor | None = None) -> torch.Tensor:
    """(X, Y, Z, 3) float32, -0.5 to 0.5: the centres of the voxels, turned about the middle."""
    points = (voxel_centres((resolution,) * 3) + 0.5) / resolution - 0.5
    return points if turn is None else points @ turn


def box(points: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """(...) distance to a box about 0 that reaches `half` (3,) to each side."""
    outside = points.abs() - half
    return outside.clamp(min=0).norm(dim=-1) + outside.amax(-1).clamp(max=0)


def _true(field: torch.Tensor) -> torch.Tensor:
    """The field (X, Y, Z), in voxels, made a distance near its zero set."""
    return redistance(field.clamp(-_REACH, _REACH), 3 * _REACH)


def _of_mesh(vertices: torch.Tensor, resolution: int, turn: torch.Tensor) -> torch.Tensor:
    voxels = (vertices @ turn.T + 0.5) * resolution - 0.5
    return mesh_distance(triangles(voxels), (resolution,) * 3, _REACH)


# ---- meshes


def knotted(resolution: int, seed: int) -> torch.Tensor:
    """A knotted, twisted beam."""
    random = generator(seed)
    sides = int(torch.randint(3, 6, (1,), generator=random))
    angle = torch.arange(sides) * (2 * math.pi / sides)
    profile = torch.stack([0.05 * angle.cos(), 0.07 * angle.sin()], dim=-1)
    return _of_mesh(knot((2, 3), 120, profile, 3.0), resolution, rotation(random))


def turned(resolution: int, seed: int) -> torch.Tensor:
    """A thin vessel with facets."""
    random = generator(seed)
    height = torch.linspace(-0.38, 0.38, 14)
    wall = 0.18 + 0.1 * (height * 7 + 6.3 * torch.rand(1, generator=random)).sin() + 0.03 * (height * 23).sin()
    outer = torch.stack([wall, height], dim=-1)
    inner = torch.stack([wall - 0.035, height + 0.01], dim=-1).flip(0)
    radius = torch.ones(28, 28) * (1 + 0.04 * torch.rand(28, 1, generator=random))
    return _of_mesh(revolved(torch.cat([outer, inner]), radius), resolution, rotation(random))


def gear(resolution: int, seed: int) -> torch.Tensor:
    """A toothed wheel."""
    random = generator(seed)
    teeth = int(torch.randint(9, 16, (1,), generator=random))
    profile = torch.tensor([[0.36, -0.09], [0.36, 0.09], [0.26, 0.05], [0.13, 0.12], [0.13, -0.12], [0.26, -0.05]])
    radius = torch.ones(4 * teeth, 6)
    radius[:, :2] = torch.tensor([1.0, 1.2, 1.2, 1.0]).repeat(teeth)[:, None]
    return _of_mesh(revolved(profile, radius), resolution, rotation(random))


# ---- CSG


def machined(resolution: int, seed: int) -> torch.Tensor:
    """A block with a ball, slots and holes cut out of it and a rod through it."""
    random = generator(seed)
    points = box_points(resolution, rotation(random))
    x, y, z = points.unbind(-1)
    solid = box(points, torch.tensor([0.32, 0.22, 0.27]))
    solid = torch.maximum(solid, 0.2 - (points - torch.tensor([0.2, 0.2, 0.15])).norm(dim=-1))
    for at in (torch.rand(4, 2, generator=random) - 0.5) * 0.5:
        solid = torch.maximum(solid, 0.035 - torch.hypot(x - at[0], z - at[1]))
    solid = torch.maximum(solid, 0.03 - torch.maximum(y.abs() - 0.02, (z + 0.27).abs()))
    rod = torch.maximum(torch.hypot(y, z) - 0.06, x.abs() - 0.42)
    return torch.minimum(solid, rod) * resolution


def blocks(resolution: int, seed: int) -> torch.Tensor:
    """Boxes along the axes, one upon the other."""
    random = generator(seed)
    points = box_points(resolution)
    field = torch.full(points.shape[:3], torch.inf)
    for sizes in torch.rand(18, 6, generator=random):
        middle, half = (sizes[:3] - 0.5) * 0.6, 0.03 + 0.12 * sizes[3:]
        field = torch.minimum(field, box(points - middle, half))
    return field * resolution


def drops(resolution: int, seed: int) -> torch.Tensor:
    """Many balls, as particles leave them."""
    random = generator(seed)
    points = box_points(resolution)
    field = torch.full(points.shape[:3], torch.inf)
    for drop in torch.rand(160, 4, generator=random):
        middle = torch.tensor([0.0, -0.1, 0.0]) + (drop[:3] - 0.5) * torch.tensor([0.8, 0.3 + 0.4 * drop[0], 0.8])
        field = torch.minimum(field, (points - middle).norm(dim=-1) - 0.025 - 0.07 * drop[3] ** 3)
    return field * resolution


# ---- fractals


def sponge(resolution: int, seed: int) -> torch.Tensor:
    """Menger's sponge, three times drilled; Quilez, "Menger fractal" (2011)."""
    points = box_points(resolution, rotation(generator(seed))) / 0.28
    field, scale = box(points, torch.ones(3)), 1.0
    for _ in range(3):
        cross = 1 - 3 * ((points * scale).remainder(2) - 1).abs()
        scale *= 3
        x, y, z = cross.abs().unbind(-1)
        widest = [torch.maximum(a, b) for a, b in ((x, y), (y, z), (z, x))]
        field = torch.maximum(field, (torch.stack(widest).amin(0) - 1) / scale)
    return field * (0.28 * resolution)


def julia(resolution: int, seed: int) -> torch.Tensor:
    """A quaternion Julia set; Hart, Sandin and Kauffman, "Ray tracing deterministic 3-D fractals" (1989)."""
    random = generator(seed)
    q = torch.cat([box_points(resolution, rotation(random)) * 3.0, torch.zeros(*(resolution,) * 3, 1)], dim=-1)
    c = torch.tensor([-0.45, 0.5, 0.35, 0.1]) + 0.15 * (torch.rand(4, generator=random) - 0.5)
    slope = torch.ones(q.shape[:3])
    for _ in range(7):
        free = q.norm(dim=-1) < 8
        slope = torch.where(free, 2 * slope * q.norm(dim=-1), slope)
        real = q[..., :1] ** 2 - q[..., 1:].square().sum(-1, keepdim=True)
        q = torch.where(free[..., None], torch.cat([real, 2 * q[..., :1] * q[..., 1:]], dim=-1) + c, q)
    length = q.norm(dim=-1)
    field = (0.5 * length * length.clamp(min=1e-9).log() / slope.clamp(min=1e-9)).clamp(-3, 3)
    return _true(field * (resolution / 3.0))


def terrain(resolution: int, seed: int) -> torch.Tensor:
    """Mountains: ridges of a fractal sum, with terraces."""
    random = generator(seed)
    shape = (resolution, 1, resolution)
    ridges = -0.1 * fractal(shape, resolution / 3, 7, random, gain=0.55).abs()
    hills = 0.06 * fractal(shape, resolution / 2, 3, random)
    height = ridges + hills
    terraces = (height * 25).floor() / 25 + 0.04 * ((height * 25).frac().abs() ** 4)
    return _true((box_points(resolution)[..., 1] - 0.5 * (height + terraces)) * resolution * 0.8)


# ---- eroded and broken


def eroded(resolution: int, seed: int) -> torch.Tensor:
    """Weathered rock with holes."""
    random = generator(seed)
    shape = (resolution,) * 3
    points = box_points(resolution, rotation(random))
    rock = smooth_union(box(points, torch.tensor([0.25, 0.2, 0.22])), points.norm(dim=-1) - 0.28, 0.08)
    rock = rock + 0.035 * fractal(shape, resolution / 5, 7, random, gain=0.6)
    holes = worley(voxel_centres(shape), resolution / 9, random) - 0.33
    return _true(torch.maximum(rock, -holes * 0.11) * resolution)


def broken(resolution: int, seed: int) -> torch.Tensor:
    """A ball of rock in shards, whose faces are planes."""
    random = generator(seed)
    points = box_points(resolution)
    sites = (torch.rand(30, 3, generator=random) - 0.5) * 0.8
    squared = torch.stack([(points - site).square().sum(-1) for site in sites], dim=-1)
    nearest, nearest_site = squared.min(-1)
    apart = torch.cdist(sites, sites).fill_diagonal_(torch.inf)[nearest_site]
    to_face = ((squared - nearest[..., None]) / (2 * apart) + 10 * (apart == torch.inf)).amin(-1)
    rough = 0.01 * fractal((resolution,) * 3, resolution / 6, 5, random)
    rock = points.norm(dim=-1) - 0.38 + rough
    return torch.maximum(rock, 1.5 / resolution - to_face) * resolution


# name -> the function, and the half-width of the band, voxels
SOLIDS = {
    "knot": (knotted, 3),
    "vessel": (turned, 2),
    "gear": (gear, 4),
    "machined": (machined, 3),
    "blocks": (blocks, 3),
    "drops": (drops, 3),
    "sponge": (sponge, 2),
    "julia": (julia, 3),
    "terrain": (terrain, 5),
    "eroded": (eroded, 3),
    "broken": (broken, 4),
}


def filled(distance: torch.Tensor, seed: int, sharp: bool) -> torch.Tensor:
    """(X, Y, Z) float32 density, 0 to 1, of a solid (distance in voxels): a ramp three voxels wide, as OpenVDB's
    sdfToFogVolume leaves it; if sharp a hard edge, and noise of which parts are cut off."""
    if not sharp:
        return (-distance / 3).clamp(0, 1)
    noise = fractal(tuple(distance.shape), distance.shape[0] / 10, 6, generator(seed), gain=0.6)
    return (distance < 0) * (0.8 + 0.6 * noise).clamp(0, 1)
