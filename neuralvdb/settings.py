"""What a user may choose, with the defaults: one class per operation, each checked when it is made."""

from __future__ import annotations

import math
import re
from dataclasses import field

from neuralvdb import platform
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import UsageError
from neuralvdb.frame_number import FrameNumber
from neuralvdb.presets import Preset, presets, simulation_state
from neuralvdb.typed import check_types

ARCHIVE_SUFFIX = ".neuralvdb"
VDB_SUFFIX = ".vdb"
MAX_LOD = 3
COMPRESSIONS = ("blosc", "zip", "none")
TOPOLOGIES = ("exact", "pruned")
SIZES = ("exact", "source")
SIMULATION_STATES = ("keep", "drop")
DEFAULT_QUALITY = "production"
_DEVICE = re.compile(r"(auto|cpu)|cuda(?::(\d+))?")
_LEAST_PSNR = 10.0  # dB; a grid in which all values are one has about that


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An error that is allowed."""

    value: float
    """Maximum error; with `decibels` the least PSNR over active voxels in dB, its peak the active range."""
    relative: bool
    """Whether `value` is a share of the active range; else it is in the grid's values, for level sets in voxels."""
    grid: str = ""
    """The grids of this name; all grids if empty."""
    ratio: float = 0.0
    """A value v may be off by `ratio` * |v| where that is more than `value`."""
    decibels: bool = False
    """Whether `value` is a PSNR."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 <= self.value < math.inf:
            raise UsageError(f"{self.value} is no error bound; give a finite number above 0")
        if self.relative and self.value >= 1:
            raise UsageError(f"{self.value:.4g} times the range leaves nothing; did you mean {self.value:.4g}%?")
        if self.decibels and self.value < _LEAST_PSNR:
            raise UsageError(f"a PSNR of {self.value:.4g} dB leaves nothing; 30 dB is coarse, 60 dB is fine")
        if not 0 <= self.ratio < 1:
            raise UsageError(f"{self.ratio} is no share of a value; give a number from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard networks are fine-tuned to one grid, or to a grid of all frames of a group."""

    levels: int = 0
    """How many of the finest levels have their networks fine-tuned."""
    examples: int = 0
    """Residuals that a network is fine-tuned to, at most; to those of a group up to four times as many."""
    output_rounds: int = 0
    """Optimisation rounds of the output layers."""
    hidden_rounds: int = 0
    """Further rounds of the hidden layers."""
    min_bytes: int = 0
    """A network whose residuals take fewer bytes is skipped."""
    min_saving: float = 0.0
    """Fine-tuning is dropped if it seems to save a smaller share of the residuals' bytes."""


EFFORTS = (
    Effort(),
    Effort(levels=1, examples=1500, output_rounds=1, min_bytes=3000, min_saving=0.007),
    Effort(levels=1, examples=2500, output_rounds=2, min_bytes=2500, min_saving=0.007),
    Effort(levels=2, examples=4000, output_rounds=2, min_bytes=1500),
    Effort(levels=3, examples=8000, output_rounds=2, min_bytes=600),
    Effort(levels=3, examples=16000, output_rounds=3, min_bytes=200),
    Effort(levels=3, examples=32000, output_rounds=3, min_bytes=60),
    Effort(levels=3, examples=32000, output_rounds=3, hidden_rounds=1, min_bytes=60),
    Effort(levels=3, examples=32000, output_rounds=3, hidden_rounds=2, min_bytes=60),
    Effort(levels=3, examples=1 << 16, output_rounds=3, hidden_rounds=3, min_bytes=60),
)
DEFAULT_CHUNK, MAX_CHUNK = 12, 32  # frames that may be coded from each other
DEFAULT_EFFORT = 0  # the others save 0 to 5 % of the bytes for 1.1 to 8 times the time: data/results/effort.md


