"""Trains the predictors that come with the package, by the recipe in configs/priors.toml.

python data/train_priors.py --real DIR --generated DIR [-o neuralvdb/values/lattice/priors.npz] [--families fog]

Needs neuralvdb (installed), torch and tqdm, and about an hour on one CPU core. Families that are not named keep what
the output file holds.
"""

import argparse
from pathlib import Path

import tomllib
import torch
from tqdm import tqdm

from neuralvdb.fit.prior import fields_of, train_prior
from neuralvdb.values.lattice import priors

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = 18  # of a family


def main() -> None:
    """Trains and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of the recipe's real files")
    parser.add_argument("--generated", type=Path, required=True, help="folder of its generated files")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "neuralvdb/values/lattice/priors.npz")
    parser.add_argument("--families", default=",".join(priors.FAMILIES))
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, so that the same recipe gives the same weights
    recipe = tomllib.loads((ROOT / "configs/priors.toml").read_text())
    paths = [args.real / name for name in recipe["real"]] + [args.generated / name for name in recipe["generated"]]
    wanted = args.families.split(",")
    trained = {family: priors.load(family) for family in priors.FAMILIES if family not in wanted}
    for family in wanted:
        task = recipe["families"][family]
        fields = [f for f in fields_of(paths, task["fields"]) if f.name not in task["without"]]
        settings = {
            "companded": task["companded"],
            "pruned": task["pruned"],
            "steps": task["steps"],
            "rounds": recipe["rounds"],
            "seed": recipe["seed"],
        }
        with tqdm(total=NETWORKS * recipe["rounds"], desc=family, unit="network") as bar:
            trained[family] = train_prior(fields, task["lattice"], **settings, progress=lambda _: bar.update())
    priors.save(args.output, {family: trained[family] for family in priors.FAMILIES})


if __name__ == "__main__":
    main()
