"""What a user may choose, with the defaults."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from neuralvdb.errors import InputError, UsageError

ARCHIVE_SUFFIX = ".neuralvdb"
MAX_LOD = 3


@dataclass(frozen=True)
class Bound:
    """A maximum error for the grids called `grid`, all if empty; relative: as a share of the active range, else in the
    grid's values, for level sets in voxels. Above zero, ratio allows that share of each value where that is more.
    decibels: the value is no error but the least PSNR over active voxels in dB, peak = active range."""

    value: float
    relative: bool
    grid: str = ""
    ratio: float = 0.0
    decibels: bool = False


@dataclass(frozen=True)
class Preset:
    """A quality: for fog and for flame a step and a knee, for velocity a maximum error, all as shares of the range, for
    level sets a maximum error in voxels. What is 0 is lossless."""

    fog: tuple[float, float] = (0.0, 0.0)
    flame: tuple[float, float] = (0.0, 0.0)
    velocity: float = 0.0
    levelset: float = 0.0


@dataclass(frozen=True)
class Effort:
    """How hard networks are fitted to a grid. levels: how many of the finest have theirs fitted; examples: residuals
    that a network is fitted to, at most; turns: of what makes its outputs; hidden: of its other layers; bytes: what a
    network's residuals must take for it to be worth a try; share: of the residuals' bytes that changes must seem to
    save for coding with them to be worth a try."""

    levels: int
    examples: int
    turns: int
    hidden: int
    bytes: int
    share: float = 0.0


EFFORTS = (
    Effort(0, 0, 0, 0, 0),
    Effort(1, 1500, 1, 0, 3000, 0.007),
    Effort(1, 2500, 2, 0, 2500, 0.007),
    Effort(2, 4000, 2, 0, 1500),
    Effort(3, 8000, 2, 0, 600),
    Effort(3, 16000, 3, 0, 200),
    Effort(3, 32000, 3, 0, 60),
    Effort(3, 32000, 3, 1, 60),
    Effort(3, 32000, 3, 2, 60),
    Effort(3, 1 << 16, 3, 3, 60),
)
DEFAULT_EFFORT = 2

_KINDS = {"fog": ("step", "knee"), "flame": ("step", "knee"), "velocity": ("rel_error",), "levelset": ("voxels",)}
_SHIPPED = Path(__file__).with_name("configs") / "presets.toml"


@dataclass(frozen=True)
class Box:
    """Voxels of a grid's index space, from `low` to `high`, both included. Raises ValueError where there are none or
    corners do not fit 32 bits."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(a > b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"the box from {self.low} to {self.high} holds nothing; the lower corner comes first")
        if min(self.low) < -(1 << 31) or max(self.high) >= 1 << 31:
            raise ValueError("the corners of a box are whole numbers of 32 bits")

    def coarse(self, lod: int) -> Box:
        """The voxels, 2**lod times as long, that the box touches."""
        return Box(tuple(x >> lod for x in self.low), tuple(x >> lod for x in self.high))


@functools.cache
def presets(path: str = "") -> dict[str, Preset]:
    """The presets that come with the package (configs/presets.toml), by name, and before them those of a file like it.

    Raises InputError where the file cannot be read, UsageError where it holds anything else.
    """
    try:
        found = tomllib.loads(Path(path or _SHIPPED).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML file: {error}") from error
    mine = {name: _preset(table, f"{path}: preset '{name}'") for name, table in found.items()}
    return presets() | mine if path else mine


def _preset(table: object, where: str) -> Preset:
    found: dict[str, tuple[float, ...] | float] = {}
    for kind, values in table.items() if isinstance(table, dict) else [("", {})]:
        if not isinstance(values, dict) or kind not in _KINDS or set(values) != set(_KINDS[kind]):
            known = ", ".join(f"{name} = {{ {', '.join(keys)} }}" for name, keys in _KINDS.items())
            raise UsageError(f"{where}: '{kind}' is not one of {known}")
        for name, value in values.items():
            if type(value) not in (int, float) or not (0 < value < 1e6 or (name == "knee" and value == 0)):
                raise UsageError(f"{where}: {name} = {value!r} is no number above 0")
        numbers = tuple(float(values[name]) for name in _KINDS[kind])
        found[kind] = numbers if len(numbers) > 1 else numbers[0]
    return Preset(**found)


@dataclass(frozen=True)
class Settings:
    """Choices shared by all operations.

    grids: names to work on, all of them when empty; `density` also names density[1]. threads: how many to use. force:
    overwrite outputs. verify: decode what was written and compare before it is kept. compression: of written .vdb
    files, one of blosc, zip, none. quality: one of presets(presets_file). bounds: errors allowed, which go before
    quality; the last one that names a grid holds. Without either every bit is kept. box: decompress only what lies in
    it, in each grid's own index space. lod: decompress to voxels 2**lod times as long, at most MAX_LOD. topology:
    exact, or pruned to what the bounds make necessary. topology_only: decompress to masks of what is active. device:
    where lossy values are coded and topologies that networks code decoded: cpu, cuda for all GPUs, cuda:0 for one, auto
    for GPUs where there are some. effort: 0 to 9, how long compress fits networks to a grid, whose changes are kept
    where they save bytes; None for DEFAULT_EFFORT, or 0 where fast. fast: compress with networks that have no hidden
    layers, which takes less time both ways and some bytes more. priors: a file of networks to use in place of those
    shipped, or to read archives with that need it; embed_priors: archives carry the networks that they need.
    """

    grids: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    force: bool = False
    verify: bool = True
    compression: str = "blosc"
    quality: str = ""
    presets_file: str = ""
    bounds: tuple[Bound, ...] = ()
    box: Box | None = None
    lod: int = 0
    topology: str = "exact"
    topology_only: bool = False
    device: str = "auto"
    effort: int | None = None
    fast: bool = False
    priors: str = ""
    embed_priors: bool = False

    def __post_init__(self) -> None:
        if self.effort is not None and not 0 <= self.effort < len(EFFORTS):
            raise UsageError(f"there is no effort {self.effort}; there are 0 to {len(EFFORTS) - 1}")

    @property
    def fitting(self) -> Effort:
        """That of `effort`."""
        return EFFORTS[(0 if self.fast else DEFAULT_EFFORT) if self.effort is None else self.effort]

    @property
    def preset(self) -> Preset:
        """That of `quality`. Raises what presets() raises, and UsageError where there is none of that name."""
        known = presets(self.presets_file)
        if self.quality and self.quality not in known:
            raise UsageError(f"there is no quality '{self.quality}'; there are {', '.join(known)}")
        return known.get(self.quality, Preset())
