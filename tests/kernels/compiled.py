"""Compiles every kernel to machine code for GPUs that need not be there, and prints what each takes as JSON.

    python -P tests/kernels/compiled.py [CAPABILITY...]

One row per kernel, variant and capability: name, variant, capability, bytes of machine code, shared memory in bytes,
registers per thread, bytes spilled to the stack.
"""

import json
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CAPABILITIES = (80, 89, 90)
# types of arguments, by name; pointers begin with p_, everything else is int32 unless named here
TYPES = {
    "p_values": "*i32",
    "p_active": "*u8",
    "p_gaps": "*i32",
    "p_known": "*u8",
    "p_share": "*u8",
    "p_neighbours": "*i32",
    "p_edges": "*u8",
    "p_offsets": "*i32",
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
    "p_seen": "*i64",
    "p_symbols": "*u8",
    "p_sums": "*i64",
    "p_sized": "*i64",
    "p_sizes": "*u8",
    "p_means": "*i32",
    "p_pairs": "*i64",
    "p_fine_means": "*i32",
    "p_fine_values": "*i32",
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
    "p_points": "*i32",
    "p_parents": "*i32",
    "p_before": "*i64",
    "p_second": "*u8",
    "p_exact": "*fp64",
    "p_dead": "*fp64",
    "p_residuals": "*i32",
    "p_raw": "*i32",
    "p_codes": "*i32",
    "p_batches": "*i64",
    "p_begins": "*i64",
}
SAMPLE = {"KNOWN": 36, "MEAN": False, "p_gaps": None, "p_known": None, "p_share": None, "BLOCK": 32, "num_warps": 8}
MEAN = {"KNOWN": 45, "MEAN": True, "BLOCK": 32, "num_warps": 8}
MASKS = {"p_states": "*i8", "BLOCK": 32, "num_warps": 8}
STATES = {"p_states": "*i8", "BLOCK": 512}
# (module, kernel): variants, each what is known when it is compiled
KERNELS = {
    ("compact", "_count"): [{"COUNT": 6}],
    ("compact", "_list"): [{"COUNT": 6, "p_offsets": "*i64"}],
    ("pack", "_pack"): [{"BLOCK": 512}],
    ("quantise", "_quantise"): [
        {"BLOCK": 512, "p_dead": None, "p_known": None},
        {"BLOCK": 512, "p_exact": "*fp32"},
    ],
    ("rans", "_decode"): [{"p_words": "*i16", "num_warps": 1}],
    ("rans", "_encode"): [{"p_words": "*i16", "p_sizes": "*i64", "num_warps": 1}],
    ("reconstruct", "_measure"): [{"BLOCK": 512}],
    ("reconstruct", "_sizes"): [{"BLOCK": 512}],
    ("reconstruct", "_reconstruct"): [{"BLOCK": 512}, {"BLOCK": 512, "p_known": None}],
    ("split", "_split"): [
        {"SHIFT": shift, "COMPANDED": companded, "POSITIVE": True, "BLOCK": 256, "p_counts": "*i32"}
        for shift, companded in ((6, True), (0, False))
    ],
    ("fit", "_slopes"): [{"p_inputs": "*i16", "SIZE": 8192, "BLOCK": 32, "CHUNK": 32, "num_warps": 8}],
    ("fit", "_update"): [{"SIZE": 8192, "num_warps": 16}],
    ("masks", "_classify"): [MASKS, MASKS | {"p_reference": None}],
    ("masks", "_narrow"): [{"BLOCK": 512}],
    ("masks", "_store"): [STATES, STATES | {"p_before": None, "p_second": None}],
    ("network", "_forward"): [{"BLOCK": 64}],
    ("neighbours", "_neighbours"): [{"BLOCK": 64}],
    ("predict", "_predict"): [
        SAMPLE | {"POINTS": 36},
        SAMPLE | {"POINTS": 42},
        MEAN | {"POINTS": 45, "p_gaps": None, "p_known": None},
        MEAN | {"POINTS": 51},
    ],
}


def usage(cubin: bytes) -> tuple[int, int]:
    """Registers per thread and bytes of stack."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return tuple(int(re.search(rf"{name}:(\d+)", text)[1]) for name in ("REG", "STACK"))


def main() -> None:
    """Compiles and prints."""
    rows = []
    for (module, name), variants in KERNELS.items():
        kernel = getattr(import_module(f"neuralvdb.kernels.{module}.gpu"), name)
        for number, known in enumerate(variants):
            types = TYPES | {a: t for a, t in known.items() if str(t).startswith("*")}
            options = {"num_warps": known.get("num_warps", 4)}
            known = {a: value for a, value in known.items() if a in kernel.arg_names and types.get(a) != value}
            types = {a: "constexpr" if a in known else types.get(a, "i32") for a in kernel.arg_names}
            for capability in map(int, sys.argv[1:] or CAPABILITIES):
                made = triton.compile(
                    ASTSource(kernel, types, known), target=GPUTarget("cuda", capability, 32), options=options
                )
                code = made.asm["cubin"]
                rows.append([f"{module}.{name}", number, capability, len(code), made.metadata.shared, *usage(code)])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
