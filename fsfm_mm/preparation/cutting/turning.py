"""Faces that lie on their side or upside down: what they look like to a detector, and setting them upright.

Detectors mark turned faces with the landmarks of upright ones, so the landmarks alone do not tell: a face that scores
less than upright ones do is looked at in all four turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from fsfm_mm.preparation.detectors.base import Face, FaceDetector

#: What is looked at about a face, in longer sides of its box, beyond it on each side.
_ABOUT = 0.75
#: By so much a turned view must score better: of 220 upright faces that are blurred, small or in profile, one turned
#: view scored better at all, by .01; of 14 portraits upside down, which score .81 to .90, all but two gain so much.
_GAIN = 0.03
#: Least overlap (IoU) of the face that is found in a turned view with the one it is about.
_SAME = 0.3


def turn_picture(picture: np.ndarray, quarters: int) -> np.ndarray:
    """Turn a picture uint8 (H, W, 3) clockwise by quarters of a circle."""
    return np.ascontiguousarray(np.rot90(picture, -quarters))


def roll_of(landmarks: np.ndarray | None) -> float:
    """By how many degrees, -180..180, a face is turned clockwise: the way from its eyes to its mouth; 0 without any."""
    if landmarks is None:
        return 0.0
    points = np.asarray(landmarks, np.float64)
    across, down = points[3:].mean(0) - points[:2].mean(0)
    return float(np.degrees(np.arctan2(-across, down)))


def quarters_of(picture: np.ndarray, face: Face, detector: FaceDetector, aligned: bool = False) -> int:
    """Quarters of a circle by which a picture is to be turned clockwise to set a face upright, 0..3.

    Args:
        picture: uint8 (H, W, 3) BGR.
        face: One of its faces.
        detector: Who found it.
        aligned: The face will be turned by its landmarks anyway: only landmarks that are wrong count.
    """
    quarters, roll = 0, roll_of(face.landmarks)
    if detector.upright_score is not None and face.score < detector.upright_score:
        view, box = _about(picture, face.box)
        views = [turn_picture(view, n) for n in range(4)]
        best = [
            max(
                (f for f in faces if _overlap(f.box, _turned(box, view.shape, n)) > _SAME),
                key=_score,
                default=None,
            )
            for n, faces in enumerate(detector.detect(views))
        ]
        scores = [0.0 if found is None else found.score for found in best]
        top = best[int(np.argmax(scores))]
        if top is not None and max(scores) > scores[0] + _GAIN:
            quarters, roll = int(np.argmax(scores)), roll_of(top.landmarks)
    return quarters if aligned else round(quarters - roll / 90) % 4


def quarters_of_faceless(picture: np.ndarray, detector: FaceDetector) -> int:
    """The same of a picture in which no face is found as it is; 0 where none is found in any turn."""
    if detector.upright_score is None:
        return 0
    found = detector.detect([turn_picture(picture, n) for n in (1, 2, 3)])
    scores = [0.0, *(max(map(_score, faces), default=0.0) for faces in found)]
    return int(np.argmax(scores)) if max(scores) >= detector.upright_score else 0


def most_common(quarters: Iterable[int]) -> int:
    """The turn of a video whose frames were looked at one by one: that of more than half of them, else 0."""
    counts = Counter(quarters)
    turn, count = max(counts.items(), key=lambda pair: pair[1], default=(0, 0))
    return turn if 2 * count > counts.total() else 0


def turned_by(quarters: int) -> str:
    """For a message: how a face lies that so many quarters clockwise set upright."""
    return f'the face is turned clockwise by about {(360 - 90 * quarters) % 360} degrees'


def _score(face: Face) -> float:
    return float(face.score)


def _about(picture: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture about a box, and the box in it."""
    height, width = picture.shape[:2]
    reach = _ABOUT * max(box[2] - box[0], box[3] - box[1])
    left, top = int(max(box[0] - reach, 0)), int(max(box[1] - reach, 0))
    right, bottom = int(min(box[2] + reach, width)) + 1, int(min(box[3] + reach, height)) + 1
    return np.ascontiguousarray(picture[top:bottom, left:right]), np.asarray(box) - [left, top, left, top]


def _turned(box: np.ndarray, shape: tuple[int, ...], quarters: int) -> np.ndarray:
    """A box where the picture of a shape is turned clockwise."""
    height, width = shape[:2]
    for _ in range(quarters):
        box = np.array([height - box[3], box[0], height - box[1], box[2]])
        height, width = width, height
    return box


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    both = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / both if both > 0 else 0.0
