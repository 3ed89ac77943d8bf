"""Writes the largest chunk of a grid, its leaf masks, their streams and what they decode to as one .npz, for
tests/benchmarks/gpu.py; and examples to fit its networks to.

python -P tests/benchmarks/gpu_bricks.py FILE.vdb GRID OUT.npz [--rel-error 0.01]
"""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.fit.augment import mirrors
from neuralvdb.fit.cases import Case, collect
from neuralvdb.fit.examples import joined
from neuralvdb.fit.optimise import Job, laid_out, to_floats
from neuralvdb.kernels.fit import flatten
from neuralvdb.kernels.levels import join_bricks
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.topology import Topology
from neuralvdb.topology import priors as classifiers
from neuralvdb.topology.bricks import INDEXES, LEVELS, Bricks, Neighbours, find_neighbours
from neuralvdb.topology.code_mask import MaskTask
from neuralvdb.topology.device import phase_on, slots_on
from neuralvdb.topology.inputs import CELLS, ORDER, VOXELS, octants
from neuralvdb.topology.native_mask import NativeEncoder
from neuralvdb.values import encoder
from neuralvdb.values.decoder import ValuesDecoder, ValuesSource
from neuralvdb.values.device import sample
from neuralvdb.values.device.batch import load
from neuralvdb.values.device.lattice import stencil_of
from neuralvdb.values.device.models import packed
from neuralvdb.values.device.models import slots_on as slots_of_tables
from neuralvdb.values.device.quantiser import exact as exact_values
from neuralvdb.values.device.quantiser import finite
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.constants import LAYERS
from neuralvdb.values.promise import Promise
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree

COPIES = (1, 10, 100)  # of the leaf masks, side by side in one stream
FAMILIES = (VOXELS, CELLS, CELLS, CELLS)
EXAMPLES = 4096  # of a network in a chunk, at most


def level_arrays(
    levels: list[sample.SampleLevel], values: torch.Tensor, exact: torch.Tensor, coded: torch.Tensor
) -> dict[str, torch.Tensor]:
    """All of the levels, by name, of values (R, 512) int32 before decoding and exact ones (R, 512) float64; neighbours
    and edges of rows that are not coded are 0.
    """
    arrays = {"0.coded": coded}
    for k, level in enumerate(levels):
        if k:
            values, exact = (join_bricks(points, level.children) for points in (values, exact))
        arrays |= {f"{k}.active": level.active, f"{k}.values": values, f"{k}.exact": exact}
        more = len(values) - level.boxes.bricks
        arrays[f"{k}.neighbours"] = torch.cat([level.neighbours.bricks, torch.zeros((more, 27), dtype=torch.int32)])
        arrays[f"{k}.edges"] = torch.cat([level.neighbours.edges, torch.zeros(more, dtype=torch.uint8)])
        arrays |= {f"{k}.targets.{p}": targets.points for p, targets in enumerate(level.passes)}
    for k, level in enumerate(levels[:-1]):
        arrays |= {f"{k}.parent": level.parents >> 3, f"{k}.octant": (level.parents & 7).to(torch.uint8)}
    return arrays


def stream_arrays(decoders: dict[int, Decoder]) -> dict[str, torch.Tensor]:
    """The payloads of the chunk: p0, p1, ...; `payloads`: which one each layer is in."""
    begins = sorted(decoders)
    arrays = {"payloads": torch.tensor([sum(b <= o for b in begins) - 1 for o in range(LAYERS)])}
    streams = Streams([decoders], "cpu")
    for i, begin in enumerate(begins):
        segments, bits = streams.layer(begin)
        names = ("number", "count", "lanes", "states", "at", "end", "taken")
        arrays |= {f"p{i}.{name}": getattr(segments, name)[segments.selected] for name in names}
        arrays |= {f"p{i}.bits_at": bits.at[bits.selected], f"p{i}.bits_end": bits.end[bits.selected]}
        arrays |= {"words": segments.words, "bits": bits.words}
    return arrays


def fit_arrays(tree: Tree, promise: Promise) -> dict[str, torch.Tensor]:
    """Examples of the tree's networks and the weights of these, as kernels/fit takes them."""
    networks, rng = priors.load(promise.mode.family).networks, np.random.default_rng(0)
    kind = promise.mode.lattice
    examples = collect(Case(tree, 0, kind, promise.quantiser), networks, rng, EXAMPLES)
    jobs = {}
    for key, of_network in examples.items():
        ways = mirrors(kind, key.axis, key.phase)
        jobs[key] = Job(joined(of_network), ways, to_floats(networks[key]))
    laid = laid_out(list(jobs.values()), "cpu")
    arrays = {f"fit.{field.name}": getattr(laid, field.name) for field in fields(laid)}
    return arrays | {"fit.weights": torch.stack([flatten(job.start) for job in jobs.values()])}


