"""No detector: the pictures are crops of faces already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.registry import FACE_DETECTORS


@FACE_DETECTORS.register_module()
class NoDetector(FaceDetector):
    """One face in each picture: all of it, or its centred square where it is none; no landmarks.

    Args:
        as_stored: Take pictures whole where they are no squares, too, and with their pixels as they are stored
            (no EXIF orientation): they are faces of a data set.
        only_size: Stop at such a picture of another side in pixels; None resizes it.
    """

    presets = {'none': {}}
    gives_landmarks = False
    crops_already = True

    def __init__(self, as_stored: bool = False, only_size: int | None = None) -> None:
        self.as_stored, self.only_size = as_stored, only_size

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """One face a picture; see the base class."""
        return [[Face(_centred_square(*picture.shape[:2]), 1.0)] for picture in pictures]


def _centred_square(height: int, width: int) -> np.ndarray:
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return np.array([left, top, left + side, top + side], np.float64)
