"""A picture being painted together with its label map."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

#: Sub-pixels per pixel and axis that a polygon's coverage is counted on.
_FINE = 4
#: Fractional bits of a vertex, counted in sub-pixels.
_SHIFT = 4


class Patch(NamedTuple):
    """Coverage of a part of the picture: its box and, float32 of the box's shape, a share from 0 to 1."""

    rows: slice
    columns: slice
    alpha: np.ndarray


class Canvas:
    """Three colour planes and one label plane.

    Args:
        planes: float32 (3, size, size), sRGB in BGR order, 0 to 1; painted on.
        unit: Picture heights per head unit.

    Attributes:
        planes: The picture.
        labels: uint8 (size, size), LaPa labels, 0 at first.
        size: Height and width in pixels.
        unit: Picture heights per head unit.
    """

    def __init__(self, planes: np.ndarray, unit: float) -> None:
        self.planes, self.size, self.unit = planes, planes.shape[1], unit
        self.labels = np.zeros(planes.shape[1:], np.uint8)

    def cover(self, outline: np.ndarray, soft: float = 0.0, inside: Patch | None = None) -> Patch:
        """Coverage of a closed polygon.

        Args:
            outline: Vertices in the unit picture, float (n, 2).
            soft: Standard deviation of a blur of the edge, in head units.
            inside: Clip to this patch and use its box.

        Returns:
            The coverage within the polygon's box, at least one pixel of the picture.
        """
        soft *= self.unit * self.size
        pixel = _FINE << _SHIFT
        # cv2 puts integer coordinates at pixel centres, the unit picture at pixel corners.
        vertices = np.rint(outline * (self.size * pixel) - 0.5 * (1 << _SHIFT)).astype(np.int32)
        if inside is None:
            x, y, width, height = cv2.boundingRect(vertices)
            pad = 1 + int(2.5 * soft)
            rows = self._span(y // pixel - pad, (y + height) // pixel + pad)
            columns = self._span(x // pixel - pad, (x + width) // pixel + pad)
        else:
            rows, columns = inside.rows, inside.columns
        height, width = rows.stop - rows.start, columns.stop - columns.start
        fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
        moved = vertices - np.array((columns.start, rows.start), np.int32) * pixel
        cv2.fillPoly(fine, [moved], 255, cv2.LINE_8, _SHIFT)
        alpha = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        if soft > 0.2:
            alpha = cv2.GaussianBlur(alpha, (0, 0), soft)
        share = np.multiply(alpha, np.float32(1 / 255), dtype=np.float32)
        return Patch(rows, columns, share if inside is None else share * inside.alpha)

    def _span(self, first: int, last: int) -> slice:
        """Pixels from first to last, as far as they are in the picture: one at least."""
        start = min(max(first, 0), self.size - 1)
        return slice(start, max(min(last + 1, self.size), start + 1))

    def paint(self, patch: Patch, colour: object, opacity: float = 1.0) -> None:
        """Mix ``colour``, (3,) or planes (3, size, size), in where the patch covers."""
        view = self.planes[:, patch.rows, patch.columns]
        paint = np.asarray(colour, np.float32)
        paint = paint[:, None, None] if paint.ndim == 1 else paint[:, patch.rows, patch.columns]
        view += np.float32(opacity) * patch.alpha * (paint - view)

    def mark(self, patch: Patch, label: int, only: tuple[int, ...] | None = None) -> None:
        """Set the label where the patch covers at least half of a pixel (that has one of the labels ``only``)."""
        view = self.labels[patch.rows, patch.columns]
        where = patch.alpha >= 0.5
        view[where if only is None else where & np.isin(view, only)] = label


@lru_cache(maxsize=16)
def noise_table(side: int, blur: tuple[float, float]) -> np.ndarray:
    """A fixed table of texture that tiles without seams.

    Args:
        side: Height and width.
        blur: Standard deviations along x and y; zeros for independent pixels.

    Returns:
        float32 (side, side), mean 0 and standard deviation 1, not to be written to.
    """
    noise = np.random.default_rng(20250610).standard_normal((side, side)).astype(np.float32)
    if blur[0] > 0:
        wide = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), sigmaX=blur[0], sigmaY=blur[1])
        noise = np.asarray(wide[side : 2 * side, side : 2 * side], np.float32)
    table = np.ascontiguousarray((noise - noise.mean()) / noise.std())
    table.flags.writeable = False
    return table


def noise_crop(size: int, rng: np.random.Generator, blur: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A random (size, size) window of a noise table: far cheaper than drawing the numbers anew."""
    side = 512
    while side < size + 64:
        side *= 2
    y, x = rng.integers(0, side - size, 2)
    return noise_table(side, blur)[y : y + size, x : x + size]
