"""Runs the fuzzer's damaged archives in this one process, whose compiled modules sanitize.sh has instrumented.

    python sanitized.py --runs 2000 --seed 0

What a run may do is said in fuzz.py; here it is only that each ends with a NeuralVdbError or a volume. Exit code: 1
where one ends with anything else.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz import Bench, make_seeds
from seeds import OPTIONS
from tqdm import tqdm

from neuralvdb import CompressSettings, DecompressSettings, compress, decompress, info, verify
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import VerifySettings


def use(number: int, archive: Path) -> None:
    """What the archive is asked for: whole, a region of it, its masks, a check or what is in it."""
    back, settings = archive.with_name("back.vdb"), replace(list(OPTIONS.values())[number % 5], threads=2, force=True)
    if number % 8 == 5:
        settings = DecompressSettings(topology_only=True, threads=1, force=True)
    if number % 8 == 6:
        verify(archive, settings=VerifySettings(threads=1))
    elif number % 8 == 7:
        info(archive)
    else:
        decompress(archive, back, settings)
    if number % 8 == 0 and back.exists():  # what is accepted can be encoded again
        compress(
            back, archive.with_name("again.neuralvdb"), CompressSettings(quality="lossless", threads=2, force=True)
        )


def run(bench: Bench, number: int) -> str:
    """How the case of a number ends."""
    archive = bench.folder / "in.neuralvdb"
    archive.write_bytes(bench.case(number).data)
    with contextlib.suppress(FileNotFoundError):
        archive.with_name("back.vdb").unlink()
    try:
        use(number, archive)
    except NeuralVdbError as error:
        return f"exit code {error.exit_code}"
    except Exception as error:
        traceback.print_exc()
        return f"run {number}: {type(error).__name__}"
    return "done"


def main() -> int:
    """Exit code: 0 where every run ends as it should, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    bench = Bench("archives", args.seed, make_seeds("archives"))
    ends = Counter(run(bench, number) for number in tqdm(range(args.runs), unit="run", mininterval=10))
    bench.close()
    print(f"{args.runs} damaged archives: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()))
    return int(any(end.startswith("run") for end in ends))


if __name__ == "__main__":
    sys.exit(main())
