"""A picture being painted together with its label map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

#: Sub-pixels per pixel and axis that a polygon's coverage is counted on.
_FINE = 4
#: Fractional bits of a vertex, counted in sub-pixels.
_SHIFT = 4
_STEPS = 1 << _SHIFT


@dataclass(frozen=True)
class Patch:
    """Coverage of a part of the picture.

    Args:
        rows: Rows of the box.
        columns: Columns of the box.
        alpha: Coverage, float32 (rows, columns), 0 to 1.
    """

    rows: slice
    columns: slice
    alpha: np.ndarray

    def times(self, other: np.ndarray) -> Patch:
        """The same box with its coverage multiplied by ``other``, of the box's shape or a scalar."""
        return Patch(self.rows, self.columns, self.alpha * other)


class Canvas:
    """Three colour planes and one label plane.

    Args:
        size: Height and width in pixels.

    Attributes:
        planes: float32 (3, size, size), sRGB in BGR order, 0 to 1.
        labels: uint8 (size, size), LaPa labels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.planes = np.zeros((3, size, size), np.float32)
        self.labels = np.zeros((size, size), np.uint8)

    def cover(self, outline: np.ndarray, soft: float = 0.0, inside: Patch | None = None) -> Patch | None:
        """Coverage of a closed polygon.

        Args:
            outline: Vertices in the unit picture, float (n, 2).
            soft: Standard deviation of a blur of the edge, in picture heights.
            inside: Clip to this patch and use its box.

        Returns:
            The coverage within the polygon's box, ``None`` if that lies outside of the picture.
        """
        # cv2 puts integer coordinates at pixel centres, the unit picture at pixel corners.
        vertices = np.rint(outline * (self.size * _FINE * _STEPS) - 0.5 * _STEPS).astype(np.int32)
        if inside is None:
            box = self._box(vertices, 1 + int(2.5 * soft * self.size))
            if box is None:
                return None
        else:
            box = (inside.rows, inside.columns)
        alpha = _coverage(vertices, box)
        if soft > 0.0:
            alpha = cv2.GaussianBlur(alpha, (0, 0), max(soft * self.size, 0.2))
        alpha = np.multiply(alpha, np.float32(1 / 255), dtype=np.float32)
        if inside is not None:
            alpha *= inside.alpha
        return Patch(box[0], box[1], alpha)

    def _box(self, vertices: np.ndarray, pad: int) -> tuple[slice, slice] | None:
        """Rows and columns that hold the polygon, ``None`` where it lies outside of the picture."""
        x, y, width, height = cv2.boundingRect(vertices)
        pixel = _FINE * _STEPS
        left, right = max(x // pixel - pad, 0), min((x + width) // pixel + 1 + pad, self.size)
        top, bottom = max(y // pixel - pad, 0), min((y + height) // pixel + 1 + pad, self.size)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def paint(self, patch: Patch | None, colour: object, opacity: float = 1.0) -> None:
        """Mix ``colour`` in where the patch covers.

        Args:
            patch: Where; ``None`` paints nothing.
            colour: (3,) or planes (3, size, size) from which the patch's box is taken.
            opacity: 0 to 1.
        """
        if patch is None:
            return
        view = self.planes[:, patch.rows, patch.columns]
        paint = np.asarray(colour, np.float32)
        paint = paint[:, None, None] if paint.ndim == 1 else paint[:, patch.rows, patch.columns]
        alpha = patch.alpha if opacity == 1.0 else patch.alpha * np.float32(opacity)
        view += alpha * (paint - view)

    def darken(self, patch: Patch | None, factor: object) -> None:
        """Multiply by ``factor``, a scalar or per colour (3,), where the patch covers."""
        if patch is None:
            return
        loss = (1.0 - np.asarray(factor, np.float32)).reshape(-1, 1, 1)
        self.planes[:, patch.rows, patch.columns] *= 1.0 - patch.alpha * loss

    def mark(self, patch: Patch | None, label: int, only_face: bool = False) -> None:
        """Set the label where the patch covers at least half of a pixel.

        Args:
            patch: Where; ``None`` marks nothing.
            label: The label to set.
            only_face: Leave background (0) and hair (10) as they are.
        """
        if patch is None:
            return
        view = self.labels[patch.rows, patch.columns]
        where = patch.alpha >= 0.5
        if only_face:
            where &= (view > 0) & (view < 10)
        view[where] = label


def _coverage(vertices: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Share of each pixel of the box that a polygon covers, uint8, 0 to 255."""
    (top, bottom), (left, right) = ((part.start, part.stop) for part in box)
    fine = np.zeros(((bottom - top) * _FINE, (right - left) * _FINE), np.uint8)
    moved = vertices - np.array((left, top), np.int32) * (_FINE * _STEPS)
    cv2.fillPoly(fine, [moved], 255, cv2.LINE_8, _SHIFT)
    return cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)


def fineness(size: int) -> np.float32:
    """Contrast, up to 1, of single hairs in a picture of this size: in small ones they average out."""
    return np.float32(min(1.0, size / 160.0))


@lru_cache(maxsize=16)
def noise_table(side: int, kind: str) -> np.ndarray:
    """A fixed table of texture, float32 (side, side), mean 0 and standard deviation 1.

    Args:
        side: Height and width.
        kind: 'white' for independent pixels, 'strand' for streaks along y, 'blotch' and 'speck' for
            spots some five and two pixels wide.

    Returns:
        The table, not to be written to; it tiles without seams.
    """
    noise = np.random.default_rng(20250610).standard_normal((side, side)).astype(np.float32)
    if kind != 'white':
        sigma = {'strand': (0.8, side / 9), 'blotch': (2.2, 2.2), 'speck': (1.1, 1.1)}[kind]
        wide = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
        noise = np.asarray(wide[side : 2 * side, side : 2 * side], np.float32)
    table = np.ascontiguousarray((noise - noise.mean()) / noise.std())
    table.flags.writeable = False
    return table


def noise_crop(size: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A random (size, size) window of a noise table: far cheaper than drawing the numbers anew."""
    side = 512
    while side < size + 64:
        side *= 2
    y, x = rng.integers(0, side - size, 2)
    return noise_table(side, kind)[y : y + size, x : x + size]
