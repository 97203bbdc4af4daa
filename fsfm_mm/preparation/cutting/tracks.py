"""Choosing whom to cut out: a face of a picture, a person of a video, who stays one through its chosen frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from fsfm_mm.preparation.detectors.base import Face
from fsfm_mm.preparation.settings import CHOICES

#: The largest dissimilarity at which two faces may be one person, see :func:`dissimilarity`. Chosen frames lie
#: seconds apart, so people move: two widths of a face, or from half to double the size and one width.
MAX_DISSIMILARITY = 2.0
#: A box of which more lies in a larger one is of the same face.
_DOUBLE = 0.7
#: Grey level from which on a pixel of a mask counts: compression leaves neither black nor white.
_BRIGHT = 64


def choose_faces(faces: Sequence[Face], choice: str = 'largest') -> list[Face]:
    """Choose whom to cut out, in an order that does not depend on the detector's.

    Args:
        faces: What a detector found in one picture.
        choice: 'largest' (area of the box), 'best' (score) or 'all' (largest first).

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

    chosen = sorted(faces, key=rank)
    return chosen if choice == 'all' else chosen[:1]


def under_mask(faces: Sequence[Face], mask: np.ndarray | None) -> list[Face]:
    """The face of a picture that a mask shows.

    Args:
        faces: What a detector found.
        mask: uint8 (H, W, 3) of the picture's size, bright where it is; None where there is none.

    Returns:
        The face whose box holds most of the bright pixels, where that is half of them at least; else none.
    """
    if mask is None:
        return []
    rows, columns = np.nonzero(mask.max(axis=2) >= _BRIGHT)

    def held(face: Face) -> float:
        left, top, right, bottom = face.box
        return float(((columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)).mean())

    best = max(faces, key=held, default=None) if len(rows) else None
    return [best] if best is not None and held(best) >= 0.5 else []


def without_doubles(faces: Sequence[Face]) -> list[Face]:
    """Leave out boxes that lie mostly (70% of their area) in a larger one: a detector's second box of the same face."""
    kept: list[Face] = []
    for face in choose_faces(faces, 'all'):
        if all(_share_inside(face.box, other.box) <= _DOUBLE for other in kept):
            kept.append(face)
    return kept


def _share_inside(box: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    area = float(np.prod(np.maximum(box[2:] - box[:2], 1e-6)))
    return float(np.prod(np.maximum(sides, 0))) / area


def dissimilarity(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """How unlike boxes are in place and size.

    The distance of the centres over the mean side of the two boxes, plus the absolute logarithm (base 2) of
    the ratio of their sides; 0 for equal boxes. A side is the root of the area. Unlike the overlap (IoU) this still
    tells near from far when a face has moved by more than its width.

    Args:
        first: n boxes (4,): left, top, right, bottom.
        second: m boxes.

    Returns:
        float64 (n, m).
    """
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    side_a, side_b = _sides(a), _sides(b)
    centres = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = np.hypot(centres[..., 0], centres[..., 1]) / ((side_a + side_b) / 2)
    return distance + np.abs(np.log2(side_a / side_b))


def _sides(boxes: np.ndarray) -> np.ndarray:
    extent = np.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6)
    return np.sqrt(extent[..., 0] * extent[..., 1])


@dataclass
class Tracker:
    """Gives every face of a video the number of its track, frame by frame.

    A face continues the track whose last face it is least unlike, all faces of a frame taken together (the
    assignment of least total dissimilarity); otherwise it begins a track. A track waits where it was last seen,
    however long the person is out of view. Who sits down in another's place is taken for that person: faces are
    not compared by their looks.

    Attributes:
        max_dissimilarity: Faces that are more unlike than this are different people.
    """

    max_dissimilarity: float = MAX_DISSIMILARITY

    def __post_init__(self) -> None:
        self._last: list[np.ndarray] = []

    def update(self, faces: Sequence[Face]) -> list[int]:
        """Take in the next frame.

        Args:
            faces: All faces of the frame, in any order.

        Returns:
            The number of each face's track, from 0 in the order of appearance; different ones within a frame.
        """
        tracks = [-1] * len(faces)
        if faces and self._last:
            costs = dissimilarity([face.box for face in faces], self._last)
            allowed = costs <= self.max_dissimilarity
            # a pair that is not allowed costs as much as the worst one that is: as many pairs as possible at
            # any price would push a whole row of people one seat further
            rows, columns = linear_sum_assignment(np.where(allowed, costs, self.max_dissimilarity))
            for row, column in zip(rows.tolist(), columns.tolist()):
                if allowed[row, column]:
                    tracks[row] = column
        for number, face in enumerate(faces):
            if tracks[number] < 0:
                tracks[number] = len(self._last)
                self._last.append(face.box)
            else:
                self._last[tracks[number]] = face.box
        return tracks


def choose_track(
    frames: Sequence[Sequence[Face]], choice: str = 'largest', votes: Sequence[bool] | None = None
) -> list[list[tuple[int, Face]]]:
    """Choose whom to cut out of a video: a person, not a face in each frame.

    Args:
        frames: The faces of each frame, in order.
        choice: 'largest' (the track with the largest total area), 'best' (the largest total score) or 'all'.
        votes: Which frames the totals are of; None for all of them, as where there is no face in those.

    Returns:
        For each frame its chosen faces with the rank of their track, 0 for the first chosen, ascending. Ranks
        with 'all' go by total area. Empty where the chosen person is not seen.

    Raises:
        ValueError: For an unknown choice.
    """
    if choice not in CHOICES:
        raise ValueError(f'the choice of faces must be one of {", ".join(CHOICES)}, but is {choice!r}.')
    tracker = Tracker()
    numbered = [list(zip(tracker.update(faces), faces)) for faces in frames]
    if votes is None or not any(vote and faces for vote, faces in zip(votes, frames)):
        votes = [True] * len(frames)
    totals: dict[int, float] = {}
    for vote, pairs in zip(votes, numbered):
        for track, face in pairs:
            totals[track] = totals.get(track, 0.0) + vote * (face.score if choice == 'best' else face.area)
    ranked = sorted(totals, key=lambda track: (-totals[track], track))
    rank = {track: place for place, track in enumerate(ranked if choice == 'all' else ranked[:1])}
    return [
        sorted(((rank[track], face) for track, face in pairs if track in rank), key=lambda pair: pair[0])
        for pairs in numbered
    ]
