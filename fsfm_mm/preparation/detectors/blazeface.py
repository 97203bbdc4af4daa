"""BlazeFace (arXiv 1907.05047), MediaPipe's short-range face detector, out of a wheel on PyPI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.preparation.detectors.base import Face, FaceDetector, check_score, shrunk
from fsfm_mm.preparation.mediapipe import (
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE_TIP,
    RIGHT_EYE,
    Network,
    mesh_network,
    mesh_points,
)
from fsfm_mm.registry import FACE_DETECTORS

_SIDE = 128
#: Cells across the picture, and anchors in each.
_GRIDS = ((16, 2), (8, 6))
#: YuNet's box over BlazeFace's, and how much higher its middle lies, in sides of BlazeFace's: measured on 60 portraits
#: and 100 CelebAMask-HQ faces, so that crops show the same, whoever found the face.
_LARGER, _HIGHER = 1.23, 0.105
#: Side of the square that the mesh looks at over BlazeFace's box.
_MESH_ROOM = 1.5


def _anchors() -> np.ndarray:
    """Centres of the 896 anchors in the network's order: float64 (896, 2), x and y in pixels of its input."""
    parts = []
    for cells, count in _GRIDS:
        middle = (np.arange(cells) + 0.5) / cells
        parts.append(np.repeat(np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2), count, 0))
    return np.concatenate(parts) * _SIDE


_ANCHORS = _anchors()


@FACE_DETECTORS.register_module()
class BlazeFace(FaceDetector):
    """MediaPipe's short-range BlazeFace with the landmarks of its face mesh: fetched through pip, no hub is needed.

    The network sees faces from about 1/7 of the longer side of what it looks at: the picture, then overlapping
    squares of half that side, then of a quarter. A face that the mesh does not confirm is left out. Boxes are brought
    to YuNet's size and place, so that crops show the same.

    Args:
        weights: A wheel of mediapipe 0.10.21, for any interpreter and machine; None fetches it once with pip and keeps
            the networks in the cache of weights.
        min_score: Faces with a lower score are left out, 0..1.
        nms: Of faces that overlap by more than this IoU only the best is kept, 0..1.
        levels: How often squares are halved, 1..4: 1 looks at the whole picture only, 2 finds faces from 1/14 of its
            longer side, in seven to ten times the time.

    Raises:
        ValueError: For an argument out of its range.
    """

    presets = {'blazeface': {}}
    gives_landmarks = True

    def __init__(
        self,
        weights: str | Path | None = None,
        min_score: float = 0.5,
        nms: float = 0.3,
        levels: int = 2,
    ) -> None:
        check_score('BlazeFace', min_score)
        if not 0 <= nms <= 1:
            raise ValueError(f'BlazeFace: nms must lie within 0 and 1, but is {nms}.')
        if not 1 <= levels <= 4:
            raise ValueError(f'BlazeFace: levels must lie within 1 and 4, but is {levels}.')
        self.weights, self.min_score, self.nms, self.levels = weights, min_score, nms, levels
        self._networks: tuple[Network, Network] | None = None

    def prepare(self) -> None:
        """Fetch the networks where needed and load them.

        Raises:
            ValueError: The wheel is missing or another one, or OpenCV cannot read its networks.
            ConnectionError: pip cannot fetch it.
        """
        if self._networks is None:
            option = '--detector-weights'
            blaze = Network('face_detection_short_range.tflite', self.weights, option)
            self._networks = blaze, mesh_network(self.weights, option)

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """Find the faces in some pictures; see the base class."""
        self.prepare()
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture: np.ndarray) -> list[Face]:
        rows = np.concatenate([self._look(picture, *window) for window in _windows(picture, self.levels)])
        if not len(rows):
            return []
        boxes = [[*row[:2], *(row[2:4] - row[:2])] for row in rows]
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 8].tolist(), self.min_score, self.nms)
        faces = (self._face(picture, rows[number]) for number in np.asarray(kept, int).reshape(-1))
        return [face for face in faces if face is not None]

    def _look(self, picture: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
        """Candidates in a square of the picture: float64 (N, 9), box, both eyes, score, in the picture's pixels."""
        assert self._networks is not None
        blaze, _ = self._networks
        part = picture[max(top, 0) : top + side, max(left, 0) : left + side]
        small, scale = shrunk(part, _SIDE)
        if max(small.shape[:2]) < _SIDE:  # a picture smaller than what the network sees
            factor = _SIDE / max(small.shape[:2])
            size = tuple(max(round(length * factor), 1) for length in small.shape[1::-1])
            small = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
            scale = np.array(part.shape[1::-1]) / size
        square = np.zeros((_SIDE, _SIDE, 3), np.uint8)
        down, across = ((_SIDE - length) // 2 for length in small.shape[:2])
        square[down : down + small.shape[0], across : across + small.shape[1]] = small
        blob = cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5,) * 3, swapRB=True)
        score = 1 / (1 + np.exp(-np.clip(blaze(blob, 'classificators').ravel().astype(np.float64), -50, 50)))
        sure = score >= self.min_score
        if not sure.any():
            return np.empty((0, 9))
        values = blaze(blob, 'regressors')[0, sure].astype(np.float64)
        half = values[:, 2:4] / 2
        points = np.stack([values[:, :2] - half, values[:, :2] + half, values[:, 4:6], values[:, 6:8]], 1)
        points = (points + _ANCHORS[sure][:, None] - (across, down)) * scale
        points += (max(left, 0), max(top, 0))
        return np.concatenate([points.reshape(-1, 8), score[sure][:, None]], 1)

    def _face(self, picture: np.ndarray, row: np.ndarray) -> Face | None:
        """The face of a candidate with the mesh's landmarks; None where the mesh sees none."""
        assert self._networks is not None
        _, mesh = self._networks
        low, high, right, left = row[:8].reshape(4, 2)
        middle, side = (low + high) / 2, float((high - low).max())
        along = (left - right) / max(float(np.hypot(*(left - right))), 1e-6)
        points, logit = mesh_points(mesh, picture, middle - 0.5, along * side * _MESH_ROOM / 2)
        if logit < 0:
            return None
        middle = middle + np.array([along[1], -along[0]]) * _HIGHER * side
        half = side * _LARGER / 2
        five = [points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0), points[NOSE_TIP]]
        landmarks = np.stack([*five, *points[list(MOUTH_CORNERS)]])
        return Face(np.concatenate([middle - half, middle + half]), float(row[8]), landmarks)


def _windows(picture: np.ndarray, levels: int) -> Iterator[tuple[int, int, int]]:
    """Left, top and side of the squares to look at: the whole, then overlapping ones of half the side, and so on."""
    height, width = picture.shape[:2]
    for level in range(levels):
        side = -(-max(height, width) // 2**level)
        if level and side < _SIDE:
            return
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield left, top, side


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along one side of a picture, so that they overlap by half at least."""
    count = max(-(-2 * (length - side) // side), 0) + 1
    return [round(number * (length - side) / (count - 1)) for number in range(count)] if count > 1 else [0]
