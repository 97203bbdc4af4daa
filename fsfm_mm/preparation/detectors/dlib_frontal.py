"""dlib's frontal face detector, what the published downstream crops were made with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fsfm_mm.preparation.detectors.base import Face, FaceDetector, check_score
from fsfm_mm.registry import FACE_DETECTORS


@FACE_DETECTORS.register_module()
class DlibFrontal(FaceDetector):
    """dlib's HOG detector: upright faces seen from the front, at least 80 pixels large, without landmarks.

    The score is dlib's, a distance without bounds, through a logistic function: the order is dlib's, and 0.5 is its
    own threshold.

    Args:
        upsample: How often a picture is doubled first; each time faces of half the size are found, in four
            times the time. 1 finds faces from 40 pixels, as FaceForensics++ does.
        min_score: Faces with a lower score are left out, 0.5..1.

    Raises:
        ValueError: For an argument out of its range.
    """

    presets = {'dlib': {}}
    gives_landmarks = False

    def __init__(self, upsample: int = 1, min_score: float = 0.5) -> None:
        if upsample < 0:
            raise ValueError(f'DlibFrontal: upsample must be 0 or more, but is {upsample}.')
        check_score('DlibFrontal', min_score)
        self.upsample, self.min_score = upsample, min_score
        self._network: Any = None

    def prepare(self) -> None:
        """Load the detector; its weights are part of dlib.

        Raises:
            ValueError: dlib is not installed.
        """
        if self._network is not None:
            return
        try:
            import dlib
        except ImportError as error:
            raise ValueError(
                'DlibFrontal needs dlib: `pip install dlib-bin` (or dlib, which is compiled on your machine), or take '
                'the detector YuNet.'
            ) from error
        self._network = dlib.get_frontal_face_detector()

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """Find the faces in some pictures; see the base class."""
        self.prepare()
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture: np.ndarray) -> list[Face]:
        rgb = np.ascontiguousarray(picture[:, :, ::-1])
        boxes, distances, _ = self._network.run(rgb, self.upsample, 0.0)
        faces = []
        for box, distance in zip(boxes, distances):
            score = 1 / (1 + float(np.exp(-distance)))
            # right and bottom are the last pixels inside; taken as edges, as in FaceForensics++'s crops
            corners = np.array([box.left(), box.top(), box.right(), box.bottom()], np.float64)
            if score >= self.min_score:
                faces.append(Face(corners, score))
        return faces
