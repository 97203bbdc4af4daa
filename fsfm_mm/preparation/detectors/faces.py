"""Faces found in a picture: choosing among them, and cutting them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsfm_mm.ops.resizing import resize_image

#: Crops are this times the longer side of the face box (FSFM appendix; FaceForensics++).
CROP_MARGIN = 1.3
CHOICES = ('largest', 'best', 'all')


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Attributes:
        box: float64 (4,): left, top, right, bottom in pixels of the picture; may reach beyond it.
        score: Confidence of the detector, 0..1.
        landmarks: float64 (5, 2), x and y in pixels of the picture: right eye, left eye, tip of the nose, right
            and left corner of the mouth. Right is the *person's* right, on the picture's left. None where the
            detector gives none.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray | None = None

    @property
    def area(self) -> float:
        """Area of the box in pixels."""
        left, top, right, bottom = self.box
        return float(max(right - left, 0) * max(bottom - top, 0))


def choose_faces(faces: Sequence[Face], choice: str = 'largest', min_score: float = 0.0) -> list[Face]:
    """Choose whom to cut out, in an order that does not depend on the detector's.

    Args:
        faces: What a detector found in one picture.
        choice: 'largest' (area of the box), 'best' (score) or 'all' (largest first).
        min_score: Faces below are left out.

    Returns:
        At most one face, or all; ties go to the face further up, then further left.

    Raises:
        ValueError: For an unknown choice.
    """
    if choice not in CHOICES:
        raise ValueError(f'the choice of faces must be one of {", ".join(CHOICES)}, but is {choice!r}.')

    def rank(face: Face) -> tuple:
        first = (-face.score, -face.area) if choice == 'best' else (-face.area, -face.score)
        return (*first, face.box[1], face.box[0])

    chosen = sorted((face for face in faces if face.score >= min_score), key=rank)
    return chosen if choice == 'all' else chosen[:1]


def crop_square(
    box: Sequence[float] | np.ndarray, width: int, height: int, margin: float = CROP_MARGIN
) -> tuple[int, int, int, int]:
    """Square about a face box, clipped to the picture; a square still, as in FaceForensics++.

    The side is ``margin`` times the longer side of the box. A square that reaches over the picture's left or
    top edge begins at that edge, and one that reaches over the right or bottom edge gets shorter.

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
    if not (right > left and bottom > top and right > 0 and bottom > 0 and left < width and top < height):
        raise ValueError(f'the box {[left, top, right, bottom]} holds nothing of a {width}x{height} picture.')
    side = max(int(max(right - left, bottom - top) * margin), 1)
    x0 = min(max(int((left + right) / 2 - side / 2), 0), width - 1)
    y0 = min(max(int((top + bottom) / 2 - side / 2), 0), height - 1)
    side = min(side, width - x0, height - y0)
    return x0, y0, x0 + side, y0 + side


def cut_out(picture: np.ndarray, square: tuple[int, int, int, int], size: int | None = None) -> np.ndarray:
    """Cut a square out of a picture and resize it.

    Args:
        picture: uint8 (H, W, 3).
        square: Left, top, right, bottom inside the picture, see :func:`crop_square`.
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
