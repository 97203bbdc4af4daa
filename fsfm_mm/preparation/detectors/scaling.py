"""Large pictures are made smaller before they are searched."""

from __future__ import annotations

import cv2
import numpy as np


def shrunk(picture: np.ndarray, max_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a picture whose longer side is above ``max_side``; smaller ones stay as they are.

    Args:
        picture: uint8 (H, W, 3).
        max_side: Longer side of the result in pixels, at most.

    Returns:
        The picture, and float64 (2,): what x and y in it are to be multiplied with.
    """
    height, width = picture.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return picture, np.ones(2)
    small = (max(round(width * factor), 1), max(round(height * factor), 1))
    resized = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return resized, np.array([width / small[0], height / small[1]])


def check_score(detector: str, min_score: float) -> None:
    """Refuse a score that is none.

    Raises:
        ValueError: It does not lie within 0 and 1.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f'{detector}: min_score must lie within 0 and 1, but is {min_score}.')
