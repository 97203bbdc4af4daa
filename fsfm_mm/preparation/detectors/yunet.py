"""YuNet (Machine Intelligence Research 2023), the face detector that comes with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.files import weights_file
from fsfm_mm.files.pictures import only_errors
from fsfm_mm.preparation.detectors.base import Face, FaceDetector, check_score, shrunk
from fsfm_mm.registry import FACE_DETECTORS

URL = (
    'https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/'
    'face_detection_yunet_2023mar.onnx'
)
SHA256 = '8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4'
#: Candidates before the suppression of overlapping ones, OpenCV's default.
_TOP_K = 5000


@FACE_DETECTORS.register_module()
class YuNet(FaceDetector):
    """OpenCV's YuNet: quick on a CPU, five landmarks, 0.2 MB of weights.

    Pictures are searched at ``max_side``: a face below about 1/40 of the longer side is easily missed. The
    network sees faces up to about 350 pixels as one; a larger ``max_side`` finds smaller faces, and several faces
    where one fills the picture.

    Args:
        weights: The ONNX file; None fetches it once into the cache of weights.
        url: Address to fetch from.
        sha256: Checksum that the file must have, hexadecimal; None for another file than the published one.
        min_score: Faces with a lower score are left out, 0..1.
        nms: Of faces that overlap by more than this IoU only the best is kept, 0..1.
        max_side: Pictures are shrunk so that their longer side has so many pixels; 32 or more.

    Raises:
        ValueError: For an argument out of its range.
    """

    presets = {'yunet': {}}
    gives_landmarks = True
    # upright portraits score .94 to .96, blurred or small faces .91 and more (95 of 100), turned portraits .61 to .90
    upright_score = 0.92

    def __init__(
        self,
        weights: str | Path | None = None,
        url: str = URL,
        sha256: str | None = SHA256,
        min_score: float = 0.6,
        nms: float = 0.3,
        max_side: int = 640,
    ) -> None:
        check_score('YuNet', min_score)
        if not 0 <= nms <= 1:
            raise ValueError(f'YuNet: nms must lie within 0 and 1, but is {nms}.')
        if max_side < 32:
            raise ValueError(f'YuNet: max_side must be 32 or more, but is {max_side}.')
        self.weights, self.url, self.sha256 = weights, url, sha256
        self.min_score, self.nms, self.max_side = min_score, nms, max_side
        self._network: cv2.FaceDetectorYN | None = None

    def prepare(self) -> None:
        """Fetch the weights where needed and load them.

        Raises:
            ValueError: The file is missing, not the one of ``sha256``, or cannot be loaded.
            ConnectionError: It cannot be fetched.
        """
        if self._network is not None:
            return
        path = weights_file(
            self.url.rsplit('/', 1)[-1],
            self.weights,
            self.url,
            self.sha256,
            '--detector-weights',
            '--detector blazeface',
        )
        content = np.frombuffer(path.read_bytes(), np.uint8)  # OpenCV itself fails on some names of files
        try:
            with only_errors():
                self._network = cv2.FaceDetectorYN.create(
                    'onnx', content, np.empty(0, np.uint8), (320, 320), self.min_score, self.nms, _TOP_K
                )
        except cv2.error as error:
            raise ValueError(f'YuNet: {path} cannot be loaded as an ONNX network ({error.err}).') from error

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Face]]:
        """Find the faces in some pictures; see the base class."""
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture: np.ndarray) -> list[Face]:
        self.prepare()
        assert self._network is not None
        small, scale = shrunk(picture, self.max_side)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._network.detect(small)
        # left, top, width, height, five points x y, score; None for no face
        return [_face(row.astype(np.float64), scale) for row in ([] if rows is None else rows)]


def _face(row: np.ndarray, scale: np.ndarray) -> Face:
    corners = np.stack([row[:2], row[:2] + row[2:4]]) * scale
    return Face(corners.ravel(), float(min(row[14], 1.0)), row[4:14].reshape(5, 2) * scale)
