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
from neuralvdb.fit.pretrain import fields_of, train_prior
from neuralvdb.values.lattice import priors

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = 18  # of a family
SMOOTH = 100  # steps in a point of the plot


def plot(curves: dict[str, list[np.ndarray]], path: Path) -> None:
    """Draws the mean bits of each round's networks against steps, by family."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name, bits in curves.items():
        mean = np.mean(bits, axis=0)
        points = len(mean) // SMOOTH
        axes.plot(SMOOTH * np.arange(points), mean[: SMOOTH * points].reshape(-1, SMOOTH).mean(1), label=name)
    axes.set(xlabel="steps of a round", ylabel="bits an example")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=100, bbox_inches="tight")


def main() -> None:
    """Trains and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of the recipe's real files")
    parser.add_argument("--generated", type=Path, required=True, help="folder of its generated files")
    parser.add_argument("--work", type=Path, required=True, help="folder in which finished networks are kept")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "neuralvdb/values/lattice/priors.npz")
    parser.add_argument("--families", default=",".join(priors.FAMILIES))
    parser.add_argument("--fast", action="store_true", help="train the networks without hidden layers")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where networks are trained")
    parser.add_argument("--plot", type=Path, help="picture of bits against steps")
    args = parser.parse_args()
    device = (*devices.resolve(args.device), "cpu")[0]
    torch.set_num_threads(1)  # sums in one order, so that the same recipe gives the same weights
    recipe = tomllib.loads((ROOT / "configs/priors.toml").read_text())
    wanted, curves = args.families.split(","), {}
    full, fast = (dict(library.families) for library in (priors.shipped(), priors.fast()))
    for family in wanted:
        task = recipe["families"][family]
        paths = [args.real / name for name in recipe["real"]]
        without = recipe["fast"]["without"] if args.fast else []
        paths += [args.generated / name for name in recipe["generated"][task["generated"]] if name not in without]
        fields = [f for f in fields_of(paths, task["fields"]) if f.name not in task["without"]]
        settings = {name: task[name] for name in ("companded", "pruned", "steps", "rounds")} | {"seed": recipe["seed"]}
        if args.fast:
            settings |= {name: recipe["fast"][name] for name in ("steps", "rounds")} | {"linear": full[family].tables}
        folder = args.work / (f"fast.{family}" if args.fast else family)
        folder.mkdir(parents=True, exist_ok=True)
        with tqdm(total=NETWORKS * settings["rounds"], desc=family, unit="network") as bar:

            def done(name: str, bits: np.ndarray, family: str = family, bar: tqdm = bar) -> None:
                curves.setdefault(f"{family}, {name.partition(',')[0]}", []).append(bits)
                bar.update()

            (fast if args.fast else full)[family] = train_prior(
                fields, task["lattice"], **settings, device=device, folder=folder, progress=done
            )
    priors.save(args.output, full, fast)
    if args.plot:
        plot(curves, args.plot)


if __name__ == "__main__":
    main()
