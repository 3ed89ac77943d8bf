"""The coders that neuralvdb is measured against.

Array coders (SZ3, SPERR, ZFP of imagecodecs) see the dense bounding box of the active voxels; grid coders (NanoVDB,
OpenVDB) see the grid. A setting is a maximum error as a share of the active range, or a PSNR in dB.
"""

import functools
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import imagecodecs
import numpy as np

from neuralvdb.presets import presets
from neuralvdb.vdb import VdbReader, _bridge, write_vdb
from neuralvdb.volume import VolumeGrid

KNEE = presets()["production"].fog.knee  # of the largest value: where companding turns from linear to logarithmic
BOUNDS = (0.3, 0.18, 0.1, 0.055, 0.03, 0.018, 0.01, 0.0055, 0.003, 0.0018, 0.001, 0.00055, 0.0003)
HALVINGS = tuple(3.2 / 2**i for i in range(13))  # ZFP stays far below its tolerance and rounds it to a power of two
DECIBELS = tuple(range(10, 91, 4))
COMPANDED = 0.0005, 66  # finest bound and highest PSNR of companded values that are of use to pictures

RULES = f"""\
- Rate: bits of values per active voxel, all components together. Nobody pays for topology.
- SZ3, SPERR, ZFP: the dense bounding box of the active voxels as float32, one component after another. Inactive voxels
  hold the background (level sets: their own value, within +-background). Decoded values count at active voxels only.
- Settings: maximum error as a share of the active range (all components share one), or for `SPERR psnr` the PSNR
  in dB over the box. One thread.
- "asinh": the same coder on asinh(v / knee), knee {KNEE:.1%} of the largest value as in the presets, and back; only
  where no active value is negative. Its settings are relative to the range of the companded values.
- NanoVDB FpN: codes, minimum and quantum of the leaves, uncompressed; times include files and topology.
- OpenVDB half + Blosc: the leaf buffers of the file without their masks; times include files and topology.
- PSNR over active voxels, peak = active range. T-PSNR: transmittance images at a median optical depth of 1, 8, 50.
"""


@dataclass(frozen=True)
class Coded:
    """One measurement's raw material: bytes of values, what came back, and seconds."""

    nbytes: int
    decoded: np.ndarray | VolumeGrid
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class ArrayPeer:
    """A coder of dense float32 arrays. encode(array, setting) takes an absolute error, or dB if `decibels`."""

    name: str
    settings: tuple[float, ...]
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes, np.ndarray], np.ndarray]
    decibels: bool = False
    companded: bool = False

    @property
    def key(self) -> str:
        """What tells its measurements from others: its name, and the knee where there is one."""
        return f"{self.name} {KNEE:g}" if self.companded else self.name

    def on_companded(self) -> "ArrayPeer":
        """Its twin that codes companded values."""
        finest, highest = COMPANDED
        settings = tuple(s for s in self.settings if (s <= highest if self.decibels else s >= finest))
        return replace(self, name=f"{self.name} asinh", settings=settings, companded=True)

    def code(self, values: np.ndarray, active: np.ndarray, setting: float) -> Coded:
        """Codes values (X, Y, Z, C) float32 with active (X, Y, Z) at a relative bound or PSNR."""
        began = time.perf_counter()
        knee = KNEE * float(values[active].max())
        field = np.arcsinh(values / np.float32(knee)) if self.companded else values
        limit = setting if self.decibels else setting * float(np.ptp(field[active]))
        components = [np.ascontiguousarray(field[..., c]) for c in range(field.shape[-1])]
        codes = [self.encode(component, limit) for component in components]
        middle = time.perf_counter()
        decoded = np.stack(
            [self.decode(code, component) for code, component in zip(codes, components, strict=True)], axis=-1
        )
        if self.companded:
            decoded = np.sinh(decoded) * np.float32(knee)
        return Coded(sum(map(len, codes)), decoded, middle - began, time.perf_counter() - middle)