@dataclass(frozen=True)
class Box:
    """Voxels of a grid's index space, from `low` to `high`, both included. Raises UsageError where there are none or
    corners do not fit 32 bits."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def __post_init__(self) -> None:
        check_types(self)
        if any(a > b for a, b in zip(self.low, self.high, strict=True)):
            raise UsageError(f"the box from {self.low} to {self.high} holds nothing; the lower corner comes first")
        if min(self.low) < -(1 << 31) or max(self.high) >= 1 << 31:
            raise UsageError("the corners of a box are whole numbers of 32 bits")

    def coarse(self, lod: int) -> Box:
        """The voxels, 2**lod times as long, that the box touches."""
        (x, y, z), (u, v, w) = self.low, self.high
        return Box((x >> lod, y >> lod, z >> lod), (u >> lod, v >> lod, w >> lod))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all operations share that read or write archives. Raises UsageError for values that make no sense."""

    threads: int = field(default_factory=platform.available_cores)
    """How many threads to use."""
    priors: str = ""
    """A file of networks: to compress with in place of those shipped, or to read archives that need it."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.threads < 1:
            raise UsageError(f"{self.threads} threads do nothing; give 1 or more")


@dataclass(frozen=True, kw_only=True)
class ReadSettings(Settings):
    """What all operations share that read archives."""

    frame: FrameNumber | None = None
    """The frame of an archive of many, such as 57 or Decimal("1001.25"); of others it does not matter."""


@dataclass(frozen=True, kw_only=True)
class CompressSettings(Settings):
    """Choices of compress(). Raises UsageError for values that make no sense, alone or together, and what presets()
    raises."""

    grids: tuple[str, ...] = ()
    """Names of the grids to keep, all of them when empty; `density` also names density[1]."""
    leave_out: tuple[str, ...] = ()
    """Names of grids that are not kept, or patterns such as `*_previous`; those that are not there do not matter."""
    simulation_state: str = "keep"
    """One of SIMULATION_STATES; drop: grids that simulation_state(presets_file) names are not kept either."""
    force: bool = False
    """Overwrite the output."""
    skip_existing: bool = False
    """Leave an output as it is that is whole and was made of the same bytes with the same settings; else replace it."""
    device: str = "auto"
    """Where lossy values are coded: cpu, cuda for all GPUs, cuda:0 for one, auto for GPUs for large grids."""
    verify: bool = True
    """Decode what was written, and compare, before it is kept."""
    quality: str = DEFAULT_QUALITY
    """One of presets(presets_file); lossless keeps every bit of grids without a bound."""
    presets_file: str = ""
    """A file of presets beside those of the package."""
    bounds: tuple[Bound, ...] = ()
    """Errors allowed. They override `quality`; of those that name a grid the last one holds."""
    topology: str = "exact"
    """One of TOPOLOGIES; pruned: active voxels that the bounds allow to be background may become inactive."""
    effort: int = DEFAULT_EFFORT
    """0 to 9: how long networks are fine-tuned to each grid."""
    fast: bool = False
    """Networks without hidden layers: less time both ways, some bytes more."""
    embed_priors: bool = False
    """Store in the archive the networks that it needs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        device_number(self.device)
        _check_one_of("topology", self.topology, TOPOLOGIES)
        _check_one_of("way with simulation state", self.simulation_state, SIMULATION_STATES)
        if not 0 <= self.effort < len(EFFORTS):
            raise UsageError(f"there is no effort {self.effort}; there are 0 to {len(EFFORTS) - 1}")
        if self.quality not in presets(self.presets_file):
            raise UsageError(f"there is no quality '{self.quality}'; there are {', '.join(presets(self.presets_file))}")
        if self.topology == "pruned" and all(bound.decibels for bound in self.bounds):
            raise UsageError("topology is pruned to a maximum error; add --max-error, --rel-error or --tolerance")

    @property
    def lossy(self) -> bool:
        """Whether an error is allowed in any grid."""
        return bool(self.bounds) or self.preset != Preset()

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Names and patterns of the grids that are not kept."""
        return self.leave_out + (simulation_state(self.presets_file) if self.simulation_state == "drop" else ())

    @property
    def fine_tuning(self) -> Effort:
        """That of `effort`."""
        return EFFORTS[self.effort]

    @property
    def preset(self) -> Preset:
        """That of `quality`."""
        return presets(self.presets_file)[self.quality]


@dataclass(frozen=True, kw_only=True)
class DecompressSettings(ReadSettings):
    """Choices of decompress(). Raises UsageError for values that make no sense, alone or together."""

    grids: tuple[str, ...] = ()
    """Names of the grids to write, all of them when empty; `density` also names density[1]."""
    force: bool = False
    """Overwrite the output."""
    skip_existing: bool = False
    """Leave an output as it is that is not older than the archive and has the uuid that would be written."""
    device: str = "auto"
    """Where lossy values, and topologies that networks code, are decoded; names as in CompressSettings."""
    compression: str = "blosc"
    """Inside the written .vdb file: one of COMPRESSIONS."""
    box: Box | None = None
    """Only what lies in it, in each grid's own index space; the rest is inactive background."""
    lod: int = 0
    """Level of detail: voxels 2**lod times as long; 0 to MAX_LOD."""
    topology_only: bool = False
    """Write masks of what is active; values are not decoded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        device_number(self.device)
        _check_one_of("compression", self.compression, COMPRESSIONS)
        if not 0 <= self.lod <= MAX_LOD:
            raise UsageError(f"level of detail {self.lod} does not exist; 0 to {MAX_LOD} do")
        if self.topology_only and (self.box is not None or self.lod):
            raise UsageError("topology alone comes whole; leave out the box and the level of detail")


@dataclass(frozen=True, kw_only=True)
class VerifySettings(ReadSettings):
    """Choices of verify(). Raises UsageError for values that make no sense."""

    device: str = "auto"
    """Where grids are decoded; names as in CompressSettings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        device_number(self.device)


