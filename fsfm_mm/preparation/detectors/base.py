"""What every face detector offers, and what some of them share."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np


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


class FaceDetector(abc.ABC):
    """Finds faces in pictures.

    A detector is built from a config such as ``dict(type='YuNet', min_score=0.6)`` in every worker process; the
    models are loaded at the first :meth:`detect`, so that building one is cheap and tells wrong arguments early.
    The same picture always gives the same faces, whatever came before it.
    """

    #: Names on the command line, each with the arguments that it stands for; none: chosen in configs only.
    presets: Mapping[str, Mapping[str, Any]] = {}
    #: Whether faces come with their five landmarks; None where that is not known before.
    gives_landmarks: bool | None = None
    #: Whether the pictures are crops of faces: their boxes are to be cut out as they are, without a margin.
    crops_already: bool = False
    #: Whether pictures are taken whole and with their pixels as they are stored, as training reads them.
    as_stored: bool = False
    #: Score that upright faces hardly ever fall below and turned ones hardly ever reach: a face below it is looked at
    #: turned, too. None where that is not known.
    upright_score: float | None = None
    #: The only side of such pictures that is taken; None where others are resized.
    only_size: int | None = None

    @abc.abstractmethod
    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """Find the faces in some pictures.

        Args:
            pictures: uint8 (H, W, 3) BGR each; sizes may differ.

        Returns:
            For each picture its faces, in any order; an empty list where there is none.
        """

    def prepare(self) -> None:  # noqa: B027 - most detectors fetch nothing
        """Fetch and load the weights now, with a ValueError or ConnectionError that says what to do instead."""


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
