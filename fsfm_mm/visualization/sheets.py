"""Pictures side by side with captions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
) -> np.ndarray:
    """A table of pictures: column titles above, row names on the left.

    Every column is as wide as its widest picture, every row as high as its highest.

    Args:
        rows: Pictures, uint8 (H, W, 3) RGB, as many in each row.
        columns: A title for each column, or none at all; too long ones are cut.
        names: One for each row, or none at all.
        size: Longer side of a picture in the sheet, pixels; None: as they are.
        gap: Pixels between pictures.

    Returns:
        uint8 (height, width, 3) RGB, on white.

    Raises:
        ValueError: Without pictures, or where a row, ``columns`` or ``names`` has another length.
    """
    count = len(columns) or (len(rows[0]) if rows else 0)
    if not rows or not count or any(len(row) != count for row in rows) or len(names) not in (0, len(rows)):
        raise ValueError(
            f'a sheet needs rows of {count or "some"} pictures and a name for each or none, found rows of '
            f'{[len(row) for row in rows]} and {len(names)} names.'
        )
    table = rows if size is None else [[fit(picture, size) for picture in row] for row in rows]
    widths = [max(picture.shape[1] for picture in column) for column in zip(*table)]
    heights = [max(picture.shape[0] for picture in row) for row in table]
    header = left = 0
    font = None
    if columns or names:
        longest = size or max(*widths, *heights)
        font = _font(max(longest // 11, 10))
        line = sum(font.getmetrics())
        header = line + gap if columns else 0
        if names:
            left = min(max(math.ceil(font.getlength(name)) for name in names) + gap, 2 * longest)
            heights = [max(height, line) for height in heights]
    lefts = list(itertools.accumulate((width + gap for width in widths), initial=left))
    tops = list(itertools.accumulate((height + gap for height in heights), initial=header))
    sheet = Image.new('RGB', (lefts[-1] - gap, tops[-1] - gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if font is not None:
        for title, x, width in zip(columns, lefts, widths):
            draw.text((x, 0), _cut(title, font, width), _INK, font)
        for name, y, height in zip(names, tops, heights):
            draw.text((0, y + height // 2), _cut(name, font, left - gap), _INK, font, anchor='lm')
    for row, y in zip(table, tops):
        for picture, x in zip(row, lefts):
            sheet.paste(Image.fromarray(picture), (x, y))
    return np.asarray(sheet)


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