@dataclass(frozen=True)
class GridPeer:
    """A coder of grids. code(grid, absolute error) -> Coded with a VolumeGrid."""

    name: str
    settings: tuple[float, ...]
    code: Callable[[VolumeGrid, float], Coded]

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


def nanovdb_fpn(grid: VolumeGrid, bound: float) -> Coded:
    """NanoVDB with a number of bits for each leaf: `nanovdb_convert --fpN -a bound`."""
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (Path(folder) / name for name in ("a.vdb", "a.nvdb", "b.vdb"))
        write_vdb(source, [grid])
        _convert("--fp4", source, coded)
        leaves = len(grid.tree.leaf)
        bytes_of_tree = coded.stat().st_size - (256 + 8) * leaves  # 512 codes of 4 bits, and the minimum and quantum
        encode = _convert("--fpN", "-a", str(bound), source, coded)
        decode = _convert(coded, back)
        return Coded(coded.stat().st_size - bytes_of_tree, VdbReader(back).read(0), encode, decode)


def _convert(*arguments: object) -> float:
    began = time.perf_counter()
    subprocess.run(["nanovdb_convert", "-f", *map(str, arguments)], check=True, capture_output=True)
    return time.perf_counter() - began


def half_blosc(grid: VolumeGrid, _: float) -> Coded:
    """OpenVDB's own way: 16-bit floats and Blosc."""
    half = replace(grid, half=True, metadata=_bridge.make_metadata({"is_saved_as_half_float": True}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vdb"
        began = time.perf_counter()
        write_vdb(path, [half])
        middle = time.perf_counter()
        reader = VdbReader(path)
        decoded = reader.read(0)
        ended = time.perf_counter()
    entry = reader.entries[0]
    masks = 64 * len(grid.tree.leaf)  # every buffer is preceded by its leaf's mask again
    return Coded(entry.end_pos - entry.block_pos - masks, decoded, middle - began, ended - middle)


def array_peers(fog: bool) -> list[ArrayPeer]:
    """The coders of arrays, with their companded twins for fog-like fields."""
    sperr = functools.partial(imagecodecs.sperr_encode, numthreads=1)

    def sperr_decode(code: bytes, _: np.ndarray) -> np.ndarray:
        return imagecodecs.sperr_decode(code, numthreads=1)

    simple_peers = [
        ArrayPeer(
            "SZ3",
            BOUNDS,
            lambda a, e: imagecodecs.sz3_encode(a, mode="abs", abs=e),
            lambda code, a: imagecodecs.sz3_decode(code, a.shape, a.dtype),
        ),
        ArrayPeer("SPERR", BOUNDS, lambda a, e: sperr(a, e, "pwe"), sperr_decode),
        ArrayPeer("SPERR psnr", DECIBELS, lambda a, e: sperr(a, e, "psnr"), sperr_decode, decibels=True),
        ArrayPeer(
            "ZFP",
            HALVINGS,
            lambda a, e: imagecodecs.zfp_encode(a, e, mode=imagecodecs.ZFP.MODE.FIXED_ACCURACY, numthreads=1),
            lambda code, _: imagecodecs.zfp_decode(code, numthreads=1),
        ),
    ]
    return simple_peers + [peer.on_companded() for peer in simple_peers if fog]


def grid_peers(scalar: bool) -> list[GridPeer]:
    """The coders of grids that are installed; NanoVDB quantises scalars only."""
    peers = [GridPeer("OpenVDB half + Blosc", (0.0,), half_blosc)]
    if scalar and shutil.which("nanovdb_convert"):
        peers.append(GridPeer("NanoVDB FpN", BOUNDS, nanovdb_fpn))
    return peers


@functools.cache
def versions() -> dict[str, str]:
    """What was measured: imagecodecs and the libraries in it."""
    return {
        "imagecodecs": version("imagecodecs"),
        **{name: re.sub(r"^\w+ ", "", getattr(imagecodecs, f"{name}_version")()) for name in ("sz3", "sperr", "zfp")},
    }
