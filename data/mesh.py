"""Closed triangle meshes, and the signed distance to them.

Letters: T triangles, U and V vertices around and along; X, Y, Z voxels per axis. Triangles are (T, 3, 3) float64
corners in voxels, voxel centres at whole numbers.
"""

import math

import torch
import torch.nn.functional as F

_POINTS = 1 << 20  # distances in memory at a time


def triangles(vertices: torch.Tensor) -> torch.Tensor:
    """(T, 3, 3): the surface through the vertices (U, V, 3), which closes on itself in both directions."""
    right, above = vertices.roll(-1, 0), vertices.roll(-1, 1)
    opposite = right.roll(-1, 1)
    halves = torch.stack([vertices, right, opposite], 2), torch.stack([vertices, opposite, above], 2)
    return torch.cat([half.reshape(-1, 3, 3) for half in halves]).double()


def revolved(profile: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """(U, V, 3) vertices: the profile (V, 2), distance from the axis y and height, at even angles; radius (U, V) scales
    that distance."""
    angle = torch.arange(len(radius)) * (2 * math.pi / len(radius))
    away = profile[:, 0] * radius
    height = profile[:, 1].expand_as(away)
    return torch.stack([away * angle.cos()[:, None], height, away * angle.sin()[:, None]], dim=-1)


def knot(winds: tuple[int, int], steps: int, profile: torch.Tensor, twist: float) -> torch.Tensor:
    """(steps, V, 3) vertices: the profile (V, 2) carried along a torus knot of radius 0.3 about the axis y, and turned
    `twist` times (times 2 pi) on the way."""
    t = torch.arange(steps) * (2 * math.pi / steps)
    ring, tube = winds[0] * t, winds[1] * t
    out = torch.stack([ring.cos(), torch.zeros(steps), ring.sin()], dim=-1)
    path = out * (0.3 + 0.11 * tube.cos())[:, None]
    path[:, 1] = 0.11 * tube.sin()
    along = F.normalize(path.roll(-1, 0) - path.roll(1, 0), dim=-1)
    first = F.normalize(out - along * (out * along).sum(-1, keepdim=True), dim=-1)
    second = torch.linalg.cross(along, first)
    turn = twist * t[:, None]
    x = profile[:, 0] * turn.cos() - profile[:, 1] * turn.sin()
    y = profile[:, 0] * turn.sin() + profile[:, 1] * turn.cos()
    return path[:, None] + x[..., None] * first[:, None] + y[..., None] * second[:, None]


def mesh_distance(mesh: torch.Tensor, shape: tuple[int, int, int], reach: int) -> torch.Tensor:
    """(X, Y, Z) float32 signed distance in voxels to the triangles, negative inside; plus or minus `reach` where it is
    more."""
    squared = torch.full((math.prod(shape),), float(reach**2), dtype=torch.float64)
    low, high = (mesh.amin(1) - reach).ceil().long(), (mesh.amax(1) + reach).floor().long()
    size = (high - low).amax(1) + 1
    strides = torch.tensor([shape[1] * shape[2], shape[2], 1])
    order = size.argsort()
    while len(order):
        edge = int(size[order[0]])
        batch, order = order[: max(1, _POINTS // (edge + 2) ** 3)], order[max(1, _POINTS // (edge + 2) ** 3) :]
        offsets = torch.cartesian_prod(*[torch.arange(int(size[batch[-1]]))] * 3)
        points = low[batch, None] + offsets
        squares = _squared_distance(points.double(), mesh[batch, None])
        in_box = ((points >= 0) & (points < torch.tensor(shape))).all(-1)
        squared.scatter_reduce_(0, (points * strides).sum(-1)[in_box], squares[in_box], "amin")
    distance = squared.sqrt().float().reshape(shape)
    return torch.where(winding(mesh, shape) != 0, -distance, distance)


def _squared_distance(points: torch.Tensor, mesh: torch.Tensor) -> torch.Tensor:
    """(...) squared distance of points (..., 3) to triangles (..., 3, 3), by Quilez's "Triangle - distance"."""
    starts, ends = mesh, mesh.roll(-1, -2)
    normal = torch.linalg.cross(ends[..., 0, :] - starts[..., 0, :], starts[..., 0, :] - ends[..., 1, :])
    over = torch.ones(points.shape[:-1], dtype=torch.bool)
    nearest = torch.full(points.shape[:-1], torch.inf, dtype=points.dtype)
    for corner in range(3):
        edge, to = ends[..., corner, :] - starts[..., corner, :], points - starts[..., corner, :]
        over &= (torch.linalg.cross(edge, normal).expand_as(to) * to).sum(-1) >= 0
        share = ((edge * to).sum(-1) / (edge * edge).sum(-1)).clamp(0, 1)
        nearest = torch.minimum(nearest, (to - edge * share[..., None]).square().sum(-1))
    plane = (normal * to).sum(-1) ** 2 / (normal * normal).sum(-1)
    return torch.where(over, plane, nearest)


def winding(mesh: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """(X, Y, Z) int32: how many times the surface goes around each voxel, counted along z."""
    crossings = torch.zeros(math.prod(shape[:2]) * (shape[2] + 1), dtype=torch.int32)
    at = mesh[..., :2] - torch.tensor([1.1e-5, 1.7e-5], dtype=torch.float64)  # no column meets an edge
    low, high = at.amin(1).ceil().long(), at.amax(1).floor().long()
    offsets = torch.cartesian_prod(*[torch.arange(int((high - low).amax()) + 1)] * 2)
    columns = low[:, None] + offsets
    ends = at.roll(-1, 1)
    sides = [_turn(ends[:, None, c] - at[:, None, c], columns - at[:, None, c]) for c in range(3)]
    area = _turn(at[:, 1] - at[:, 0], at[:, 2] - at[:, 0])[:, None]
    hit = torch.stack([side * area.sign() > 0 for side in sides]).all(0)
    hit &= ((columns >= 0) & (columns < torch.tensor(shape[:2]))).all(-1)
    # the side of edge c weighs the corner opposite to it
    height = sum(sides[c] * mesh[:, (c + 2) % 3, 2, None] for c in range(3)) / area
    above = height[hit].ceil().clamp(0, shape[2]).long()
    voxel = (columns[..., 0] * shape[1] + columns[..., 1])[hit] * (shape[2] + 1) + above
    crossings.index_add_(0, voxel, area.sign().int().expand(hit.shape)[hit])
    return crossings.reshape(*shape[:2], -1).cumsum(-1)[..., :-1]


def _turn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The cross product in a plane."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
