"""The square about a face, cut out of its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fsfm_mm.ops.resizing import resize_image
from fsfm_mm.preparation.settings import CROP_MARGIN


def in_view(box: Sequence[float] | np.ndarray, width: int, height: int) -> bool:
    """Whether a box has an area, and some of it lies in a picture."""
    left, top, right, bottom = box
    return right > max(left, 0) and bottom > max(top, 0) and left < width and top < height


def crop_square(
    box: Sequence[float] | np.ndarray, width: int, height: int, margin: float = CROP_MARGIN
) -> tuple[int, int, int, int]:
    """Square about a face box, clipped to the picture; a square still, as in FaceForensics++.

    The side is ``margin`` times the longer side of the box, in whole pixels; it begins half a side, rounded down,
    before the box's centre, rounded down. A square that reaches over the picture's left or top edge begins at that
    edge, and one that reaches over the right or bottom edge gets shorter.

    Args:
        box: Left, top, right, bottom in pixels.
        width: Width of the picture.
        height: Height of the picture.
        margin: Factor, above 0.

    Returns:
        Left, top, right, bottom in whole pixels, right - left == bottom - top >= 1.

    Raises:
        ValueError: When the box has no area or lies outside the picture.
    """
    left, top, right, bottom = (float(value) for value in box)
    if not in_view(box, width, height):
        raise ValueError(f'the box {[left, top, right, bottom]} holds nothing of a {width}x{height} picture.')
    side = max(int(max(right - left, bottom - top) * margin), 1)
    x0 = min(max(math.floor((left + right) / 2) - side // 2, 0), width - 1)
    y0 = min(max(math.floor((top + bottom) / 2) - side // 2, 0), height - 1)
    side = min(side, width - x0, height - y0)
    return x0, y0, x0 + side, y0 + side


def cut_out(picture: np.ndarray, square: tuple[int, int, int, int], size: int | None = None) -> np.ndarray:
    """Cut a square out of a picture and resize it.

    Args:
        picture: uint8 (H, W, 3).
        square: Left, top, right, bottom inside the picture, see :func:`crop_square`; a rectangle is stretched to the
            square result.
        size: Side of the result in pixels; None keeps the square's own.

    Returns:
        uint8 (size, size, 3), an array of its own; bicubic, averaged over areas where it shrinks (antialiased).
    """
    x0, y0, x1, y1 = square
    crop = picture[y0:y1, x0:x1]
    if size is None or crop.shape[:2] == (size, size):
        return np.ascontiguousarray(crop).copy()
    return resize_image(crop, (size, size))


def landmarks_in(
    landmarks: np.ndarray | None, square: tuple[int, int, int, int], size: int | None = None
) -> np.ndarray | None:
    """Landmarks in the pixels of a crop.

    Args:
        landmarks: float (5, 2) in pixels of the picture, or None.
        square: The square that was cut out.
        size: Side of the resized crop; None for the square's own.

    Returns:
        float64 (5, 2), or None.
    """
    if landmarks is None:
        return None
    scale = 1.0 if size is None else size / (square[2] - square[0])
    # pixel centres are at +0.5, before and after
    return (np.asarray(landmarks, np.float64) + 0.5 - np.array(square[:2])) * scale - 0.5
