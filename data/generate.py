"""Writes the volumes that this project makes for itself, as .vdb files.

python data/generate.py KIND -o DIR [--resolution R] [--frames F] [--seed S] [--threshold T] [--padding P] [--sharp]
                                    [--thin] [--half] [--device cpu|cuda]
KIND: smoke, fire, blast, dust, cloud, storm, levelset, shapes, filled, liquid; all of these; or corpus or shots, which
are configs/corpus.toml and configs/shots.toml
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from fluids import (
    BlastSettings,
    BlastSolver,
    DustSettings,
    DustSolver,
    FireSettings,
    FireSolver,
    LiquidSettings,
    LiquidSolver,
)
from grids import dilated, fog, level_set_grid, vectors, write
from shapes import HALF_BAND, WIDTH, cloud, level_set, storm
from solids import SOLIDS, filled
from solver import SmokeSettings, SmokeSolver, to_centres
from tqdm import tqdm

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

RECIPES = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True)
class Job:
    """What to make. None and 0 stand for the kind's own default; of a sequence all frames are saved unless `save` names
    some."""

    kind: str
    output: Path
    resolution: int = 0
    frames: int = 0
    seed: int = 0
    threshold: float = 1e-3  # fog up to this is inactive where none above it is within the padding
    padding: int = 2  # voxels
    sharp: bool = False
    thin: bool = False
    half: bool = False
    device: str = "cpu"
    save: tuple[int, ...] = ()
    shot: int = 0  # frames that are saved behind those frames, in place of them,
    pace: float = 1.0  # and the share of a frame's time that passes from one to the next


def fogs(job: Job, size: float, **fields: torch.Tensor) -> list:
    """Fog volumes, active within the job's padding of where they exceed its threshold."""
    return [fog(v, n, dilated(v > job.threshold, job.padding), size, job.half) for n, v in fields.items()]


def smoke_grids(job: Job, solver: SmokeSolver, *names: str, staggered: bool = True, **more: torch.Tensor) -> list:
    """The named fields, more fog, and the velocity, which reaches two voxels beyond the density."""
    size = solver.settings.voxel_size
    near = dilated(solver.fields["density"] > job.threshold, 2 * job.padding)
    velocity = solver.velocity if staggered else to_centres(solver.velocity)
    grids = fogs(job, size, **{name: solver.fields[name] for name in names}, **more)
    return [*grids, vectors(velocity, "velocity", near, size, job.half, staggered)]


def liquid_grids(job: Job, solver: LiquidSolver) -> list:
    """The surface, and the velocity within twice its band; the last voxels of the axes are the tank's walls."""
    size, without_walls = solver.settings.voxel_size, (..., *(slice(-1),) * 3)
    distance, velocity = solver.fields["distance"][without_walls], to_centres(solver.velocity)[without_walls]
    surface = level_set_grid(distance.clamp(-HALF_BAND, HALF_BAND) * size, "surface", HALF_BAND, size, job.half)
    near = distance.abs() < solver.settings.reach
    return [surface, vectors(velocity, "velocity", near, size, job.half, staggered=False)]


def make_sequence(job: Job, solver: SmokeSolver, frames: int, grids_of: Callable) -> None:
    """KIND_0001.vdb and on, one per frame."""
    last = job.frames or frames
    for frame in tqdm(range(1, last + job.shot + 1), desc=job.kind, unit="frame"):
        if frame == last + 1:
            solver.settings = replace(solver.settings, frame_time=job.pace * solver.settings.frame_time)
        solver.step()
        if frame > last if job.shot else not job.save or frame in job.save:
            write(job.output / f"{job.kind}_{frame:04d}.vdb", grids_of(job, solver))


def settings_of(job: Job, kind: type[SmokeSettings], resolution: int) -> SmokeSettings:
    """The job's settings of a fluid."""
    sharp = {"rim": 40.0, "turbulence": 0.5} if job.sharp else {}
    thin = {"emission": 20.0, "dissipation": 2.0, "confinement": 1.8, "turbulence": 8.0} if job.thin else {}
    return kind(resolution=job.resolution or resolution, seed=job.seed, **sharp, **thin)


def make_smoke(job: Job) -> None:
    """A plume, from its first frame."""
    solver = SmokeSolver(settings_of(job, SmokeSettings, 128), job.device)
    make_sequence(job, solver, 72, lambda *at: smoke_grids(*at, "density", "temperature"))


def make_fire(job: Job) -> None:
    """A torch."""
    solver = FireSolver(settings_of(job, FireSettings, 96), job.device)
    make_sequence(job, solver, 48, lambda *at: smoke_grids(*at, *solver.FIELDS[:3], flame=solver.flame))


