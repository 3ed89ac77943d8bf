"""Draws strips of panels as one PNG, with Pillow alone: its own font is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.errors import Unsupported
from neuralvdb.view.panels import Panel, Scale, Strip

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

_USUAL = 320  # pixels of the longer edge: smaller pictures are enlarged to about that
_WIDEST = 1200  # pixels that a title may ask for
_LARGEST = 1024  # pixels of an edge, where pixels are no squares
_MARGIN, _LINE, _BAR = 12, 18, 12  # pixels: around things, of a line of text, the width of a colour bar
_NUMBERS = 74  # pixels, of the numbers beside a colour bar
_FONT = 13
_PAPER, _INK, _NOTHING = (24, 24, 27), (232, 232, 232), (52, 52, 58)


def need_pillow() -> None:
    """Loads Pillow. Raises Unsupported where it is not installed."""
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unsupported("pictures need Pillow; install it: pip install pillow, or neuralvdb[view]") from error


def draw_sheet(strips: Sequence[Strip]) -> tuple[bytes, int, int]:
    """A PNG file of the strips one below another, its width and its height. Raises Unsupported without Pillow."""
    need_pillow()
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_FONT)
    images = [[_image(panel) for panel in strip.panels] for strip in strips]
    heights = [_strip_height(of_strip) for of_strip in images]
    titles = [min(round(font.getlength(_line(strip.title))), _WIDEST) + 2 * _MARGIN for strip in strips]
    width = max(*titles, *(sum(map(_panel_width, of_strip)) + _MARGIN for of_strip in images))
    sheet = Image.new("RGB", (width, sum(heights) + _MARGIN), _PAPER)
    top = 0
    for strip, of_strip, height in zip(strips, images, heights, strict=True):
        pen = ImageDraw.Draw(sheet)
        _write(pen, font, strip.title, (_MARGIN, top + _MARGIN), width - 2 * _MARGIN)
        left = _MARGIN
        for panel, image in zip(strip.panels, of_strip, strict=True):
            _write(pen, font, panel.caption, (left, top + _MARGIN + _LINE), _panel_width(image) - _MARGIN)
            corner = (left, top + _MARGIN + 2 * _LINE)
            sheet.paste(image, corner)
            _draw_bar(sheet, pen, font, panel.scale, (left + image.width + 4, corner[1], image.height))
            left += _panel_width(image)
        top += height
    stream = BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue(), sheet.width, sheet.height


def _image(panel: Panel) -> Image:
    """The panel's picture, enlarged by whole numbers where it is small."""
    from PIL import Image

    pixels = panel.scale.rgb(panel.values, _NOTHING)
    height, width = pixels.shape[:2]
    factor = max(1, round(_USUAL / max(height, width)))
    size = (width * factor, max(1, round(height * factor * panel.aspect)))
    shrunk = min(1.0, _LARGEST / max(size))
    return Image.fromarray(pixels).resize(
        (max(1, round(size[0] * shrunk)), max(1, round(size[1] * shrunk))), Image.Resampling.NEAREST
    )


def _strip_height(images: Sequence[Image]) -> int:
    return max(max(image.height for image in images), 2 * _LINE) + 2 * _LINE + 2 * _MARGIN


def _panel_width(image: Image) -> int:
    """Pixels of an image with its colour bar and numbers."""
    return max(image.width, 180) + 4 + _BAR + _NUMBERS + _MARGIN


def _draw_bar(
    sheet: Image, pen: ImageDraw, font: FreeTypeFont | ImageFont, scale: Scale, at: tuple[int, int, int]
) -> None:
    """A colour bar with the numbers at its ends. at: left, top, height."""
    from PIL import Image

    left, top, height = at
    ramp = np.repeat(np.linspace(scale.high, scale.low, max(height, 2))[:, None], _BAR, axis=1)
    sheet.paste(Image.fromarray(scale.rgb(ramp, _NOTHING)), (left, top))
    right = left + _BAR + 4
    _write(pen, font, f"{scale.high:.4g}", (right, top - 2), _NUMBERS)
    if height > 2 * _LINE:
        _write(pen, font, f"{(scale.low + scale.high) / 2:.4g}", (right, top + height // 2 - _LINE // 2), _NUMBERS)
    _write(pen, font, f"{scale.low:.4g}", (right, top + max(height - _LINE + 2, _LINE)), _NUMBERS)


def _write(pen: ImageDraw, font: FreeTypeFont | ImageFont, text: str, at: tuple[int, int], width: int) -> None:
    """One line of text, cut off where it is wider than `width` pixels."""
    line = _line(text)
    while line and pen.textlength(line, font=font) > width:
        line = line[:-5] + "..." if len(line) > 8 else ""
    pen.text(at, line, fill=_INK, font=font)


def _line(text: str) -> str:
    """The text without what cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in text[:400])
