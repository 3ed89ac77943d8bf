"""Compiles every kernel to machine code for GPUs that need not be there, and prints what each takes as JSON.

    python -P tests/kernels/compiled.py [CAPABILITY...]

One row per kernel, variant and capability: name, variant, capability, bytes of machine code, shared memory in bytes,
registers per thread, bytes spilled to the stack, and instructions that warps are given for each item (point, cell,
example, ...) if every instruction is run once, which says most of kernels without loops.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from neuralvdb.kernels.predict import Stencil

CAPABILITIES = (80, 89, 90)
# types of arguments, by name; pointers begin with p_, everything else is int32 unless named here
TYPES = {
    "p_values": "*i32",
    "p_active": "*u8",
    "p_differences": "*i32",
    "p_known": "*u8",
    "p_share": "*u8",
    "p_neighbours": "*i32",
    "p_edges": "*u8",
    "p_targets": "*i32",
    "p_w1": "*i8",
    "p_b1": "*i32",
    "p_w2": "*i8",
    "p_b2": "*i32",
    "p_w3": "*i32",
    "p_b3": "*i32",
    "p_shifts": "*i32",
    "p_predictions": "*i64",
    "p_classes": "*u8",
    "p_inputs": "*i8",
    "p_out": "*i32",
    "p_table": "*i32",
    "p_boxes": "*i64",
    "p_cells": "*i32",
    "p_rows": "*i32",
    "p_flags": "*u8",
    "p_passes": "*u8",
    "p_counts": "*i64",
    "p_slots": "*i32",
    "p_starts": "*i64",
    "p_stream": "*i32",
    "p_number": "*i32",
    "p_count": "*i32",
    "p_lanes": "*i32",
    "p_states": "*i32",
    "p_words": "*i32",
    "p_at": "*i64",
    "p_end": "*i64",
    "p_taken": "*i64",
    "p_symbols": "*u8",
    "p_sums": "*i64",
    "p_sizes": "*u8",
    "p_means": "*i32",
    "p_companded": "*i32",
    "p_pairs": "*i64",
    "p_fine_means": "*i32",
    "p_fine_companded": "*i32",
    "p_target": "*fp32",
    "p_ratio": "*fp32",
    "p_scale": "*fp32",
    "p_orders": "*i32",
    "p_factors": "*fp32",
    "p_places": "*i64",
    "p_picks": "*i32",
    "p_weights": "*fp32",
    "p_slopes": "*fp32",
    "p_bits": "*fp32",
    "p_rates": "*fp32",
    "p_averages": "*fp32",
    "p_squares": "*fp32",
    "p_above": "*i8",
    "p_reference": "*i8",
    "p_near": "*i32",
    "p_kinds": "*i32",
    "p_ways": "*i16",
    "p_parents": "*i32",
    "p_before": "*i64",
    "p_second": "*u8",
    "p_exact": "*fp64",
    "p_dead_zone": "*fp64",
    "p_residuals": "*i32",
    "p_raw": "*i32",
    "p_codes": "*i32",
    "p_batches": "*i64",
    "p_begins": "*i64",
    "p_leaves": "*i64",
    "p_masks": "*u8",
    "p_first": "*i32",
    "p_selected": "*i32",
    "p_selection": "*u8",
    "p_stored": "*i32",
    "p_constants": "*u8",
    "p_fine": "*i32",
    "p_fine_counts": "*i32",
    "p_fine_active": "*u8",
    "p_children": "*i64",
    "p_joined": "*i32",
    "p_coarse": "*i32",
    "p_both": "*u8",
    "p_innovations": "*i32",
}
DIFFERENCES = ("p_differences", "p_known", "p_share")


def predicted(stencil: Stencil) -> dict[str, object]:
    """What is known of _predict for a stencil whose network is packed with its columns, in two tiles."""
    columns, none = stencil.columns(), len(stencil.columns())
    return {
        "PHASE": stencil.phase,
        "MEAN": stencil.mean,
        "ACTIVE_ONLY": stencil.active_only,
        "KNOWN": stencil.known,
        "SOURCES": tuple(columns.index(column) if column in columns else none for column in range(128)),
        "BLOCK": 128,
    }


MASKS = {"p_states": "*i8", "BLOCK": 128, "num_warps": 8}
NOTES = {"p_selected": "*i64", "p_sizes": "*i64", "BLOCK": 1024}
CORRECTED = {"p_before": "*i32", "p_above": "*i64", "p_w2": "*i32", "BLOCK": 128}
STATES = {"p_states": "*i8", "BLOCK": 512}
# (module, kernel): variants, each what is known when it is compiled
KERNELS = {
    ("compact", "_count"): [{"COUNT": 6}],
    ("compact", "_list"): [{"COUNT": 6, "p_points": "*i32"}],
    ("correct", "_innovations"): [
        {"p_exact": "*i32", "BLOCK": 512},
        {"p_exact": "*i32", "p_known": None, "BLOCK": 512},
    ],
    ("correct", "_by_gain"): [{"BLOCK": 512}],
    ("correct", "_by_network"): [CORRECTED, CORRECTED | {"p_above": None, "p_parents": None}],
    ("correct", "_add"): [{"p_before": "*i32", "BLOCK": 512}],
    ("inactive", "_restore"): [
        {"p_second": "*i32"},
        {"p_values": "*i64", "p_first": "*i64", "p_second": "*i64", "p_stored": "*i64"},
    ],
    ("levels", "_unpack"): [{"p_bits": "*u8", "p_flags": "*u8"}],
    ("levels", "_join_bricks"): [{}],
    ("levels", "_upsample"): [{"num_warps": 2}],
    ("levels", "_join_cells"): [{"p_counts": "*i32", "SHIFT": shift} for shift in (6, 0)],
    ("levels", "_join_sums"): [{"p_fine": "*i64", "SHIFT": 3, "COMPANDED": True}],
    ("levels", "_join_means"): [{"p_counts": "*i32", "SHIFT": 3, "COMPANDED": True}],
    ("pack", "_pack"): [{"BLOCK": 512}],
    ("quantise", "_quantise"): [
        {"BLOCK": 512, "p_dead_zone": None, "p_known": None},
        {"BLOCK": 512, "p_exact": "*fp32"},
    ],
    ("rans", "_decode"): [
        {"p_words": "*i16", "p_selected": "*i64", "num_warps": 1},
        {"p_words": "*i16", "p_selected": None, "num_warps": 1},
    ],
    ("rans", "_encode"): [{"p_words": "*i16", "p_sizes": "*i64", "num_warps": 1}],
    ("reconstruct", "_measure"): [NOTES],
    ("reconstruct", "_sizes"): [NOTES],
    ("reconstruct", "_reconstruct"): [NOTES | {"num_warps": 8}, NOTES | {"num_warps": 8, "p_known": None}],
    ("split", "_split"): [
        {"SHIFT": shift, "COMPANDED": companded, "NONNEGATIVE": True, "BLOCK": 256, "p_counts": "*i32"}
        for shift, companded in ((6, True), (0, False))
    ],
    ("fit", "_slopes"): [{"p_inputs": "*i16", "SIZE": 8192, "BLOCK": 32, "CHUNK": 32, "num_warps": 8}],
    ("fit", "_update"): [{"SIZE": 8192, "num_warps": 16}],
    ("classify_masks", "_classify"): [MASKS, MASKS | {"p_reference": None}],
    ("classify_masks", "_narrow"): [{"BLOCK": 512}],
    ("classify_masks", "_keep"): [STATES | {"p_exact": "*i8", "p_kept": "*i8"}],
    ("classify_masks", "_store"): [STATES, STATES | {"p_before": None, "p_second": None}],
    ("network", "_forward"): [{"TILES": 2, "BLOCK": 128}],
    ("neighbours", "_neighbours"): [{"BLOCK": 64}],
    ("predict", "_predict"): [
        predicted(Stencil(0, 0)) | dict.fromkeys(DIFFERENCES),
        predicted(Stencil(0, 1)) | dict.fromkeys(DIFFERENCES),
        predicted(Stencil(0, 1, active_only=True)) | dict.fromkeys(DIFFERENCES),
        predicted(Stencil(0, 0, mean=True)) | {"p_differences": None, "p_known": None},
        predicted(Stencil(0, 1, mean=True)),
    ],
}


def usage(cubin: bytes) -> tuple[int, int, int]:
    """Registers per thread, bytes of stack, and instructions."""
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text, code = (
            subprocess.run([tools / tool, option, file.name], capture_output=True, text=True, check=True).stdout
            for tool, option in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    registers, stack = (int(re.search(rf"{name}:(\d+)", text)[1]) for name in ("REG", "STACK"))
    return registers, stack, len(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/(?!\s+NOP)", code, re.MULTILINE))


def table_row(module: str, name: str, number: int, capability: int) -> list:
    """Of one variant of a kernel."""
    kernel = getattr(import_module(f"neuralvdb.kernels.{module}.gpu"), name)
    constants = KERNELS[module, name][number]
    types = TYPES | {a: t for a, t in constants.items() if str(t).startswith("*")}
    warps, block = constants.get("num_warps", 4), constants.get("BLOCK", 1)
    constants = {a: value for a, value in constants.items() if a in kernel.arg_names and types.get(a) != value}
    types = {a: "constexpr" if a in constants else types.get(a, "i32") for a in kernel.arg_names}
    anywhere = {param.name for param in kernel.params if param.do_not_specialize_on_alignment}
    pointers = [i for i, a in enumerate(kernel.arg_names) if types[a][0] == "*" and a not in anywhere]
    aligned = {(i,): [["tt.divisibility", 16]] for i in pointers}
    source, target = ASTSource(kernel, types, constants, aligned), GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"num_warps": warps})
    code = made.asm["cubin"]
    registers, stack, instructions = usage(code)
    kernel_id = f"{module}.{name}", number, capability
    return [*kernel_id, len(code), made.metadata.shared, registers, stack, round(instructions * warps / block, 1)]


def variants(kernel: tuple[str, str], capability: int) -> range:
    """Numbers of those that are compiled: of predictions, which take longest, for older GPUs the largest only."""
    count = len(KERNELS[kernel])
    return range(count - 1 if kernel[0] == "predict" and capability < max(CAPABILITIES) else 0, count)


def main() -> None:
    """Compiles and prints."""
    capabilities = list(map(int, sys.argv[1:] or CAPABILITIES))
    every = [(*kernel, i, c) for c in capabilities for kernel in KERNELS for i in variants(kernel, c)]
    every.sort(key=lambda job: job[0] != "predict")  # the longest first
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(json.dumps(sorted(pool.map(table_row, *zip(*every, strict=True)))))


if __name__ == "__main__":
    main()