def make_blast(job: Job) -> None:
    """A burst."""
    solver = BlastSolver(settings_of(job, BlastSettings, 96), job.device)
    make_sequence(job, solver, 36, lambda *at: smoke_grids(*at, "density", "temperature", flame=solver.flame))


def make_dust(job: Job) -> None:
    """A front along the floor."""
    solver = DustSolver(settings_of(job, DustSettings, 128), job.device)
    make_sequence(job, solver, 48, lambda *at: smoke_grids(*at, "density", staggered=False))


def make_liquid(job: Job) -> None:
    """A tank."""
    solver = LiquidSolver(settings_of(job, LiquidSettings, 96), job.device)
    make_sequence(job, solver, 48, liquid_grids)


def make_cloud(job: Job) -> None:
    """cloud.vdb."""
    resolution = job.resolution or 256
    density = cloud(resolution, job.seed, job.sharp)
    write(job.output / "cloud.vdb", fogs(job, WIDTH / resolution, density=density))


def make_storm(job: Job) -> None:
    """storm.vdb."""
    resolution = job.resolution or 160
    density = storm(resolution, job.seed)
    write(job.output / "storm.vdb", fogs(job, WIDTH / resolution, density=density))


def make_levelset(job: Job) -> None:
    """levelset.vdb: active in the narrow band, inactive at plus or minus the background outside it."""
    resolution = job.resolution or 256
    distance = level_set(resolution, job.seed)
    surface = level_set_grid(distance, "surface", HALF_BAND, WIDTH / resolution, job.half)
    write(job.output / "levelset.vdb", [surface])


def solids_of(job: Job) -> Iterator[tuple[str, torch.Tensor, int]]:
    """Name, distance in voxels and half-width of the band of every solid."""
    for number, (name, (solid, half_band)) in enumerate(tqdm(SOLIDS.items(), desc=job.kind, unit="shape")):
        yield name, solid(job.resolution or 128, 100 * job.seed + number), half_band


def make_shapes(job: Job) -> None:
    """shapes_NAME.vdb, one level set each."""
    size = WIDTH / (job.resolution or 128)
    for name, distance, half_band in solids_of(job):
        surface = level_set_grid(distance.clamp(-half_band, half_band) * size, "surface", half_band, size, job.half)
        write(job.output / f"shapes_{name}.vdb", [surface])


def make_filled(job: Job) -> None:
    """filled_NAME.vdb, the same solids full of fog."""
    for name, distance, _ in solids_of(job):
        density = filled(distance, job.seed, job.sharp)
        write(job.output / f"filled_{name}.vdb", fogs(job, WIDTH / (job.resolution or 128), density=density))


MAKERS = {
    "smoke": make_smoke,
    "fire": make_fire,
    "blast": make_blast,
    "dust": make_dust,
    "cloud": make_cloud,
    "storm": make_storm,
    "levelset": make_levelset,
    "shapes": make_shapes,
    "filled": make_filled,
    "liquid": make_liquid,
}


def jobs_of(job: Job) -> list[Job]:
    """The jobs that a job of kind `all` or `corpus` stands for."""
    if job.kind == "all":
        return [replace(job, kind=kind) for kind in MAKERS]
    if job.kind in ("corpus", "shots"):
        recipe = tomllib.loads((RECIPES / f"{job.kind}.toml").read_text())["files"]
        return [Job(**{**entry, "output": job.output / entry["output"]}, device=job.device) for entry in recipe]
    return [job]


def parse_arguments() -> Job:
    parser = argparse.ArgumentParser(description="Make volumes to train and test with.")
    parser.add_argument("kind", choices=[*MAKERS, "all", "corpus", "shots"])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the .vdb files")
    parser.add_argument("--resolution", type=int, default=0, help="voxels across (default: 96 to 256, by kind)")
    parser.add_argument("--frames", type=int, default=0, help="frames, 24 per second (default: 36 to 72, by kind)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=Job.threshold, help="fog up to this is inactive")
    parser.add_argument("--padding", type=int, default=Job.padding, help="active voxels around it")
    parser.add_argument("--sharp", action="store_true", help="hard edges; hardly any random force")
    parser.add_argument("--thin", action="store_true", help="dense where it is emitted, ever thinner from there")
    parser.add_argument("--half", action="store_true", help="save as half float")
    parser.add_argument("--device", default="cpu", help="where fluids are simulated: cpu or cuda")
    return Job(**vars(parser.parse_args()))


def main() -> None:
    for job in jobs_of(parse_arguments()):
        MAKERS[job.kind](job)


if __name__ == "__main__":
    main()
