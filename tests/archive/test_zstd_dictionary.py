"""The dictionary for zstd is what it always was, and importing the archive does not read it."""

import runpy
import subprocess
import sys
from pathlib import Path

import xxhash

from neuralvdb.archive import zstd_dictionary

FILE = Path(zstd_dictionary.__file__).with_suffix(".bin")


def test_the_bytes_are_those_of_the_format():
    content = FILE.read_bytes()
    assert (len(content), xxhash.xxh3_64_hexdigest(content)) == (5354, "affb27587db272c9")


def test_the_generator_makes_them():
    made = runpy.run_path(str(Path(__file__).with_name("make_zstd_dictionary.py")))["DICTIONARY"]
    assert made == FILE.read_bytes()


def test_it_is_read_when_it_is_first_needed():
    code = (
        "import neuralvdb.archive.container\n"
        "from neuralvdb.archive.zstd_dictionary import zstd_dictionary\n"
        "assert zstd_dictionary.cache_info().currsize == 0\n"
        "assert zstd_dictionary() is zstd_dictionary()\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