@dataclass(frozen=True, kw_only=True)
class DiffSettings(ReadSettings):
    """Choices of diff(). Raises UsageError for values that make no sense."""

    grids: tuple[str, ...] = ()
    """Names of the grids to compare, all of them when empty; `density` also names density[1]."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings(ReadSettings):
    """Choices of everything that makes pictures. Raises UsageError for values that make no sense."""

    grids: tuple[str, ...] = ()
    """Names of the grids to show, all of them when empty; `density` also names density[1]."""
    force: bool = False
    """Overwrite the output."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings(ViewSettings):
    """Choices of the page of a sequence. Raises UsageError for values that make no sense."""

    originals: str = ""
    """A folder that holds NAME.vdb for each NAME.neuralvdb, to compare with; empty: nothing is compared."""


@dataclass(frozen=True, kw_only=True)
class MountSettings(Settings):
    """Choices of a mount. Raises UsageError for values that make no sense."""

    grids: tuple[str, ...] = ()
    """Names of the grids to show, all of them when empty; `density` also names density[1]."""
    lod: int = 0
    """Level of detail: voxels 2**lod times as long; 0 to MAX_LOD."""
    device: str = "auto"
    """Where grids are decoded; names as in CompressSettings."""
    cache: str = ""
    """The folder of decoded frames; empty: the user's."""
    cache_size: int = 10_000_000_000
    """Bytes that decoded frames may take."""
    sizes: str = SIZES[0]
    """One of SIZES: of a frame that was never decoded, its size, for which it is decoded, or that of its source."""

    def __post_init__(self) -> None:
        super().__post_init__()
        device_number(self.device)
        _check_one_of("way to tell sizes", self.sizes, SIZES)
        if not 0 <= self.lod <= MAX_LOD:
            raise UsageError(f"level of detail {self.lod} does not exist; 0 to {MAX_LOD} do")
        if self.cache_size < 1:
            raise UsageError("a cache of no bytes keeps nothing; give a size such as 10G")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Choices of train(). Raises UsageError for values that make no sense."""

    iterations: int = 800
    """Of the optimiser, for each network."""
    fast: bool = False
    """Fine-tune the networks that CompressSettings.fast uses."""
    device: str = "auto"
    """Where networks are fine-tuned, the first of several GPUs; names as in CompressSettings."""
    force: bool = False
    """Overwrite the output."""

    def __post_init__(self) -> None:
        check_types(self)
        device_number(self.device)
        if self.iterations < 1:
            raise UsageError(f"{self.iterations} steps train nothing; give 1 or more")


def device_number(name: str) -> int | None:
    """1 for the device `cuda:1`, None for those without a number. Raises UsageError where the name is no device's."""
    match = _DEVICE.fullmatch(name)
    if match is None:
        raise UsageError(f"'{name}' is no device; there are auto, cpu, cuda and cuda:0, cuda:1, ...")
    return None if match[2] is None else int(match[2])


def _check_one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"there is no {what} '{value}'; there are {', '.join(choices)}")
