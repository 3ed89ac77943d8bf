"""A smoke solver on a staggered (MAC) grid: the method of Stam, "Stable Fluids" (1999), and Fedkiw et al.,
"Visual Simulation of Smoke" (2001).

Letters: X, Y, Z voxels per axis, y is up. Densities and temperatures are (X, Y, Z) float32 at voxel centres.
A velocity is (3, X, Y, Z) float32 in world units per second; component a lies on the lower face of the voxel
along axis a, as OpenVDB's staggered class wants it. The floor is a wall, all other sides are open, but those of a tank.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from noise import generator, knots_for, stretch

UP = 1  # the axis against gravity


@dataclass(frozen=True)
class SmokeSettings:
    """What a simulation depends on. Lengths in world units, times in seconds; 24 frames per second."""

    resolution: int = 96  # voxels along x and z
    aspect: float = 1.5  # height of the box in widths
    width: float = 4.0
    seed: int = 0
    frame_time: float = 1 / 24
    buoyancy: float = 7.0  # upward acceleration at temperature 1
    weight: float = 0.2  # downward acceleration at density 1
    cooling: float = 0.55  # temperature lost, per second
    dissipation: float = 0.12  # density lost, per second
    confinement: float = 0.6  # vorticity confinement, 1 / second
    turbulence: float = 3.5  # acceleration by the random force
    emission: float = 2.0  # density gained at the emitter, per second
    emitter_radius: float = 0.42
    rim: float = 3.0  # how fast the emitter fades out, 1 / emitter_radius
    cells_per_step: float = 3.0  # a step moves nothing further than this, voxels
    tank: bool = False  # whether the four sides are walls

    @property
    def voxel_size(self) -> float:
        """Edge of a voxel in world units."""
        return self.width / self.resolution

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) in voxels."""
        return self.resolution, round(self.resolution * self.aspect), self.resolution


