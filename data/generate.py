"""Writes the volumes that this project makes for itself: a smoke sequence, a cloud and a level set, as .vdb files.

python data/generate.py smoke|cloud|levelset|all -o DIR [--resolution R] [--frames F] [--seed S] [--half]
                                                 [--device cpu|cuda]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from shapes import HALF_BAND, WIDTH, cloud, level_set
from solver import SmokeSettings, SmokeSolver
from tqdm import tqdm

from neuralvdb.volume import Tree, from_dense, write_vdb
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, unpack

THRESHOLD = 1e-3  # fog below this is inactive
CREATOR = {"creator": "neuralvdb data/generate.py"}
STAGGERED = {"vector_type": "contravariant relative"}


def dilated(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """(X, Y, Z) bool: the mask, grown by a cube that reaches `voxels` to every side."""
    return F.max_pool3d(mask[None, None].float(), 2 * voxels + 1, 1, voxels)[0, 0] > 0


def grid(values: torch.Tensor, name: str, active: torch.Tensor, **properties):
    """A grid of `values` (X, Y, Z[, 3]) float32, background 0 unless told; values[0, 0, 0] is voxel (0, 0, 0)."""
    properties = {"background": 0.0, "origin": (0, 0, 0), "metadata": CREATOR} | properties
    return from_dense(values.cpu().numpy().astype(np.float32), name=name, active=active.cpu().numpy(), **properties)


def blank(values: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """`values` (X, Y, Z[, 3]) with 0 where nothing is active, as simulators save them."""
    return values * (active if values.ndim == 3 else active[..., None])


def fog(values: torch.Tensor, name: str, voxel_size: float, half: bool):
    """A fog volume, active two voxels beyond where `values` (X, Y, Z) exceeds THRESHOLD."""
    active = dilated(values > THRESHOLD, 2)
    return grid(blank(values, active), name, active, voxel_size=voxel_size, grid_class="fog volume", half=half)


def smoke_grids(solver: SmokeSolver, half: bool) -> list:
    """Density, temperature and velocity of the solver's state; velocity reaches two voxels beyond the density."""
    size = solver.settings.voxel_size
    near = dilated(solver.density > THRESHOLD, 4)
    velocity = solver.velocity.permute(1, 2, 3, 0)
    properties = {"voxel_size": size, "grid_class": "staggered", "half": half, "metadata": CREATOR | STAGGERED}
    return [
        fog(solver.density, "density", size, half),
        fog(solver.temperature, "temperature", size, half),
        grid(blank(velocity, near), "velocity", near, **properties),
    ]


def fill_tiles(tree: Tree, distance: np.ndarray) -> None:
    """Gives each tile the value of `distance` (X, Y, Z) at its corner: inside the surface, minus the background."""
    upper_origins = tree.root.child_origins
    lower_origins = child_origins(upper_origins, tree.upper.child, UPPER_LOG2, 128)
    nodes = ((tree.upper, upper_origins, UPPER_LOG2, 128), (tree.lower, lower_origins, LOWER_LOG2, 8))
    for level, origins, log2dim, edge in nodes:
        corners = child_origins(origins, ~level.child, log2dim, edge)
        covered = (corners < distance.shape).all(axis=1)
        tiles = ~unpack(level.child)
        tiles[tiles] = covered
        level.values[tiles] = distance[tuple(corners[covered].T)]


def write(path: Path, grids: list) -> None:
    """Write the grids as one .vdb file."""
    write_vdb(str(path), grids, compression="blosc")


def make_smoke(args: argparse.Namespace) -> None:
    """smoke_0001.vdb and on, one per frame, from the first frame of a plume."""
    solver = SmokeSolver(SmokeSettings(resolution=args.resolution or 128, seed=args.seed), args.device)
    for frame in tqdm(range(1, args.frames + 1), desc="smoke", unit="frame"):
        solver.step()
        write(args.output / f"smoke_{frame:04d}.vdb", smoke_grids(solver, args.half))


def make_cloud(args: argparse.Namespace) -> None:
    """cloud.vdb."""
    resolution = args.resolution or 256
    density = cloud(resolution, args.seed)
    write(args.output / "cloud.vdb", [fog(density, "density", WIDTH / resolution, args.half)])


def make_levelset(args: argparse.Namespace) -> None:
    """levelset.vdb: active in the narrow band, inactive at plus or minus the background outside it."""
    resolution = args.resolution or 256
    size = WIDTH / resolution
    distance = level_set(resolution, args.seed)
    background = HALF_BAND * size
    properties = {"voxel_size": size, "background": background, "grid_class": "level set", "half": args.half}
    surface = grid(distance, "surface", distance.abs() < background, **properties)
    fill_tiles(surface.tree, distance.numpy())
    write(args.output / "levelset.vdb", [surface])


MAKERS = {"smoke": make_smoke, "cloud": make_cloud, "levelset": make_levelset}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make volumes to train and test with.")
    parser.add_argument("kind", choices=[*MAKERS, "all"])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the .vdb files")
    parser.add_argument("--resolution", type=int, help="voxels across (default: 128 for smoke, else 256)")
    parser.add_argument("--frames", type=int, default=72, help="frames of smoke, 24 per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", action="store_true", help="save as half float")
    parser.add_argument("--device", default="cpu", help="where the smoke is simulated: cpu or cuda")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    kinds = MAKERS if args.kind == "all" else [args.kind]
    for kind in tqdm(kinds, desc="kinds", disable=len(kinds) == 1):
        MAKERS[kind](args)


if __name__ == "__main__":
    main()
