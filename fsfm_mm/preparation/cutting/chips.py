"""Face chips as the anti-spoofing protocols have them: aligned by five landmarks, or without their black borders."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.ops.alignment import similarity

#: Where the five points lie in the mean face of MTCNN's chips, in sides of the face's square, in the order of
#: ``Face.landmarks``.
CHIP_POINTS = np.array(
    [
        (0.224152, 0.2119465),
        (0.75610125, 0.2119465),
        (0.490127, 0.628106),
        (0.254149, 0.780233),
        (0.726104, 0.780233),
    ]
)
#: Grey levels up to which a pixel counts as black: compression leaves no pure black.
_BLACK = 10


def chip_points(size: int, padding: float) -> np.ndarray:
    """Where a chip has its five landmarks, float64 (5, 2) in pixels.

    Args:
        size: Side of the chip in pixels.
        padding: What is added to the face's square on each side, in sides of the square.
    """
    return (padding + CHIP_POINTS) / (2 * padding + 1) * size


def cut_chip(
    picture: np.ndarray, landmarks: np.ndarray, size: int, padding: float
) -> tuple[np.ndarray, np.ndarray]:
    """Turn, scale and cut a face so that its landmarks come nearest to those of the mean face (least squares).

    Args:
        picture: uint8 (H, W, 3).
        landmarks: float (5, 2) in pixels of the picture.
        size: Side of the chip in pixels.
        padding: As for :func:`chip_points`.

    Returns:
        The chip, uint8 (size, size, 3), bilinear without antialiasing as published, black beyond the picture; and
        float64 (5, 2), the landmarks in it.
    """
    move = similarity(landmarks, chip_points(size, padding))
    chip = cv2.warpAffine(picture, move, (size, size), flags=cv2.INTER_LINEAR)
    return chip, np.asarray(landmarks, np.float64) @ move[:, :2].T + move[:, 2]


def without_black_borders(picture: np.ndarray) -> tuple[int, int, int, int] | None:
    """The least rectangle that holds all pixels which are not black.

    Args:
        picture: uint8 (H, W, 3).

    Returns:
        Left, top, right, bottom in whole pixels; None for a picture that is black all over.
    """
    bright = picture.max(axis=2) > _BLACK
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
