"""Pictures side by side with captions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fsfm_mm.text import printable

_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a picture, uint8 (H, W, 3), so that its longer side is ``size`` pixels.

    Shrinking averages over areas; enlarging repeats pixels, so that small pictures stay what they are.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST_EXACT)


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    size: int | None = 160,
    gap: int = 6,
    legends: Sequence[Mapping[str, str]] = (),
    caption: str = '',
) -> np.ndarray:
    """A table of pictures: column titles above, row names on the left, what the colours mean and a caption below.

    Every column is as wide as its widest picture, every row as high as its highest.

    Args:
        rows: Pictures, uint8 (H, W, 3) RGB, as many in each row.
        columns: A title for each column, or none at all; too long ones are cut.
        names: One for each row, or none at all.
        size: Longer side of a picture in the sheet, pixels; None: as they are.
        gap: Pixels between pictures.
        legends: Name -> colour (``#rrggbb``), or '' for a name without one; each legend begins a line.
        caption: Sentences; broken into lines.

    Returns:
        uint8 (height, width, 3) RGB, on white.

    Raises:
        ValueError: Without pictures, or where a row, ``columns`` or ``names`` has another length.
    """
    columns, names, caption = [*map(printable, columns)], [*map(printable, names)], printable(caption)
    legends = [{printable(name): colour for name, colour in legend.items()} for legend in legends]
    count = len(columns) or (len(rows[0]) if rows else 0)
    if not rows or not count or any(len(row) != count for row in rows) or len(names) not in (0, len(rows)):
        raise ValueError(
            f'a sheet needs rows of {count or "some"} pictures and a name for each or none, found rows of '
            f'{[len(row) for row in rows]} and {len(names)} names.'
        )
    table = rows if size is None else [[fit(picture, size) for picture in row] for row in rows]
    widths = [max(picture.shape[1] for picture in column) for column in zip(*table)]
    heights = [max(picture.shape[0] for picture in row) for row in table]
    header = left = line = 0
    font = None
    if columns or names or legends or caption:
        longest = size or max(*widths, *heights)
        font = _font(max(longest // 11, 10))
        line = sum(font.getmetrics())
        header = line + gap if columns else 0
        if names:
            left = min(max(math.ceil(font.getlength(name)) for name in names) + 2 * gap, 2 * longest)
            heights = [max(height, line) for height in heights]
    lefts = list(itertools.accumulate((width + gap for width in widths), initial=left))
    tops = list(itertools.accumulate((height + gap for height in heights), initial=header))
    width, bottom = lefts[-1] - gap, tops[-1] - gap
    below = _below(legends, caption, font, width - 2 * gap) if font is not None else []
    foot = len(below) * line + gap * (2 if below else 0)
    sheet = Image.new('RGB', (width, bottom + foot), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if font is not None:
        for y, entries in enumerate(below):
            for x, text, colour in entries:
                top = bottom + gap + y * line
                if colour:
                    size_of = round(0.7 * line)
                    box = (gap + x, top + line // 6, gap + x + size_of, top + line // 6 + size_of)
                    draw.rectangle(box, colour, _INK)
                    x += line
                draw.text((gap + x, top), text, _INK, font)
        for title, x, width in zip(columns, lefts, widths):
            draw.text((x, 0), _cut(title, font, width), _INK, font)
        for name, y, height in zip(names, tops, heights):
            draw.text((gap, y + height // 2), _cut(name, font, left - 2 * gap), _INK, font, anchor='lm')
    for row, y in zip(table, tops):
        for picture, x in zip(row, lefts):
            sheet.paste(Image.fromarray(picture), (x, y))
    return np.asarray(sheet)


def _below(
    legends: Sequence[Mapping[str, str]], caption: str, font: ImageFont.FreeTypeFont, width: int
) -> list[list[tuple[int, str, str]]]:
    """Lines below a sheet: place from the left, text and colour ('' without one) of each entry."""
    square, space = sum(font.getmetrics()), math.ceil(font.getlength('    '))
    lines: list[list[tuple[int, str, str]]] = []
    for legend in legends:
        x = width
        for name, colour in legend.items():
            needed = math.ceil(font.getlength(name)) + (square if colour else 0)
            if x + needed > width:
                lines.append([])
                x = 0
            lines[-1].append((x, name, colour))
            x += needed + space
    text = ''
    for word in caption.split():
        longer = f'{text} {word}'.strip()
        if text and font.getlength(longer) > width:
            lines.append([(0, text, '')])
            longer = word
        text = longer
    return [*lines, [(0, text, '')]] if text else lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib's own font: it has most scripts' letters, and is there on every machine
    from matplotlib.font_manager import findfont

    return ImageFont.truetype(findfont('DejaVu Sans'), size)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """A text that fits into ``width`` pixels; of too long ones the end is kept, which tells files apart."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength('…' + text) > width:
        text = text[1:]
    return '…' + text
