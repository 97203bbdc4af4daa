"""Whether five landmarks can place a face."""

from __future__ import annotations

import numpy as np

#: Width of the eyes plus height from eyes to mouth, in pixels, below which there is nothing to label.
MIN_EXTENT = 4.0


def usable_points(landmarks: np.ndarray | None) -> np.ndarray | None:
    """The landmarks as numbers, where a face can be placed by them.

    Args:
        landmarks: (5, 2) in the crop's pixels, see :class:`fsfm_mm.preparation.detectors.faces.Face`, or None.

    Returns:
        float64 (5, 2); None for no landmarks, and for points that fall together or stand as in a mirror (right
        and left exchanged), which no turned head can show.

    Raises:
        ValueError: The array has another shape.
    """
    if landmarks is None:
        return None
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f'expected five landmarks, an array (5, 2), found the shape {points.shape}.')
    if not np.isfinite(points).all():
        return None
    across = points[1] - points[0]
    down = points[3:].mean(0) - points[:2].mean(0)
    extent = np.hypot(*across) + np.hypot(*down)
    # upright means: turned by a quarter, "down" points as "across" does
    agreement = np.hypot(across[0] + down[1], across[1] - down[0])
    return points if extent >= MIN_EXTENT and agreement >= extent / 4 else None
