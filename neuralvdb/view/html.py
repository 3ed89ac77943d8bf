"""Blocks of an HTML page that needs nothing else: charts as inline SVG, tables, pictures. All words are escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from neuralvdb.dataclass import dataclass

_COLOURS = ("#e07b39", "#4f8fd6", "#5bb36b", "#c65a9a", "#c9b03c", "#7f6fd0", "#4bb6b0", "#d05a5a", "#e8e8e8")
_WIDTH, _HEIGHT = 860, 240  # pixels of a chart
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 12, 34  # pixels beside what is drawn
_TICKS = 4
_BAR = 320  # pixels of the bar of a share of 1
_TEXT = 'fill="#a8a8b0" font-size="12"'
_STYLE = """
body { background: #18181b; color: #e8e8e8; font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2em auto;
       padding: 0 1em }
h1, h2 { font-weight: 600 } h2 { margin-top: 2em }
table { border-collapse: collapse } th, td { padding: .2em .9em .2em 0; text-align: right; white-space: nowrap }
th:first-child, td:first-child, td:has(.bar) { text-align: left } th { color: #a8a8b0; font-weight: 500 }
img { max-width: 100% } figcaption, .legend { color: #a8a8b0 }
.legend span { margin-right: 1.2em } .bar { display: inline-block; height: .7em; background: #4f8fd6 }
"""


@dataclass(frozen=True)
class Chart:
    """Lines over frames. title: what is drawn; labels: of the frames; series: a number or None for each frame.

    text: of a number; from_zero: whether the scale begins at 0.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    text: Callable[[float], str]
    from_zero: bool = False

    @property
    def html(self) -> str:
        """The chart with its legend; nothing where it has no finite number."""
        numbers = [n for line in self.series.values() for n in line if n is not None and math.isfinite(n)]
        if not numbers:
            return ""
        low = 0.0 if self.from_zero else min(numbers)
        high = max(numbers) if max(numbers) > low else low + (abs(low) or 1.0)
        marks = [low + (high - low) * i / _TICKS for i in range(_TICKS + 1)]
        drawn = [*(self._tick(mark, low, high) for mark in marks), self._labels()]
        for number, (name, line) in enumerate(self.series.items()):
            drawn.append(self._line(name, line, _COLOURS[number % len(_COLOURS)], (low, high)))
        svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img">{"".join(drawn)}</svg>'
        return f'{heading(self.title)}{svg}<p class="legend">{self._legend()}</p>'

    def _legend(self) -> str:
        """The names of lines that have a number."""
        return "".join(
            f'<span style="color:{_COLOURS[number % len(_COLOURS)]}">&#9632; {escape(name)}</span>'
            for number, (name, line) in enumerate(self.series.items())
            if any(n is not None for n in line)
        )

    def _x(self, frame: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (frame / (len(self.labels) - 1) if len(self.labels) > 1 else 0.5)

    def _y(self, number: float, low: float, high: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - number) / (high - low)

    def _tick(self, mark: float, low: float, high: float) -> str:
        y = self._y(mark, low, high)
        line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#3a3a40"/>'
        return f'{line}<text {_TEXT} x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(self.text(mark))}</text>'

    def _labels(self) -> str:
        """The first, the middle and the last frame below the chart."""
        last, drawn = len(self.labels) - 1, ""
        for frame, anchor in {last: "end", 0: "start", last // 2: "middle"}.items():
            words = escape(self.labels[frame])
            drawn += f'<text {_TEXT} x="{self._x(frame):.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{words}</text>'
        return drawn

    def _line(self, name: str, line: Sequence[float | None], colour: str, scale: tuple[float, float]) -> str:
        """A path with gaps where there is no number, and a dot with words on each number."""
        path, dots, begins = "", "", True
        for frame, number in enumerate(line):
            if number is None or not math.isfinite(number):
                begins = True
                continue
            x, y = self._x(frame), self._y(number, *scale)
            path += f"{'M' if begins else 'L'}{x:.1f} {y:.1f}"
            begins = False
            words = escape(f"{self.labels[frame]}: {name} {self.text(number)}")
            dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{words}</title></circle>'
        return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>{dots}'


def heading(words: str) -> str:
    """A heading."""
    return f"<h2>{escape(words)}</h2>"


def paragraph(words: str) -> str:
    """A paragraph."""
    return f"<p>{escape(words)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float] = ()) -> str:
    """A table of words. shares: 0 to 1 for each row, drawn as bars; none where they are empty."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in rows]
    for number, share in enumerate(shares, 1):
        width = _BAR * min(max(share, 0.0), 1.0)
        lines[number] += f'<td><span class="bar" style="width:{width:.0f}px"></span></td>'
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def figure(png: bytes, caption: str) -> str:
    """A PNG file with words below."""
    data = base64.b64encode(png).decode("ascii")
    words = escape(caption)
    return f'<figure><img alt="{words}" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'


def page(title: str, blocks: Sequence[str]) -> str:
    """The page of the blocks, each of them HTML, under a title in words."""
    words = escape(title)
    head = f'<meta charset="utf-8"><title>{words}</title><style>{_STYLE}</style>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><h1>{words}</h1>{"".join(blocks)}</body></html>\n'
    )
