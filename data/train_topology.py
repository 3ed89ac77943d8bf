"""Trains the networks of the topology codec that come with the package, by the recipe in configs/topology.toml.

python data/train_topology.py --real DIR --generated DIR [-o neuralvdb/topology/priors.npz]

Needs neuralvdb (installed), torch and tqdm, and some 20 minutes on one CPU core.
"""

import argparse
from pathlib import Path

import numpy as np
import tomllib
import torch
from tqdm import tqdm

from neuralvdb.fit.pretrain_topology import TopologyRecipe, pretrain_topology
from neuralvdb.fit.topology_cases import cases_of
from neuralvdb.topology import priors

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Trains and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of the recipe's real files")
    parser.add_argument("--generated", type=Path, required=True, help="folder of its generated files")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "neuralvdb/topology/priors.npz")
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, so that the same recipe gives the same weights
    recipe = tomllib.loads((ROOT / "configs/topology.toml").read_text())
    paths = [args.real / name for name in recipe["real"]] + [args.generated / name for name in recipe["generated"]]
    rng = np.random.default_rng(recipe["seed"])
    training = TopologyRecipe(
        iterations=recipe["iterations"],
        orientations=recipe["orientations"],
        limit=recipe["limit"],
        seed=recipe["seed"],
    )
    with tqdm(total=len(priors.KEYS), unit="network") as bar:
        cases = cases_of(paths, rng, recipe["thin"])
        prior = pretrain_topology(cases, rng, training, progress=lambda _: bar.update())
    priors.save(args.output, prior)


if __name__ == "__main__":
    main()
