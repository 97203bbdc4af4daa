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

    def paint(
        self,
        outline: np.ndarray,
        colour: object,
        label: int | None = None,
        soft: float = 0.0,
        opacity: float = 1.0,
        inside: Patch | None = None,
    ) -> Patch:
        """Mix a colour in where a closed polygon covers and label what it covers by half and more.

        Args:
            outline: Vertices in the unit picture, float (n, 2).
            colour: (3,), or planes (3, size, size).
            label: The label, or none to leave the labels as they are.
            soft: Standard deviation of a blur of the edge, in head units.
            opacity: Share of the colour, 0 to 1.
            inside: Clip to this patch.

        Returns:
            The coverage.
        """
        patch = self._cover(outline, soft * self.unit * self.size, inside)
        view = self.planes[:, patch.rows, patch.columns]
        paint = np.asarray(colour, np.float32)
        paint = paint[:, None, None] if paint.ndim == 1 else paint[:, patch.rows, patch.columns]
        view += np.float32(opacity) * patch.alpha * (paint - view)
        if label is not None:
            self.labels[patch.rows, patch.columns][patch.alpha >= 0.5] = label
        return patch

    def _cover(self, outline: np.ndarray, soft: float, inside: Patch | None) -> Patch:
        """Coverage within the polygon's box, or within the box of ``inside``; ``soft`` is in pixels."""
        pixel = _FINE << _SHIFT
        # cv2 puts integer coordinates at pixel centres, the unit picture at pixel corners.
        vertices = np.rint(outline * (self.size * pixel) - 0.5 * (1 << _SHIFT)).astype(np.int32)
        if inside is None:
            pad = 1 + int(2.5 * soft)
            start = np.clip(vertices.min(axis=0) // pixel - pad, 0, self.size - 1)
            stop = np.clip(vertices.max(axis=0) // pixel + pad + 1, start + 1, self.size)
            columns, rows = (slice(*ends) for ends in np.stack([start, stop], axis=1).tolist())
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


@lru_cache(maxsize=4)
def noise_table(blur: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A fixed table of texture that tiles without seams.

    Args:
        blur: Standard deviations along x and y in pixels; zeros for independent pixels.

    Returns:
        float32 (512, 512), mean 0 and standard deviation 1, not to be written to.
    """
    noise = np.random.default_rng(20250610).standard_normal((512, 512)).astype(np.float32)
    if blur[0] > 0.0:
        wide = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), sigmaX=blur[0], sigmaY=blur[1])
        noise = np.asarray(wide[512:1024, 512:1024], np.float32)
    table = np.ascontiguousarray((noise - noise.mean()) / noise.std())
    table.flags.writeable = False
    return table


def noise_crop(size: int, rng: np.random.Generator) -> np.ndarray:
    """A random window (size, size) of the table of independent pixels: far cheaper than drawing them anew."""
    y, x = (np.arange(size) + rng.integers(512) for _ in range(2))
    return noise_table().take(y, 0, mode='wrap').take(x, 1, mode='wrap')