class RandomField:
    """Smooth noise that changes with time: an Ornstein-Uhlenbeck process on the lattice of each octave.

    Source: Eswaran and Pope, "An examination of forcing in direct numerical simulations of turbulence" (1988).
    """

    def __init__(
        self, shape: tuple[int, int, int], spacings: list[float], memory: float, channels: int, seed: int, device
    ):
        self.shape, self.memory, self.device = shape, memory, device
        self.random = generator(seed)
        self.lattices = [self._normal(channels, knots_for(shape, spacing)) for spacing in spacings]

    def _normal(self, channels: int, knots: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(channels, *knots, generator=self.random)

    def advance(self, dt: float) -> torch.Tensor:
        """(channels, X, Y, Z): the noise `dt` seconds on; octave n forgets 2^n times as fast and is 0.7^n as strong."""
        total = 0
        for n, lattice in enumerate(self.lattices):
            keep = math.exp(-dt * 2**n / self.memory)
            fresh = self._normal(lattice.shape[0], lattice.shape[1:])
            lattice.mul_(keep).add_(fresh, alpha=math.sqrt(1 - keep * keep))
            total = total + 0.7**n * stretch(lattice.to(self.device), self.shape)
        return total


class PressureSolver:
    """Removes the divergence of a velocity, up to rounding.

    Fast diagonalisation, Lynch, Rice and Thomas, "Direct solution of partial difference equations by tensor product
    methods" (1964). Pressure is zero outside the open sides, and in the last voxel of every axis, which closes
    the grid without a face N; at the floor, and at the sides of a tank, it has no gradient.
    """

    def __init__(self, shape: tuple[int, int, int], device, tank: bool = False):
        self.vectors, values = [], []
        self.tank = tank
        for axis, size in enumerate(shape):
            matrix = 2 * torch.eye(size - 1, dtype=torch.float64)
            matrix -= torch.diag(torch.ones(size - 2), 1) + torch.diag(torch.ones(size - 2), -1)
            if axis == UP or tank:
                matrix[0, 0] = 1
            if axis != UP and tank:
                matrix[-1, -1] = 1
            eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
            self.vectors.append(eigenvectors.float().to(device))
            values.append(eigenvalues)
        total = values[0][:, None, None] + values[1][:, None] + values[2]
        self.inverse = total.reciprocal().float().to(device)

    def pressure(self, divergence: torch.Tensor) -> torch.Tensor:
        """(X-1, Y-1, Z-1) pressure whose Laplacian is the divergence."""
        spectrum = _along_axes(divergence, [v.T for v in self.vectors])
        return -_along_axes(spectrum * self.inverse, self.vectors)

    def project(self, velocity: torch.Tensor, outflow: torch.Tensor | float = 0) -> torch.Tensor:
        """The velocity less the gradient of its pressure, in place: its divergence is then `outflow`, which is like
        `divergence` gives it; nothing flows through walls."""
        velocity[UP, :, 0] = 0
        for axis in (0, 2) if self.tank else ():
            velocity[axis].narrow(axis, 0, 1).zero_()
            velocity[axis].narrow(axis, -1, 1).zero_()
        inner = F.pad(self.pressure(divergence(velocity) - outflow), (0, 1) * 3)
        for axis in range(3):
            before = torch.zeros_like(inner.narrow(axis, 0, 1))
            if axis == UP or self.tank:
                before = inner.narrow(axis, 0, 1)
            slope = torch.diff(inner, dim=axis, prepend=before)
            if axis != UP and self.tank:
                slope.narrow(axis, -1, 1).zero_()
            velocity[axis] -= slope
        return velocity


def _along_axes(values: torch.Tensor, matrices: list[torch.Tensor]) -> torch.Tensor:
    """`values` (X, Y, Z) multiplied along each axis by that axis's matrix."""
    for axis, matrix in enumerate(matrices):
        values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
    return values.contiguous()


def divergence(velocity: torch.Tensor) -> torch.Tensor:
    """(X-1, Y-1, Z-1) outflow of every voxel but the last of each axis, times the voxel size."""
    flows = (torch.diff(velocity[axis], dim=axis) for axis in range(3))
    return sum(flow[tuple(slice(size - 1) for size in velocity.shape[1:])] for flow in flows)


def to_centres(velocity: torch.Tensor) -> torch.Tensor:
    """(3, X, Y, Z) at voxel centres: the mean of the two faces of each axis."""
    return torch.stack([(velocity[a] + _shift(velocity[a], a, 1)) / 2 for a in range(3)])


def _shift(values: torch.Tensor, axis: int, by: int) -> torch.Tensor:
    """values[i + by] along an axis, by = 1 or -1; the border voxel repeats."""
    size = values.shape[axis]
    body, border = values.narrow(axis, max(by, 0), size - 1), values.narrow(axis, (size - 1) * (by > 0), 1)
    return torch.cat([body, border] if by > 0 else [border, body], dim=axis)


def _gradient(values: torch.Tensor) -> torch.Tensor:
    """(3, X, Y, Z) central differences per voxel of (X, Y, Z)."""
    return torch.stack([(_shift(values, a, 1) - _shift(values, a, -1)) / 2 for a in range(3)])


class Advection:
    """Moves fields along a displacement: MacCormack with a limiter, Selle et al., "An Unconditionally Stable MacCormack
    Method" (2008). Beyond the range of the 3x3x3 voxels around the nearest one (theirs: the 8 corners)
    the semi-Lagrangian value stands.
    """

    def __init__(self, shape: tuple[int, int, int], device):
        axes = [torch.linspace(-1, 1, size, device=device) for size in shape]
        self.identity = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        self.scale = torch.tensor([2 / (size - 1) for size in shape], device=device).view(3, 1, 1, 1)

    def _sample(self, values, displacement, padding: str, mode: str = "bilinear") -> torch.Tensor:
        """(C, X, Y, Z): values at (voxel + displacement), which is (3, X, Y, Z) in voxels."""
        grid = (self.identity + displacement * self.scale).flip(0).permute(1, 2, 3, 0)[None]
        return F.grid_sample(values[None], grid, mode, padding, align_corners=True)[0]

    def trace(self, centred: torch.Tensor, dt_per_voxel: float) -> torch.Tensor:
        """(3, X, Y, Z) in voxels: how far what arrives at each centre has come, by the midpoint rule."""
        midpoint = self._sample(centred, centred * (-dt_per_voxel / 2), "border")
        return midpoint * dt_per_voxel

    def move(self, values: torch.Tensor, displacement: torch.Tensor, padding: str) -> torch.Tensor:
        """(C, X, Y, Z) values after they moved by the displacement; `padding` says what flows in, as in grid_sample."""
        moved = self._sample(values, -displacement, padding)
        back = self._sample(moved, displacement, padding)
        pooled = F.max_pool3d(torch.stack([values, -values]), 3, 1, 1)
        high, low = self._sample(pooled.flatten(0, 1), -displacement, padding, "nearest").chunk(2)
        sharper = moved + (values - back) / 2
        return torch.where((sharper > high) | (sharper < -low), moved, sharper)


class SmokeSolver:
    """A plume above a noisy emitter. `step` advances one frame; `fields` (X, Y, Z) by name and velocity are the state.

    Other fluids have other fields, and an `_emit`, `_pull` or `_move` of their own.
    """

    FIELDS = ("density", "temperature")

    def __init__(self, settings: SmokeSettings, device: torch.device | str = "cpu"):
        shape, size = settings.shape, settings.resolution
        self.settings, self.device = settings, device
        self.fields = {name: torch.zeros(shape, device=device) for name in self.FIELDS}
        self.velocity = torch.zeros(3, *shape, device=device)
        self.pressure = PressureSolver(shape, device, settings.tank)
        self.advection = Advection(shape, device)
        self.force = RandomField(shape, [size / n for n in (4, 8, 16, 32)], 0.6, 3, settings.seed, device)
        self.flicker = RandomField(shape, [size / n for n in (10, 20, 40)], 0.25, 1, settings.seed + 1, device)
        self.distance = self._emitter_distance()

    def _emitter_distance(self) -> torch.Tensor:
        """(X, Y, Z) distance to the emitter's centre in emitter radii; it is a flat ellipsoid near the floor."""
        s = self.settings
        centre = torch.tensor([s.width / 2, s.emitter_radius, s.width / 2])
        radii = s.emitter_radius * torch.tensor([1.0, 0.6, 1.0])
        sides = zip(s.shape, centre, radii, strict=True)
        axes = [((torch.arange(size) + 0.5) * s.voxel_size - middle) / radius for size, middle, radius in sides]
        squared = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2
        return squared.sqrt().to(self.device)

    def step(self) -> None:
        """Advance one frame, in as many equal steps as the fastest voxel needs."""
        s = self.settings
        fastest = self.velocity.abs().max().item() * s.frame_time / s.voxel_size
        steps = max(1, math.ceil(fastest / s.cells_per_step))
        for _ in range(steps):
            self._substep(s.frame_time / steps)

    def _substep(self, dt: float) -> None:
        s = self.settings
        outflow = self._emit(dt)
        self._accelerate(dt)
        self.velocity = self.pressure.project(self.velocity, outflow)
        displacement = self.advection.trace(to_centres(self.velocity), dt / s.voxel_size)
        self._move(displacement, dt)
        for axis in range(3):
            at_face = (displacement + torch.stack([_shift(d, axis, -1) for d in displacement])) / 2
            self.velocity[axis] = self.advection.move(self.velocity[axis : axis + 1], at_face, "border")[0]

    def _move(self, displacement: torch.Tensor, dt: float) -> None:
        """Carry the fields along; density disperses, temperature falls."""
        losses = {"density": self.settings.dissipation, "temperature": self.settings.cooling}
        moved = self.advection.move(torch.stack([*self.fields.values()]), displacement, "zeros").clamp_(min=0)
        for name, values in zip(self.FIELDS, moved, strict=True):
            self.fields[name] = values * math.exp(-losses.get(name, 0.0) * dt)

    def _emit(self, dt: float) -> torch.Tensor | float:
        """Heat and fill the emitter, whose rim and strength flicker; the outflow is that nothing expands."""
        strength, noise = self._flickering(dt)
        self.fields["temperature"] = torch.maximum(self.fields["temperature"], strength)
        self.fields["density"] += strength * (1 + 0.5 * noise).clamp_(min=0) * (self.settings.emission * dt)
        return 0

    def _flickering(self, dt: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(X, Y, Z) strength of the emitter, 0 to 1, and the noise in it."""
        noise = self.flicker.advance(dt)[0]
        return ((1.15 + 0.45 * noise - self.distance) * self.settings.rim).clamp_(0, 1), noise

    def _pull(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(X, Y, Z) share of the random force, and upward acceleration."""
        s, density = self.settings, self.fields["density"]
        return (density * 4).clamp(max=1), s.buoyancy * self.fields["temperature"] - s.weight * density

    def _accelerate(self, dt: float) -> None:
        """Buoyancy, vorticity confinement and, inside the smoke, a random force; from centres to faces."""
        s = self.settings
        share, lift = self._pull()
        force = vorticity_confinement(to_centres(self.velocity), s.voxel_size) * s.confinement
        force += self.force.advance(dt) * (s.turbulence * share)
        force[UP] += lift
        for axis in range(3):
            self.velocity[axis] += (force[axis] + _shift(force[axis], axis, -1)) * (dt / 2)


def vorticity_confinement(centred: torch.Tensor, voxel_size: float) -> torch.Tensor:
    """(3, X, Y, Z) force, in velocity units, that spins up the eddies of a centred velocity (Fedkiw et al. 2001)."""
    slopes = [_gradient(component) for component in centred]
    pairs = ((2, 1), (0, 2), (1, 0))
    vorticity = torch.stack([slopes[a][b] - slopes[b][a] for a, b in pairs])
    towards = _gradient(vorticity.norm(dim=0))
    towards = towards / (towards.norm(dim=0) + 1e-3 * voxel_size)
    return torch.linalg.cross(towards, vorticity, dim=0)
