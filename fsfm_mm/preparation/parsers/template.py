"""A parser without weights: a mean face laid over five landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsfm_mm.ops.alignment import similarity
from fsfm_mm.preparation.parsers.base import FaceParser, usable_points
from fsfm_mm.preparation.parsers.colours import fill, refine, rounded
from fsfm_mm.regions import BACKGROUND, HAIR, LABEL_NAMES, SKIN
from fsfm_mm.registry import FACE_PARSERS

#: The five landmarks of the mean face: right eye, left eye, tip of the nose, right and left corner of the mouth.
#: Its unit is the distance of the eyes, its origin is between them; x grows to the picture's right, y downwards.
MEAN_POINTS = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.54], [-0.46, 0.94], [0.46, 0.94]])
#: Where the five points lie on average in a square crop of 1.3 times a detected face, in widths of the crop.
DEFAULT_POINTS = np.array([[0.365, 0.42], [0.635, 0.42], [0.5, 0.565], [0.376, 0.674], [0.624, 0.674]])

# Outlines of the mean face's right half of the picture (the person's left), from top to bottom; the other half is
# its mirror image. Fitted by eye to 280 parsing maps of portraits that were aligned by their landmarks.
_HEAD = [
    *((0.0, -1.74), (0.4, -1.69), (0.78, -1.5), (1.06, -1.14), (1.2, -0.7), (1.23, -0.3)),
    *((1.16, 0.0), (0.9, 0.3)),
]
_FACE = [
    *((0.0, -1.15), (0.4, -1.12), (0.68, -1.0), (0.86, -0.72), (0.95, -0.3), (1.0, -0.02)),
    *((1.1, 0.02), (1.19, 0.16), (1.14, 0.5), (1.01, 0.72), (0.98, 0.95), (0.84, 1.25), (0.66, 1.48)),
    *((0.42, 1.67), (0.2, 1.76), (0.0, 1.78)),
]
_NOSE = [
    *((0.0, -0.03), (0.09, -0.01), (0.15, 0.16), (0.18, 0.29), (0.25, 0.4), (0.33, 0.51), (0.34, 0.57)),
    *((0.27, 0.64), (0.13, 0.7), (0.0, 0.71)),
]
_LIPS_TOP = [(0.0, 0.86), (0.08, 0.85), (0.2, 0.86), (0.33, 0.89), (0.4, 0.93)]
_UPPER_EDGE = [(0.0, 0.975), (0.2, 0.97), (0.32, 0.96), (0.4, 0.95)]
_LOWER_EDGE = [(0.0, 1.08), (0.15, 1.07), (0.28, 1.025), (0.4, 0.96)]
_LIPS_BOTTOM = [(0.0, 1.23), (0.1, 1.225), (0.22, 1.19), (0.33, 1.11), (0.4, 0.97)]
_EYE = [
    *((0.35, 0.015), (0.4, -0.035), (0.47, -0.055), (0.55, -0.045), (0.61, -0.005), (0.615, 0.04)),
    *((0.55, 0.085), (0.46, 0.09), (0.38, 0.06)),
]
_BROW = [
    *((0.2, -0.19), (0.24, -0.25), (0.34, -0.295), (0.48, -0.32), (0.62, -0.315), (0.74, -0.26)),
    *((0.79, -0.18), (0.74, -0.125), (0.6, -0.115), (0.42, -0.11), (0.26, -0.105)),
]


def _both_halves(half: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A half outline from top to bottom, and back up along its mirror image."""
    return [*half, *((-x, y) for x, y in reversed(half) if x > 0)]


