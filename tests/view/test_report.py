"""`nvdb report` writes a page that is whole, needs nothing else, and says what is in the files."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api.sequence import FrameFacts, FrameOfPage, facts_of_each, html_of
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import from_dense, write_vdb
from neuralvdb.view.html import Chart, figure, page, table

Image = pytest.importorskip("PIL.Image")
EVIL = "<script>alert('x')</script>&\"'"
EMPTY = {"meta", "img", "line", "circle", "path"}  # elements that nothing ends, as the page writes them


class Page(HTMLParser):
    """Words, elements and pictures of a page; asserts that every element ends where it should."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.elements, self.words, self.links = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def sequence(tmp_path):
    """A folder of three frames of a grid called EVIL and, in originals/, the files that they were made from."""
    (tmp_path / "originals").mkdir()
    for number in (1, 2, 3):
        values = np.random.default_rng(number).random((8 * number, 8, 8), np.float32)
        source = tmp_path / "originals" / f"a.{number:04d}.vdb"
        write_vdb(source, [from_dense(values, name=EVIL, active=values > 0.1)])
        neuralvdb.compress(source, tmp_path / f"a.{number:04d}.neuralvdb", CompressSettings(quality="lossless"))
    return tmp_path


@pytest.mark.slow
def test_the_page_of_a_sequence_with_a_damaged_frame(sequence, nvdb):
    """The others are on it, and the exit code is that of the damaged one; the page is never overwritten unasked."""
    damaged = sequence / "a.0002.neuralvdb"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    done = nvdb("report", "a.####.neuralvdb", "--originals", "originals", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 4 and [error["path"] for error in report["errors"]] == ["a.0002.neuralvdb"]
    (result,) = report["results"]
    assert [frame["path"] for frame in result["frames"]] == ["a.0001.neuralvdb", "a.0003.neuralvdb"]
    html = (sequence / "report.html").read_text()
    written = Page(html)
    assert EVIL in written.words and "script" not in written.elements
    assert "a.0001.neuralvdb to a.0003.neuralvdb, 2 frames" in written.words and "every bit" in written.words
    assert len(written.links) == 2 and all(link.startswith("data:image/png;base64,") for link in written.links)
    for link in written.links:
        with Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))) as image:
            assert image.width > 3 * 320  # original, decoded, difference
    assert nvdb("report", "a.####.neuralvdb").returncode == 6 and (sequence / "report.html").read_text() == html
    only = nvdb("report", damaged, "-o", "only.html")
    assert (only.returncode, only.stderr.count("\n"), only.stdout) == (4, 1, "")
    assert not (sequence / "only.html").exists()


def facts_of(path: Path, **choices) -> FrameFacts:
    """Of the only frame of an archive."""
    (facts,) = facts_of_each(str(path), [FrameOfPage(**choices)])
    return facts


def test_facts_are_those_of_the_files(sequence):
    path = sequence / "a.0003.neuralvdb"
    facts = facts_of(path, original=str(sequence / "originals" / f"{path.stem}.vdb"), picture=False)
    assert facts.size == path.stat().st_size and facts.picture == b""
    assert facts.source_size == (sequence / "originals/a.0003.vdb").stat().st_size
    assert set(facts.grids) == {EVIL} and 0 < sum(facts.grids[EVIL].values()) < facts.size
    (loss,) = facts.losses
    assert (loss.max_error, loss.max_share, loss.mean_share, loss.t_psnr) == (0, 0, 0, None)
    without = facts_of(path)
    assert without.losses == [] and without.picture[:4] == b"\x89PNG"
    title = "Largest error of a voxel"
    assert title in html_of([facts]) and title not in html_of([without])


def test_without_originals_charts_have_what_archives_say_of_fog(sample, tmp_path):
    report = neuralvdb.compress(sample, tmp_path / "a.neuralvdb", CompressSettings(quality="preview", verify=False))
    facts = facts_of(tmp_path / "a.neuralvdb", picture=False)
    measured = {name: p.measured for name, p in report.promises.items() if p.measured is not None}
    assert measured and facts.losses == [] and facts.figures("psnr") == {}
    assert facts.figures("t_psnr") == {name: loss.picture for name, loss in measured.items()}
    assert facts.figures("max_share") == {name: loss.voxel_error for name, loss in measured.items()}
    assert f"{min(loss.picture for loss in measured.values()):.1f} dB" in html_of([facts])


def test_a_chart_draws_its_numbers_where_they_belong():
    """From zero to the largest, from left to right, with a gap where there is no number."""
    chart = Chart("a", ["f1", "f2", "f3", "f4"], {"b": [0.0, 5.0, None, 10.0], "c": [None] * 4}, "{:g}".format, True)
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', chart.html)]
    (x1, y1), (x2, y2), (x4, y4) = dots
    assert x2 - x1 == pytest.approx((x4 - x1) / 3, abs=0.1) and y1 - y2 == pytest.approx(y2 - y4, abs=0.1) and y1 > y4
    assert re.findall(r"[ML]", re.search(r'<path d="([^"]+)"', chart.html)[1]) == ["M", "L", "M"]
    assert "f4: b 10" in chart.html and "&#9632; c" not in chart.html
    assert Chart("a", ["f1"], {"b": [None]}, "{:g}".format).html == ""
    assert Chart("a", ["f1"], {"b": [3.0]}, "{:g}".format).html.count("<circle") == 1


def test_all_words_are_escaped():
    blocks = [
        table([EVIL], [[EVIL]], [2.0]),
        figure(b"", EVIL),
        Chart(EVIL, [EVIL] * 3, {EVIL: [1.0, float("nan"), 2.0]}, lambda _: EVIL).html,
    ]
    written = Page(page(EVIL, blocks))
    assert "script" not in written.elements
    assert sum(words.strip("\u25a0 ").count(EVIL) for words in written.words) > 10
