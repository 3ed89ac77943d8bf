"""Trains the predictors that come with the package, by the recipe in configs/priors.toml.

python data/train_priors.py --real DIR --generated DIR --work DIR [-o neuralvdb/values/lattice/priors.npz]
    [--families fog,fog-mean] [--fast] [--device auto|cpu|cuda[:N]] [--plot data/results/training.png]

Needs neuralvdb (installed), torch, matplotlib and tqdm, and about an hour on one CPU core. With --fast the networks
without hidden layers are trained, else those with them. A GPU trains all networks of a family at once, to slightly
other weights; those that come with the package are a CPU's. What is not named stays as it is in the package. What is
done is kept in --work: the same command goes on from there.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import tomllib
import torch
from tqdm import tqdm

from neuralvdb import devices
from neuralvdb.fit.fields import Field, fields_of
from neuralvdb.fit.pretrain import Recipe, pretrain
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import LatticeKind

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = 18  # of a family
SMOOTH = 100  # iterations in a point of the plot


def plot(curves: dict[str, list[np.ndarray]], path: Path) -> None:
    """Draws the mean bits of each round's networks against iterations, by family."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name, bits in curves.items():
        mean = np.mean(bits, axis=0)
        points = len(mean) // SMOOTH
        axes.plot(SMOOTH * np.arange(points), mean[: SMOOTH * points].reshape(-1, SMOOTH).mean(1), label=name)
    axes.set(xlabel="iterations of a round", ylabel="bits an example")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=100, bbox_inches="tight")


def main() -> None:
    """Trains and writes."""
    args = arguments()
    device = (*devices.resolve(args.device), "cpu")[0]
    torch.set_num_threads(1)  # sums in one order, so that the same recipe gives the same weights
    config = tomllib.loads((ROOT / "configs/priors.toml").read_text())
    curves: dict[str, list[np.ndarray]] = {}
    full, fast = dict(priors.shipped().families), dict(priors.fast().families)
    for family in args.families.split(","):
        recipe = recipe_of(config, family, fast=args.fast, device=device)
        folder = args.work / (f"fast.{family}" if args.fast else family)
        folder.mkdir(parents=True, exist_ok=True)
        with tqdm(total=NETWORKS * recipe.rounds, desc=family, unit="network") as bar:

            def done(name: str, bits: np.ndarray, family: str = family, bar: tqdm = bar) -> None:
                curves.setdefault(f"{family}, {name.partition(',')[0]}", []).append(bits)
                bar.update()

            fields = training_fields(config, family, args)
            (fast if args.fast else full)[family] = pretrain(fields, recipe, folder=folder, progress=done)
    priors.save(args.output, full, fast)
    if args.plot:
        plot(curves, args.plot)


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of the recipe's real files")
    parser.add_argument("--generated", type=Path, required=True, help="folder of its generated files")
    parser.add_argument("--work", type=Path, required=True, help="folder in which finished networks are kept")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "neuralvdb/values/lattice/priors.npz")
    parser.add_argument("--families", default=",".join(priors.FAMILIES))
    parser.add_argument("--fast", action="store_true", help="train the networks without hidden layers")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where networks are trained")
    parser.add_argument("--plot", type=Path, help="picture of bits against iterations")
    return parser.parse_args()


def recipe_of(config: dict, family: str, *, fast: bool, device: str) -> Recipe:
    """How configs/priors.toml has a family pretrained; fast: without hidden layers."""
    settings = config["families"][family]
    training = config["fast"] if fast else settings
    return Recipe(
        lattice=LatticeKind(settings["lattice"]),
        companded=settings["companded"],
        pruned=settings["pruned"],
        iterations=training["iterations"],
        rounds=training["rounds"],
        seed=config["seed"],
        linear_tables=priors.load(family).tables if fast else None,
        device=device,
    )


def training_fields(config: dict, family: str, args: argparse.Namespace) -> list[Field]:
    """The fields that a family learns from."""
    settings = config["families"][family]
    left_out = config["fast"]["without"] if args.fast else []
    paths = [args.real / name for name in config["real"]]
    paths += [args.generated / name for name in config["generated"][settings["generated"]] if name not in left_out]
    return [field for field in fields_of(paths, settings["fields"]) if field.name not in settings["without"]]


if __name__ == "__main__":
    main()
