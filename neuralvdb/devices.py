"""Which GPUs a device's name stands for. Loads torch only where a GPU seems to be there or is asked for."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec

from neuralvdb import platform
from neuralvdb.errors import NoSuchDevice
from neuralvdb.settings import device_number

MEMORY = 32 << 30  # bytes that the libraries and the driver of a GPU map, beyond what data takes
ONE_AT_A_TIME = threading.Lock()  # for what several threads decode: it shares the devices' memory
ENOUGH = 32 << 20  # bytes of leaf values; by `auto`, grids with fewer stay on the CPU, which is sooner done,
ENOUGH_TO_START = 1 << 30  # and with fewer than these where no GPU is used yet: to start one takes 5 s
_CAPABILITY = (8, 0)  # the oldest that the kernels are compiled for


class Devices:
    """Where grids are coded: what resolve() makes of a name, but of `auto` GPUs for large grids only.

    Of `auto` nothing is looked up before a grid is large enough, because torch alone takes seconds to load. Raises what
    resolve() raises.
    """

    def __init__(self, name: str = "cpu") -> None:
        self._is_auto = name == "auto"
        self._names = () if self._is_auto else resolve(name)
        self._used = not self._is_auto

    def of(self, size: int) -> tuple[str, ...]:
        """("cuda:0", ...) for a grid whose leaf values take so many bytes, none for the CPU."""
        if self._is_auto and size < (ENOUGH if _is_started() else ENOUGH_TO_START):
            return ()
        self._used = True
        return self._all()

    @property
    def first(self) -> str:
        """Where tensors go."""
        self._used = True
        return (*self._all(), "cpu")[0]

    @property
    def used(self) -> tuple[str, ...]:
        """Those that were given for a grid, and all that were asked for."""
        return self._all() if self._used else ()

    def _all(self) -> tuple[str, ...]:
        return resolve("auto") if self._is_auto else self._names


def seems_there() -> bool:
    """Whether this machine has a GPU's driver and the packages to use it; costs next to nothing."""
    return platform.has_gpu_driver() and not _missing()


def starts_gpu(name: str, memory: int) -> bool:
    """Whether work in so many bytes of memory may start a GPU."""
    return name != "cpu" and (name != "auto" or memory >= ENOUGH_TO_START) and seems_there()


def resolve(name: str) -> tuple[str, ...]:
    """("cuda:0", ...) for a name: all GPUs for `cuda`, one for `cuda:1`, none for `cpu`, and all there are for `auto`.

    Raises NoSuchDevice where one is asked for that is not there or cannot be used, UsageError for any other name.
    """
    number = device_number(name)
    if name == "cpu" or (name == "auto" and not seems_there()):
        return ()
    if _missing() and name != "auto":
        packages = " and ".join(_missing())
        raise NoSuchDevice(f"--device {name} needs {packages}; pip install 'neuralvdb[gpu]', or use --device cpu")
    usable = _usable()
    wanted = usable if number is None else tuple(gpu for gpu in usable if gpu == f"cuda:{number}")
    if not wanted and name != "auto":
        gpus = ", ".join(usable) or "no GPU of compute capability 8.0 or newer"
        raise NoSuchDevice(f"--device {name}: there is none; this machine has {gpus}; use --device cpu or auto")
    return wanted


def described(devices: tuple[str, ...]) -> str:
    """`cpu`, or `cuda:0 (NVIDIA H100 80GB HBM3)`."""
    if not devices:
        return "cpu"
    import torch

    return ", ".join(f"{device} ({torch.cuda.get_device_name(device)})" for device in devices)


def _is_started() -> bool:
    """Whether this process uses a GPU already. While another thread loads torch, that has no `cuda`."""
    is_initialized = getattr(getattr(sys.modules.get("torch"), "cuda", None), "is_initialized", bool)
    return bool(is_initialized())


def _missing() -> list[str]:
    return [package for package in ("torch", "triton") if find_spec(package) is None]


def _usable() -> tuple[str, ...]:
    import torch

    numbers = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return tuple(f"cuda:{n}" for n in numbers if torch.cuda.get_device_capability(n) >= _CAPABILITY)
