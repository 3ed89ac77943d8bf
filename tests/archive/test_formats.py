"""The registry of sections says what SPEC.md says."""

import re
from pathlib import Path

import pytest

from neuralvdb.archive.formats import FORMATS, form_of, is_readable, version_written

NAMES = ("SPEC.md", "FRAMES.md", "CHUNKS.md")
SPEC = [Path(__file__).resolve().parents[2] / "neuralvdb" / "archive" / name for name in NAMES]
HEADING = re.compile(r"## ([A-Z]{4}), codecs? (\d+(?: and \d+)*) versions? (\d+(?: or \d+)*): ")


def headings() -> dict[tuple[str, int], tuple[int, ...]]:
    """{(type, codec): versions} as the headings have them."""
    written = {}
    for line in (line for path in SPEC for line in path.read_text(encoding="utf-8").splitlines()):
        if match := HEADING.match(line):
            kind, codecs, versions = match.groups()
            for codec in codecs.split(" and "):
                assert (kind, int(codec)) not in written
                written[kind, int(codec)] = tuple(map(int, versions.split(" or ")))
    return written


def test_sections_are_those_of_the_specification():
    assert headings() == {(form.kind, form.codec): form.versions for form in FORMATS}


def test_types_differ_in_their_codecs_only():
    for form in FORMATS:
        kind = form_of(form.kind)
        assert (form.content, form.of_frame, form.numbered) == (kind.content, kind.of_frame, kind.numbered)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.kind} {form.codec}")
def test_versions_are_read_and_the_last_is_written(form):
    read = [version for version in range(10) if is_readable(form.kind, form.codec, version)]
    assert tuple(read) == form.versions
    assert version_written(form.kind, form.codec) == read[-1]


def test_what_is_not_registered_is_not_read():
    assert not is_readable("TOPO", 5, 1)
    assert not is_readable("NEWS", 0, 1)
