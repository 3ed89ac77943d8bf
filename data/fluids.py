"""Fire, blasts, dust and liquids, on the solver of smoke. Letters, axes and units as in solver.py."""

import math
from dataclasses import dataclass

import torch
from noise import fractal, generator
from shapes import redistance
from solver import SmokeSettings, SmokeSolver


def centres(settings: SmokeSettings) -> torch.Tensor:
    """(3, X, Y, Z) float32 centres of the voxels in world units."""
    axes = [(torch.arange(size) + 0.5) * settings.voxel_size for size in settings.shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


# ---- fire


@dataclass(frozen=True)
class FireSettings(SmokeSettings):
    """A torch; fuel is 1 where it leaves the emitter."""

    aspect: float = 1.75
    buoyancy: float = 5.0
    cooling: float = 1.6
    dissipation: float = 0.25
    confinement: float = 1.2
    turbulence: float = 9.0
    emitter_radius: float = 0.36
    burning: float = 1.5  # fuel lost, per second
    soot: float = 1.2  # density gained from fuel 1
    coolest: float = 1.0  # temperature of a flame at its end and at its start
    hottest: float = 2.2
    expansion: float = 0.8  # volume gained from fuel 1, in volumes


class FireSolver(SmokeSolver):
    """Fuel that burns, heats, expands and leaves soot.

    The reaction coordinate of Nguyen, Fedkiw and Jensen, "Physically Based Modeling and Animation of Fire" (2002), in
    the simple form of mantaflow's processBurn; the outflow is that of Feldman, O'Brien and Arikan, "Animating
    Suspended Particle Explosions" (2003).
    """

    FIELDS = ("density", "temperature", "fuel", "react")

    @property
    def flame(self) -> torch.Tensor:
        """(X, Y, Z) 0 to 1: high where fuel has just caught fire."""
        return self.fields["react"].clamp(0, 1).sqrt() * (self.fields["fuel"] > 1e-3)

    def _emit(self, dt: float) -> torch.Tensor:
        strength, _ = self._flickering(dt)
        self._ignite(strength)
        return self._burn(dt)

    def _ignite(self, fuel: torch.Tensor) -> None:
        self.fields["fuel"] = torch.maximum(self.fields["fuel"], fuel)
        self.fields["react"] = torch.maximum(self.fields["react"], (fuel > 0.02).float())

    def _burn(self, dt: float) -> torch.Tensor:
        """Burns fuel for `dt` seconds; the outflow, velocity units."""
        s, before = self.settings, self.fields["fuel"]
        fuel = (before - s.burning * dt).clamp(min=0)
        self.fields["react"] = torch.where(fuel > 0, self.fields["react"] * fuel / before.clamp(min=1e-9), 0)
        self.fields["fuel"] = fuel
        self.fields["density"] += s.soot * (before - fuel)
        flame = self.flame
        heat = torch.where(flame > 0, s.coolest + (s.hottest - s.coolest) * flame, 0)
        self.fields["temperature"] = torch.maximum(self.fields["temperature"], heat)
        return (before - fuel)[:-1, :-1, :-1] * (s.expansion / dt * s.voxel_size)

    def _pull(self) -> tuple[torch.Tensor, torch.Tensor]:
        _, lift = super()._pull()
        return ((self.fields["density"] + self.fields["fuel"]) * 4).clamp(max=1), lift


# ---- blast


@dataclass(frozen=True)
class BlastSettings(FireSettings):
    """Charges near the floor that all burn within a third of a second."""

    aspect: float = 1.0
    buoyancy: float = 3.0
    cooling: float = 1.1
    dissipation: float = 0.05
    confinement: float = 1.2
    turbulence: float = 20.0
    burning: float = 4.0
    soot: float = 2.5
    hottest: float = 3.0
    expansion: float = 4.5
    charges: int = 8


class BlastSolver(FireSolver):
    """Charges of fuel that go off one after the other within a fifth of a second."""

    def __init__(self, settings: BlastSettings, device: torch.device | str = "cpu"):
        super().__init__(settings, device)
        random = generator(settings.seed + 2)
        at, rough = centres(settings), fractal(settings.shape, settings.resolution / 12, 4, random)
        self.pending, self.time = [], 0.0
        for charge in range(settings.charges):
            x, z, size, delay = torch.rand(4, generator=random).tolist()
            radius = 0.14 + 0.16 * size
            middle = torch.tensor([1.4 + 1.2 * x, 0.9 * radius, 1.4 + 1.2 * z]).view(3, 1, 1, 1)
            fuel = ((1 + 0.5 * rough - (at - middle).norm(dim=0) / radius) * 4).clamp(0, 1)
            fuel *= (0.7 + 0.3 * rough).clamp(0, 1)
            self.pending.append((0.2 * delay if charge else 0.0, fuel.to(device)))

    def _emit(self, dt: float) -> torch.Tensor:
        for _, fuel in (charge for charge in self.pending if charge[0] <= self.time):
            self._ignite(fuel)
        self.pending = [charge for charge in self.pending if charge[0] > self.time]
        self.time += dt
        return self._burn(dt)


# ---- dust


@dataclass(frozen=True)
class DustSettings(SmokeSettings):
    """A column of dust that collapses and runs along the floor."""

    aspect: float = 0.45
    weight: float = 4.0
    dissipation: float = 0.05
    confinement: float = 1.0
    turbulence: float = 5.0
    pickup: float = 1.0  # density gained near the floor, per world unit of wind
    layer: float = 0.2  # height in which it is


class DustSolver(SmokeSolver):
    """A gravity current: what is thick falls, spreads along the floor and lifts more dust from it.

    Source: Simpson, "Gravity Currents: In the Environment and the Laboratory" (1997).
    """

    FIELDS = ("density",)

    def __init__(self, settings: DustSettings, device: torch.device | str = "cpu"):
        super().__init__(settings, device)
        random = generator(settings.seed + 2)
        x, y, z = centres(settings)
        rough = fractal(settings.shape, settings.resolution / 8, 5, random, gain=0.7)
        middle = 1.4 + 1.2 * torch.rand(2, generator=random)
        column = torch.maximum(torch.hypot(x - middle[0], z - middle[1]) - 0.7, y - 1.5)
        self.fields["density"] = ((0.1 * rough - column) * 12).clamp(0, 1).to(device)

    def _emit(self, dt: float) -> float:
        low = slice(math.ceil(self.settings.layer / self.settings.voxel_size))
        density = self.fields["density"][:, low]
        wind = self.velocity[0, :, low].hypot(self.velocity[2, :, low])
        gained = wind * self.flicker.advance(dt)[0, :, low].abs() * (density > 0.05)
        density.add_(gained * (self.settings.pickup * dt) * (1 - density).clamp(min=0))
        return 0.0

    def _pull(self) -> tuple[torch.Tensor, torch.Tensor]:
        density = self.fields["density"]
        return (density * 4).clamp(max=1), -self.settings.weight * density


# ---- liquid


@dataclass(frozen=True)
class LiquidSettings(SmokeSettings):
    """A tank with a column of liquid at one side, a pool and falling drops."""

    aspect: float = 0.75
    weight: float = 14.0  # downward acceleration of the liquid
    confinement: float = 0.25
    turbulence: float = 0.6
    tank: bool = True
    reach: float = 6.0  # distances are kept within so many voxels
    drops: int = 7


class LiquidSolver(SmokeSolver):
    """The signed distance to a liquid, negative inside, that the flow carries; `distance` in voxels.

    Liquid and air are one flow without divergence in which the liquid is heavy; the method of Sussman, Smereka and
    Osher, "A level set approach for computing solutions to incompressible two-phase flow" (1994), at equal densities.
    """

    FIELDS = ("distance",)

    def __init__(self, settings: LiquidSettings, device: torch.device | str = "cpu"):
        super().__init__(settings, device)
        random = generator(settings.seed + 2)
        at = centres(settings)
        x, y = at[:2]
        waves = 0.05 * fractal(settings.shape, settings.resolution / 6, 2, random)[:, :1]
        wide, level = (0.7 + 0.7 * torch.rand(2, generator=random)).tolist()
        distance = torch.minimum(y - 0.4 * level, torch.maximum(x - wide, y - 1.9)) + waves
        for _ in range(settings.drops):
            drop = torch.rand(4, generator=random)
            middle = torch.stack([0.5 + 3 * drop[0], 1.2 + 1.4 * drop[1], 0.5 + 3 * drop[2]]).view(3, 1, 1, 1)
            distance = torch.minimum(distance, (at - middle).norm(dim=0) - 0.12 - 0.25 * drop[3])
        self._keep((distance / settings.voxel_size).to(device))

    def _keep(self, distance: torch.Tensor) -> None:
        reach = self.settings.reach
        self.fields["distance"] = redistance(distance.clamp(-reach, reach), math.ceil(2 * reach)).clamp(-reach, reach)

    def _emit(self, dt: float) -> float:
        return 0.0

    def _pull(self) -> tuple[torch.Tensor, torch.Tensor]:
        liquid = (0.5 - self.fields["distance"] / 3).clamp(0, 1)
        return liquid, -self.settings.weight * liquid

    def _move(self, displacement: torch.Tensor, dt: float) -> None:
        self._keep(self.advection.move(self.fields["distance"][None], displacement, "border")[0])
