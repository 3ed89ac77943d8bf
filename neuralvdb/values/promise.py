"""What is promised of a grid's active values, and the head of a VALS section, codec 1, which says so."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, open_table, put_array, take_array
from neuralvdb.values.lattice import mean, priors, tables
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.kind import LatticeKind, kind_of
from neuralvdb.values.lattice.levels import LIMIT
from neuralvdb.values.lattice.network import CLASSES
from neuralvdb.values.lattice.network_changes import NetworkChanges
from neuralvdb.values.lattice.network_changes import put as put_refinement
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.steps import UNITS_PER_ERROR

_LESS = 1 - 2.0**-13  # of a bound is used, so that values half way between two that are decoded keep to it when rounded
_RATIO, _STEP = 2.0**-60, 1e-300  # above these, knees in lattice units are integers of 64 bits
_NUMBERS = struct.Struct("<5d")  # bound, ratio, step, knee, psnr


@dataclass(frozen=True)
class Promise:
    """How a grid is coded and what is promised of it: no active value v is off by more than max(bound, ratio |v|).

    bound: in the grid's values, infinite where nothing is promised. family: of the predictor. half: values will be
    saved as half, and are promised as that. step: 0 for the sample lattice, else the finest step of the mean lattice,
    and knee where its companding begins (0: nowhere), both in the grid's values. psnr: of active leaf values in dB,
    peak = active range; 0 where none is promised. positive: on the mean lattice, no value is below 0. inside: on the
    sample lattice, predictors look at active values only.
    """

    bound: float
    family: str
    half: bool
    ratio: float = 0.0
    step: float = 0.0
    knee: float = 0.0
    psnr: float = 0.0
    positive: bool = False
    inside: bool = False

    @property
    def lattice(self) -> Quantiser:
        """The lattice that keeps it."""
        if not self.step:
            return Quantiser(self.bound / UNITS_PER_ERROR * _LESS, knee_of(self.ratio), inside=self.inside)
        unit = self.step / mean.STEPS[0]
        return Quantiser(unit, int(np.ceil(self.knee / unit)), self.positive)

    def kept(self, true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """bool of the shape of the arrays: where it holds; equal infinities count, NaN never does.

        What the mean lattice cannot hold must be equal too.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            x = true.astype(np.float64)
            error = np.abs(decoded - x)
            near = np.isfinite(error) & (error <= np.maximum(self.bound, self.ratio * np.abs(x)))
            if self.step:
                near &= np.abs(x) <= LIMIT * self.lattice.unit
            return near | (decoded == x)

    def values(self, lattice: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The grid's values of lattice values (of the mean lattice: means), rounded as they will be saved."""
        with np.errstate(over="ignore"):
            found = (lattice * self.lattice.unit if self.step else self.lattice.values(lattice)).astype(dtype)
            return found.astype(np.float32).astype(np.float16).astype(dtype) if self.half else found

    def described(self) -> dict[str, object]:
        """For people and JSON; max_error is None where it is infinite."""
        bound = self.bound if np.isfinite(self.bound) else None
        lattice = "mean" if self.step else "sample"
        return {"max_error": bound, "ratio": self.ratio, "psnr": self.psnr, "lattice": lattice, "family": self.family}

    def valid(self) -> bool:
        """Whether the numbers make sense, as those of a damaged archive may not."""
        lattice = np.isfinite(self.step) and (self.step > 0 or np.isfinite(self.bound))
        lattice = lattice and (self.step > 0) == (kind_of(self.family) is LatticeKind.MEAN)
        numbers = self.bound > 0 and 0 <= self.ratio < 1 and self.step >= 0 and 0 <= self.knee < np.inf
        numbers = numbers and 0 <= self.psnr < np.inf
        lattice = lattice and (self.ratio == 0 or self.ratio > _RATIO) and (self.step == 0 or self.step > _STEP)
        lattice = lattice and not (self.step and self.inside)
        return bool(lattice and numbers and self.knee <= self.step * 1e5)


@dataclass(frozen=True)
class Head:
    """The beginning of a payload. library: identity of the priors it needs; rows: (64,) uint8 of their tables."""

    promise: Promise
    library: bytes
    rows: np.ndarray
    refined: bool


def put_head(
    out: FieldWriter, promise: Promise, rows: np.ndarray, library: ModelSet, refinement: NetworkChanges
) -> None:
    """Appends a promise, the rows of tables (64,) uint8, and how the networks of a library are refined."""
    flags = promise.half + 2 * promise.positive + 4 * bool(refinement) + 8 * promise.inside
    out.put("u8", priors.FAMILIES.index(promise.family), flags)
    numbers = _NUMBERS.pack(promise.bound, promise.ratio, promise.step, promise.knee, promise.psnr)
    out.put_bytes(library.identity + numbers)
    put_array(out, rows - tables.own(promise.family))
    if refinement:
        put_refinement(out, promise.family, library, refinement)


def take_head(source: FieldReader) -> Head:
    """The beginning of a payload, up to the refinement. Raises DamagedFile."""
    family, flags = source.take("u8"), source.take("u8")
    if family >= len(priors.FAMILIES) or flags > 15:
        raise source.damaged("a family of predictors that does not exist")
    name, head = priors.FAMILIES[family], bytes(source.take_bytes())
    if len(head) != 8 + _NUMBERS.size:
        raise source.damaged("it needs predictors that this version does not have")
    bound, *numbers = _NUMBERS.unpack(head[8:])
    promise = Promise(bound, name, bool(flags & 1), *numbers, bool(flags & 2), bool(flags & 8))
    if not promise.valid():
        raise source.damaged("it promises what makes no sense")
    rows = take_array(source, np.dtype(np.uint8), CLASSES) + tables.own(name)
    if (rows >= len(priors.FAMILIES) * CLASSES).any():
        raise source.damaged("a table that does not exist")
    return Head(promise, head[:8], rows, bool(flags & 4))


def head_of(payload: bytes, where: str) -> Head:
    """The head of a payload. Raises DamagedFile."""
    return take_head(open_table(payload, where))
