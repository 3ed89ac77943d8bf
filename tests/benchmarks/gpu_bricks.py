"""Writes the largest domain of a grid, its streams and what they decode to as one .npz, for tests/benchmarks/gpu.py;
and examples to fit its networks to.

python -P tests/benchmarks/gpu_bricks.py FILE.vdb GRID OUT.npz [--rel-error 0.01]
"""

import argparse
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from neuralvdb.archive.rans import Decoder
from neuralvdb.codec.bounds import promise_for
from neuralvdb.fit.augment import mirrors
from neuralvdb.fit.examples import SampleTask, collect, joined
from neuralvdb.fit.train import Job, laid_out, to_floats
from neuralvdb.kernels.fit import row
from neuralvdb.kernels.network import Packed
from neuralvdb.settings import Bound, Settings
from neuralvdb.topology import Topology
from neuralvdb.values import lossless, lossy
from neuralvdb.values.device import sample
from neuralvdb.values.device.batch import load
from neuralvdb.values.device.boxes import flat
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.levels import OCTAVES
from neuralvdb.values.promise import Promise
from neuralvdb.values.reader import Reader
from neuralvdb.volume import Tree, VdbReader
from neuralvdb.volume.grid import TREE_TYPES

EXAMPLES = 4096  # of a network in a domain, at most


def level_arrays(levels: list[sample.Level], values: torch.Tensor, coded: torch.Tensor) -> dict[str, torch.Tensor]:
    """All of the levels, by name; neighbours and edges of rows that are not coded are 0."""
    found = {"0.coded": coded}
    for k, level in enumerate(levels):
        values = sample.joined(values, level.rows) if k else values
        found |= {f"{k}.active": level.active, f"{k}.values": values}
        rest = len(values) - level.boxes.bricks
        found[f"{k}.neighbours"] = torch.cat([level.around.neighbours, torch.zeros((rest, 27), dtype=torch.int32)])
        found[f"{k}.edges"] = torch.cat([level.around.edges, torch.zeros(rest, dtype=torch.uint8)])
        found |= {f"{k}.targets.{p}": level.batch(p)[0] for p in range(len(level.ends))}
    for k, (fine, coarse) in enumerate(pairwise(levels)):
        box, *cell = fine.boxes.cells.long().unbind(1)
        halves = [c // 2 for c in cell]
        found[f"{k}.parent"] = coarse.boxes.table[flat(coarse.boxes.shapes, box, *halves)]
        found[f"{k}.octant"] = ((cell[0] % 2 * 2 + cell[1] % 2) * 2 + cell[2] % 2).to(torch.uint8)
    return found


def stream_arrays(decoders: dict[int, Decoder]) -> dict[str, torch.Tensor]:
    """The payloads of the domain: p0, p1, ...; `payloads`: which one each octave is in."""
    begins = sorted(decoders)
    found = {"payloads": torch.tensor([sum(b <= o for b in begins) - 1 for o in range(OCTAVES)])}
    streams = Streams([decoders], "cpu")
    for i, begin in enumerate(begins):
        segments, bits = streams.octave(begin)
        names = ("number", "count", "lanes", "states", "at", "end", "seen")
        found |= {f"p{i}.{name}": getattr(segments, name) for name in names}
        found |= {f"p{i}.bits_at": bits.at, f"p{i}.bits_end": bits.end, "words": segments.words, "bits": bits.words}
    return found


def fit_arrays(tree: Tree, promise: Promise) -> dict[str, torch.Tensor]:
    """Examples of the tree's networks and the weights of these, as kernels/fit takes them."""
    networks, rng = priors.load(promise.family).networks, np.random.default_rng(0)
    found = collect(SampleTask, tree, 0, promise.lattice, networks, rng, EXAMPLES)
    jobs = {key: Job(joined(found[key]), mirrors(SampleTask, *key[1:]), to_floats(networks[key])) for key in found}
    laid = laid_out(list(jobs.values()), "cpu")
    arrays = {f"fit.{field.name}": getattr(laid, field.name) for field in fields(laid)}
    return arrays | {"fit.weights": torch.stack([row(job.start) for job in jobs.values()])}


def main() -> None:
    """Encodes and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("grid")
    parser.add_argument("output", type=Path)
    parser.add_argument("--rel-error", type=float, default=0.01)
    args = parser.parse_args()
    (grid,) = (grid for grid in VdbReader(args.file) if grid.name == args.grid)
    promise = promise_for(grid, Settings(bounds=(Bound(args.rel_error, relative=True),)))
    payload, sections, decoded = lossy.encode(grid.tree, promise)
    dtype, components = TREE_TYPES[grid.grid_type]
    size = lossless.raw_size(grid.tree)
    reader = Reader(payload, sections, Topology.of(grid.tree), dtype, components, size, str(args.file))
    part, tiles = max(reader._domains(), key=lambda item: len(item[0].leaves))
    cpu, lattice = torch.device("cpu"), promise.lattice
    batch = load(reader.tree, [part], cpu, "reference")
    levels, networks = sample.levels_of(batch), Networks(reader._networks, reader._tables, cpu, mean=False)
    decoders = {o: tiles.decoder(o, 0) for o in range(OCTAVES) if tiles.begins(o)}
    found = level_arrays(levels, batch.known(0, lattice), batch.coded) | stream_arrays(decoders)
    found |= fit_arrays(grid.tree, promise)
    found["slots"] = networks.slots
    for key in [(k, *pair) for k in range(3) for pair in sample.PASSES]:
        found |= {f"{key}.{field.name}": getattr(networks[key], field.name) for field in fields(Packed)}
    _, values, coded = reader._decode(part, 0, tiles, 0)
    found["expected"] = torch.from_numpy(values[: len(coded)])
    np.savez_compressed(args.output, **{name: tensor.numpy() for name, tensor in found.items()})
    print(f"{args.output}: {int(batch.coded.sum())} active voxels of {len(decoded.leaf)} leaves")


if __name__ == "__main__":
    main()
