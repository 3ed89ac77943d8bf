"""What is promised of a grid's active values, and how they are coded so that it holds."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.constants import LIMIT, MEAN_STEPS, UNITS_PER_ERROR
from neuralvdb.values.lattice.kind import FAMILIES, SAMPLE_FAMILIES, LatticeKind
from neuralvdb.values.value_range import ValueRange

_LESS = 1 - 2.0**-13  # of a bound is used, so that values half way between two that are decoded keep to it when rounded
_RATIO, _STEP = 2.0**-60, 1e-300  # above these, knees in lattice units are integers of 64 bits
(_MEAN_FAMILY,) = (family for family in FAMILIES if family not in SAMPLE_FAMILIES)


@dataclass(frozen=True, kw_only=True)
class ErrorBound:
    """What is promised: no active value v is off by more than max(max_error, ratio |v|); PSNR and picture are kept.

    max_error: in the grid's values; infinite where no error is promised.
    ratio: share of each value, 0 to 1.
    psnr: least PSNR of active leaf values in dB, peak = active range; 0 where none is promised.
    picture: least T-PSNR of fog in dB; 0 where none is promised. Heads of values do not hold it; section LOSS does.
    """

    max_error: float = np.inf
    ratio: float = 0.0
    psnr: float = 0.0
    picture: float = 0.0

    def valid(self) -> bool:
        """Whether the numbers make sense, as those of a damaged archive may not."""
        ratio = self.ratio == 0 or _RATIO < self.ratio < 1
        return bool(self.max_error > 0 and ratio and 0 <= self.psnr < np.inf and 0 <= self.picture < np.inf)


@dataclass(frozen=True, kw_only=True)
class CodingMode:
    """How values are coded.

    lattice: samples or means.
    family: name of the networks that predict, one of those made for this lattice.
    step: mean lattice: its finest quantisation step, in the grid's values.
    knee: mean lattice: where companding begins, in the grid's values; 0 for no companding.
    half: values are saved as half, so the promise is about rounded values.
    nonnegative: mean lattice: no value is below 0.
    active_only: sample lattice: predictors see active points only.
    """

    lattice: LatticeKind
    family: str
    step: float = 0.0
    knee: float = 0.0
    half: bool = False
    nonnegative: bool = False
    active_only: bool = False

    def valid(self) -> bool:
        """Whether the fields agree with each other, as those of a damaged archive may not."""
        if self.lattice is LatticeKind.MEAN:
            if self.family != _MEAN_FAMILY or self.active_only or not _STEP < self.step < np.inf:
                return False
            return 0 <= self.knee <= self.step * 1e5 and self.knee < np.inf
        return self.family in SAMPLE_FAMILIES and self.step == 0 and self.knee == 0


@dataclass(frozen=True)
class Promise:
    """What is promised of a grid's active values, and the mode that keeps it.

    ranges: that decoded values do not leave, of each component; none before a grid is encoded.
    """

    bound: ErrorBound
    mode: CodingMode
    ranges: tuple[ValueRange, ...] = ()

    @property
    def quantiser(self) -> Quantiser:
        """The quantiser that keeps the promise."""
        mode, bound = self.mode, self.bound
        if mode.lattice is LatticeKind.SAMPLE:
            unit = bound.max_error / UNITS_PER_ERROR * _LESS
            return Quantiser(unit, knee_of(bound.ratio), active_only=mode.active_only)
        unit = mode.step / MEAN_STEPS[0]
        return Quantiser(unit, int(np.ceil(mode.knee / unit)), nonnegative=mode.nonnegative)

    def kept(self, true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """bool of the arrays' shape: where the bound holds. Equal infinities keep it, NaN never does.

        Values beyond the range of the mean lattice keep it only if they are equal.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            x = true.astype(np.float64)
            error = np.abs(decoded - x)
            near = np.isfinite(error) & (error <= np.maximum(self.bound.max_error, self.bound.ratio * np.abs(x)))
            if self.mode.lattice is LatticeKind.MEAN:
                near &= np.abs(x) <= LIMIT * self.quantiser.unit
            return near | (decoded == x)

    def keeps_any(self, true: np.ndarray) -> bool:
        """Whether the bound holds of these values whatever finite ones they decode to."""
        if self.bound.max_error < np.inf or self.mode.lattice is not LatticeKind.MEAN:
            return False
        return bool(np.abs(true).max(initial=0) <= LIMIT * self.quantiser.unit)

    def values(self, lattice_values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The grid's values of lattice values (mean lattice: of means), rounded as they will be saved."""
        quantiser = self.quantiser
        with np.errstate(over="ignore"):
            if self.mode.lattice is LatticeKind.MEAN:
                values = (lattice_values * quantiser.unit).astype(dtype)
            else:
                values = quantiser.values(lattice_values).astype(dtype)
            return values.astype(np.float32).astype(np.float16).astype(dtype) if self.mode.half else values

    def decoded(self, lattice_values: np.ndarray, dtype: np.dtype, component: int) -> np.ndarray:
        """The grid's values of a component's lattice values, within its range."""
        return self.ranges[component].clamp(self.values(lattice_values, dtype))

    @property
    def noise(self) -> float:
        """The variance of what decoded values are off by, in lattice units, if that is spread evenly."""
        step = MEAN_STEPS[0] if self.mode.lattice is LatticeKind.MEAN else 2 * UNITS_PER_ERROR
        return step**2 / 12

    @property
    def native_bound(self) -> tuple[float, float, float]:
        """What kept() goes by, as C++ takes it: maximum error, ratio, and the largest value that may differ."""
        mean = self.mode.lattice is LatticeKind.MEAN
        return self.bound.max_error, self.bound.ratio, LIMIT * self.quantiser.unit if mean else np.inf

    def native_rules(self, component: int) -> tuple[float, int, bool, bool, float, float]:
        """What decoded() does, as C++ takes it: unit, knee, whether values are means and saved as half, their range."""
        quantiser, ends = self.quantiser, self.ranges[component]
        mean = self.mode.lattice is LatticeKind.MEAN
        return quantiser.unit, quantiser.knee, mean, self.mode.half, ends.low, ends.high

    def valid(self) -> bool:
        """Whether it makes sense, as that of a damaged archive may not."""
        bounded = self.mode.lattice is LatticeKind.MEAN or np.isfinite(self.bound.max_error)
        ranges = all(of_component.valid() for of_component in self.ranges)
        return bool(bounded and ranges and self.bound.valid() and self.mode.valid())


def sample_promise(
    family: str,
    *,
    max_error: float,
    ratio: float = 0.0,
    psnr: float = 0.0,
    half: bool = False,
    active_only: bool = False,
) -> Promise:
    """A promise kept by the sample lattice and the networks of `family`; arguments as ErrorBound and CodingMode."""
    bound = ErrorBound(max_error=max_error, ratio=ratio, psnr=psnr)
    mode = CodingMode(lattice=LatticeKind.SAMPLE, family=family, half=half, active_only=active_only)
    return Promise(bound, mode)


def mean_promise(
    *,
    step: float,
    knee: float = 0.0,
    max_error: float = np.inf,
    psnr: float = 0.0,
    half: bool = False,
    nonnegative: bool = False,
) -> Promise:
    """A promise kept by the mean lattice; arguments as ErrorBound and CodingMode."""
    bound = ErrorBound(max_error=max_error, psnr=psnr)
    mode = CodingMode(
        lattice=LatticeKind.MEAN, family=_MEAN_FAMILY, step=step, knee=knee, half=half, nonnegative=nonnegative
    )
    return Promise(bound, mode)