def _strip(
    top: Sequence[tuple[float, float]], bottom: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The area between two lines, each given from the middle to its end, both halves."""
    right = [*top, *reversed(bottom)]
    return [*right, *((-x, y) for x, y in reversed(right) if x > 0)]


def _mean_face() -> list[tuple[int, np.ndarray]]:
    """Labels and outlines, back to front."""
    parts: list[tuple[str, list[tuple[float, float]]]] = [
        ('hair', _both_halves(_HEAD)),
        ('skin', _both_halves(_FACE)),
        ('nose', _both_halves(_NOSE)),
        ('left_brow', _BROW),
        ('right_brow', [(-x, y) for x, y in _BROW]),
        ('left_eye', _EYE),
        ('right_eye', [(-x, y) for x, y in _EYE]),
        ('lower_lip', _strip(_LIPS_TOP, _LIPS_BOTTOM)),
        ('upper_lip', _strip(_LIPS_TOP, _UPPER_EDGE)),
        ('inner_mouth', _strip(_UPPER_EDGE, _LOWER_EDGE)),
    ]
    return [(LABEL_NAMES.index(name), rounded(outline)) for name, outline in parts]


_PARTS = _mean_face()
_OUTLINES = np.concatenate([outline for _, outline in _PARTS])
_LABELS = np.concatenate([np.full(len(outline), label) for label, outline in _PARTS])
_ENDS = np.cumsum([len(outline) for _, outline in _PARTS])[:-1]
#: How far around a landmark the outlines follow it, in distances of the eyes.
_REACH = 0.35
#: A head that turns aside moves its nose one way and, seen from between the eyes, its silhouette the other way, as
#: it lies behind: by how much of the nose's way, at these heights of the face's outline; and of the hair's.
_TURN_HEIGHTS, _TURN_FACE = (-1.1, -0.2, 0.1, 0.5, 1.3, 1.8), (1.9, 2.2, 3.1, 3.0, 1.9, 1.7)
_TURN_HAIR = 2.9
#: The silhouette never moves further than this, so that the face keeps its eyes.
_MAX_TURN = 0.45


def _followers(outlines: np.ndarray) -> np.ndarray:
    """How much each point of the outlines moves with each landmark: Gaussian interpolation, (N, 5)."""

    def nearness(points: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(points[:, None] - MEAN_POINTS, axis=-1)
        return np.exp(-0.5 * (distance / _REACH) ** 2)

    return nearness(outlines) @ np.linalg.inv(nearness(MEAN_POINTS))


_FOLLOW = _followers(_OUTLINES)
_TURN = np.where(_LABELS == SKIN, np.interp(_OUTLINES[:, 1], _TURN_HEIGHTS, _TURN_FACE), 0.0)
_TURN[_LABELS == HAIR] = _TURN_HAIR


def template_outlines(points: np.ndarray) -> list[np.ndarray]:
    """The outlines of the mean face's parts where the landmarks say.

    The face is turned and scaled as a whole; then each part follows the landmarks near it the rest of the way
    (the mouth its corners, the nose its tip), which covers other proportions and heads turned aside.

    Args:
        points: float64 (5, 2), usable (see :func:`fsfm_mm.preparation.parsers.base.usable_points`).

    Returns:
        One float64 (N, 2) for each of the parts, in pixels, back to front.
    """
    move = similarity(MEAN_POINTS, points)
    turn, shift = move[:, :2], move[:, 2]
    rest = (points - shift) @ np.linalg.inv(turn).T - MEAN_POINTS
    outlines = _OUTLINES + _FOLLOW @ rest
    outlines[:, 0] -= np.clip(_TURN * rest[2, 0], -_MAX_TURN, _MAX_TURN)
    return np.split(outlines @ turn.T + shift, _ENDS)


def template_map(outlines: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Draw the mean face's parts.

    Args:
        outlines: As of :func:`template_outlines`.
        height: Height of the map in pixels.
        width: Width of the map in pixels.

    Returns:
        uint8 (height, width), labels 0..10.
    """
    labels = np.full((height, width), BACKGROUND, np.uint8)
    for (label, _), outline in zip(_PARTS, outlines, strict=True):
        fill(labels, outline, label)
    return labels


@FACE_PARSERS.register_module()
class TemplateParser(FaceParser):
    """Roughly right maps from five landmarks and the crop's colours, without any weights.

    A mean face is laid over the landmarks: turned, scaled, with the mouth, the nose and the silhouette following
    a head turned aside; then the borders of hair, skin and background move to where the colours change. Over the
    280 portraits that it was tuned on, against the maps of a small neural parser, the mean intersection over union
    is 0.86 for background, 0.81 skin, 0.62 hair, 0.69 nose, 0.35 to 0.41 for brows, eyes, lower lip and inner mouth
    and 0.27 for the upper lip. Good for choosing which patches to mask; not for measuring anything.

    Args:
        colours: Move the borders of hair, skin and background by their colours; False draws the mean face alone.
        default_landmarks: Where a crop comes without usable landmarks, take their average place in a crop of 1.3
            times the face: for pictures that are such crops already. False gives such a crop no map.
    """

    presets = {'template': {}}
    limits = 'a mean face laid over five landmarks: good for choosing patches to mask, not for measuring'
    needs_landmarks = True

    def __init__(self, colours: bool = True, default_landmarks: bool = False) -> None:
        self.colours = colours
        self.default_landmarks = default_landmarks
        self.needs_landmarks = not default_landmarks

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Label some crops; see the base class."""
        return [self._one(crop, five) for crop, five in zip(crops, landmarks, strict=True)]

    def _one(self, crop: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray | None:
        """The map of one crop, or None without landmarks."""
        height, width = crop.shape[:2]
        points = usable_points(landmarks)
        if points is None and self.default_landmarks:
            points = usable_points(DEFAULT_POINTS * (width, height) - 0.5)
        if points is None:
            return None
        outlines = template_outlines(points)
        labels = template_map(outlines, height, width)
        if self.colours:
            head, face = outlines[:2]
            refine(labels, crop, head, face, similarity(MEAN_POINTS, points))
        return labels
