"""What a process that lives on does with a damaged .vdb file: what in_process.py does with archives."""

from __future__ import annotations

from pathlib import Path

from fuzz import Case

from neuralvdb import CompressSettings, DecompressSettings, compress, decompress, diff, info, verify
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import Bound, VerifySettings

_EXACT = CompressSettings(quality="lossless", verify=False, threads=1, force=True)
_WAYS = (
    *[_EXACT] * 3,  # as fuzz.py does it
    CompressSettings(bounds=(Bound(value=0.01, relative=True),), topology="pruned", threads=1, force=True),
    *[_EXACT] * 3,
    CompressSettings(quality="preview", threads=1, force=True),
)
_WHOLE = DecompressSettings(threads=1, force=True)


def use_vdb(case: Case, folder: Path) -> str:
    """Compresses a case and takes what comes back for what it was. What is wrong, if anything; raises NeuralVdbError
    where the case is refused."""
    source, archive, back = folder / "in.vdb", folder / "x.neuralvdb", folder / "x.vdb"
    source.write_bytes(case.data)
    way = _WAYS[case.number % len(_WAYS)]
    told = _is_told(source)
    compress(source, archive, way)
    if case.refuse:
        return "a truncated file was accepted"
    try:
        decompress(archive, back, _WHOLE)
        report = verify(archive, source, VerifySettings(threads=1))
        if report.differences:
            return f"verify of what was accepted: {report.differences[0]}"
        if way is _EXACT and not diff(source, back).same:
            return "what came back is different"
    except NeuralVdbError as error:
        return f"of what was accepted: {error}"
    return "" if _is_told(back) == told else "info of what came back is another"


def _is_told(path: Path) -> bool:
    """Whether `info` knows what to say of a file."""
    try:
        info(path)
    except NeuralVdbError:
        return False
    return True
