"""Pictures side by side with captions."""

from __future__ import annotations

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
    columns: Sequence[str],
    names: Sequence[str] = (),
    size: int = 160,
    gap: int = 6,
) -> np.ndarray:
    """A table of pictures: column titles above, row names on the left.

    Args:
        rows: Pictures, uint8 (H, W, 3) RGB, as many in each row as there are columns.
        columns: Titles; too long ones are cut.
        names: One for each row, or none at all.
        size: Longer side of a picture in the sheet, pixels.
        gap: Pixels between pictures.

    Returns:
        uint8 (height, width, 3) RGB, on white.

    Raises:
        ValueError: Without rows, or where a row or ``names`` has another length.
    """
    if not rows or any(len(row) != len(columns) for row in rows) or (names and len(names) != len(rows)):
        raise ValueError(
            f'a sheet needs rows of {len(columns)} pictures and a name for each or none, found rows of '
            f'{[len(row) for row in rows]} and {len(names)} names.'
        )
    font = _font(max(size // 11, 10))
    header = sum(font.getmetrics()) + gap
    left = min(max((math.ceil(font.getlength(name)) for name in names), default=-gap) + gap, 2 * size)
    step = size + gap
    sheet = Image.new('RGB', (left + step * len(columns) - gap, header + step * len(rows) - gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(columns):
        draw.text((left + column * step, 0), _cut(title, font, size), _INK, font)
    for number, row in enumerate(rows):
        top = header + number * step
        if names:
            draw.text((0, top + size // 2), _cut(names[number], font, left - gap), _INK, font, anchor='lm')
        for column, picture in enumerate(row):
            sheet.paste(Image.fromarray(fit(picture, size)), (left + column * step, top))
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
