"""Counts what a host has a device do for a batch of chunks, which is what small grids wait for: no GPU is needed.

python -P tests/benchmarks/gpu_counts.py [FILE.vdb] [--leaves 40]

Kernels are interpreted. Views cost the host time, but the device none.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

os.environ["TRITON_INTERPRET"] = "1"
from triton.runtime.interpreter import InterpretedFunction

from neuralvdb.values import encoder
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.device.batch import load
from neuralvdb.values.device.lattice import lattice_on
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.reference import Correction, ReferenceValues
from neuralvdb.values.promise import mean_promise, sample_promise
from neuralvdb.vdb import VdbReader
from neuralvdb.volume.regions import keep_leaves

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "smoke.vdb"
PROMISES = {"sample": sample_promise("fog", max_error=0.02), "mean": mean_promise(step=0.02, knee=0.1)}
REFERENCES = ("alone", "by gains", "by a network")
COLUMNS = ("launches", "operations", "views", "uploads", "waits")
WAITING = ("nonzero", "unique", "masked_select", "_local_scalar_dense")  # names of operations that end on the host


class Operations(TorchDispatchMode):
    """Counts torch's operations on tensors, by kind."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operation."""
        name = func.overloadpacket.__name__
        self._counts["views" if func.is_view else "operations"] += 1
        masks = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        is_masked = any(mask is not None and mask.dtype in (torch.bool, torch.uint8) for mask in masks)
        self._counts["waits"] += is_masked or name.startswith(WAITING)
        return func(*args, **kwargs or {})


@contextmanager
def counted(counts: Counter[str]) -> Iterator[None]:
    """Counts all that is done within, but for what the interpreter does itself."""

    def counting(what: str, owner: object, name: str) -> Any:
        function = getattr(owner, name)

        def call(*args: Any, **named: Any) -> Any:
            counts[what] += 1
            return function(*args, **named)

        return mock.patch.object(owner, name, call)

    launcher_of = InterpretedFunction.__getitem__

    def launcher(kernel: InterpretedFunction, grid: Any) -> Any:
        def launch(*args: Any, **named: Any) -> Any:
            before = Counter(counts)
            launcher_of(kernel, grid)(*args, **named)
            counts.clear()
            counts.update(before + Counter(launches=1))

        return launch

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(InterpretedFunction, "__getitem__", launcher))
        for name in ("from_numpy", "tensor", "as_tensor"):
            stack.enter_context(counting("uploads", torch, name))
        for name in ("cpu", "tolist", "item", "__int__"):
            stack.enter_context(counting("waits", torch.Tensor, name))
        stack.enter_context(Operations(counts))
        yield


def count(path: Path, leaves: int, kind: str, corrected: str) -> Iterator[str]:
    """Lines of the table about one batch of the first leaves of a grid; corrected: one of REFERENCES."""
    grid = next(grid for grid in VdbReader(path) if grid.tree is not None)
    grid = replace(grid, tree=keep_leaves(grid.tree, np.arange(len(grid.tree.leaf)) < leaves))
    promise, said, reference = PROMISES[kind], 0.9 * grid.tree.leaf.values.astype(np.float64), None
    if corrected != "alone":
        network = correction_network.shipped(promise.mode.family)
        reference = ReferenceValues.over(grid.tree, said, Correction() if corrected == "by gains" else network)
    coded = encoder.encode(grid.tree, promise, encoder.EncodeOptions(reference=reference))
    source, device = ValuesSource.of(coded, "benchmark"), torch.device("cpu")
    refer = None if reference is None else lambda _: said
    opened = ValuesDecoder(source, DecodeOptions(devices=("cpu",), implementation="triton", refer=refer))
    decoder, readers = opened._decoder, list(opened._readers())
    stages: dict[str, Counter[str]] = {
        name: Counter() for name in ("first grid", "next grid", "structure", "decode", "values")
    }
    for stage in ("first grid", "next grid"):
        with counted(stages[stage]):
            models, inactive = decoder._models(device), decoder._inactive(device)
    with counted(stages["structure"]):
        values_said = None if reference is None else reference.by_component
        batch = load(
            decoder.tree, [reader.chunk for reader in readers], device, "triton", inactive, reference=values_said
        )
        lattice_on(batch, decoder.promise)
    with counted(stages["decode"]):
        decoded = decoder._decoded(readers, batch, models, 0)
    with counted(again := Counter[str]()):
        lattice_on(batch, decoder.promise)
    stages["decode"].subtract(again)
    with counted(stages["values"]):
        values = decoder._leaf_values(decoded).values.numpy()
    if values.tobytes() != coded.tree.leaf.values.tobytes():
        raise SystemExit(f"{kind} {corrected}: values are not those of the CPU")
    for stage, counts in stages.items():
        yield f"| {kind} {corrected} | {stage} | {' | '.join(str(counts[column]) for column in COLUMNS)} |"


def main() -> None:
    """Counts and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--leaves", type=int, default=4)
    args = parser.parse_args()
    print("| batch | stage |", " | ".join(COLUMNS), "|")
    print("| --- | --- |" + " ---: |" * len(COLUMNS))
    for kind in PROMISES:
        for corrected in REFERENCES:
            for line in count(args.file, args.leaves, kind, corrected):
                print(line, flush=True)


if __name__ == "__main__":
    main()