def mask_arrays(topology: Topology) -> dict[str, torch.Tensor]:
    """The leaf masks: where bricks are, the phases of each level, and a stream for each number of COPIES."""
    coords = topology.leaf_origins() // 8
    where = _all_neighbours(coords)
    arrays = {"near": where.near, "octants": octants(coords), "expected": topology.leaf_active}
    tensors = {f"m.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    tensors["m.slots"], tensors["m.copies"] = slots_on("cpu"), torch.tensor(COPIES)
    for k, number in [(k, number) for k in range(LEVELS) for number in range(len(ORDER))]:
        phase = phase_on(FAMILIES[k], number, k, "cpu")
        tensors[f"m.{k}.{number}.points"] = phase.points
        tensors |= {f"m.{k}.{number}.{name}": tensor for name, tensor in phase.network.tensors().items()}
    for copies in COPIES:
        segments, _ = segments_of([_encoded(topology, coords, copies)], [0], "cpu")
        tensors |= {f"m{copies}.{name}": tensor for name, tensor in vars(segments).items() if tensor is not None}
    return tensors


def _all_neighbours(coords: np.ndarray) -> Neighbours:
    """Which of the bricks at coords (B, 3) int32 are next to each other."""
    return find_neighbours(Bricks(coords, INDEXES["native"](coords)), np.arange(len(coords)), None)


def _encoded(topology: Topology, coords: np.ndarray, copies: int) -> Decoder:
    """The stream of the leaf masks `copies` times, an even number of bricks apart along x."""
    prior, step = classifiers.load(), np.array([2 * (np.ptp(coords[:, 0]) + 4), 0, 0])
    many = np.concatenate([coords + step * i for i in range(copies)]).astype(np.int32)
    coder = Encoder(prior.tables)
    truth = np.tile(topology.leaf_active, (copies, 1))
    neighbours = _all_neighbours(many)
    task = MaskTask(neighbours=neighbours, families=FAMILIES, truth=truth)
    NativeEncoder(coder, threads=1).code_mask(task)
    return Decoder(coder.finish(), prior.tables, "masks")


def main() -> None:
    """Encodes and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("grid")
    parser.add_argument("output", type=Path)
    parser.add_argument("--rel-error", type=float, default=0.01)
    args = parser.parse_args()
    (grid,) = (grid for grid in VdbReader(args.file) if grid.name == args.grid)
    promise = promise_for(grid, CompressSettings(bounds=(Bound(value=args.rel_error, relative=True),)))
    coded = encoder.encode(grid.tree, promise)
    reader = ValuesDecoder(ValuesSource.of(coded, str(args.file)))
    tiles = max(reader._readers(), key=lambda item: len(item.chunk.leaves))
    chunk = tiles.chunk
    cpu, lattice = torch.device("cpu"), promise.quantiser
    batch = load(reader.tree, [chunk], cpu, "reference")
    levels = sample.SampleLattice(batch, lattice).levels
    decoders = {o: tiles.decoder(o, 0) for o in range(LAYERS) if tiles.begins(o)}
    exact = torch.zeros(batch.active.shape, dtype=torch.float64)
    exact[: len(chunk.leaves)] = finite(exact_values(load(grid.tree, [chunk], cpu, "reference").leaves, lattice))
    arrays = level_arrays(levels, batch.blank_values(lattice), exact, batch.coded) | stream_arrays(decoders)
    arrays |= fit_arrays(grid.tree, promise)
    tables = reader._sections.tables
    arrays |= {"slots": slots_of_tables(tables, cpu), "codes": torch.from_numpy(tables.codes.view(np.int32))}
    arrays["coded"] = torch.from_numpy(tables.freq > 0)
    for key, net in reader._networks.items():
        network = packed(net, stencil_of(promise, key))
        arrays |= {f"{tuple(key)}.{name}": tensor for name, tensor in network.tensors().items()}
    arrays |= mask_arrays(Topology.of(grid.tree))
    decoded = next(reader._decoder.cells([tiles], 0)).cells
    arrays["expected"] = torch.from_numpy(decoded.values[: len(decoded.coded)])
    np.savez_compressed(args.output, **{name: tensor.numpy() for name, tensor in arrays.items()})
    print(f"{args.output}: {int(batch.coded.sum())} active voxels of {len(coded.tree.leaf)} leaves")


if __name__ == "__main__":
    main()
