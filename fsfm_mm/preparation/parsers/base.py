"""What every face parser offers, and which landmarks can place a face."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fsfm_mm.preparation.sources.items import Origin

#: Width of the eyes plus height from eyes to mouth, in pixels, below which there is nothing to label.
MIN_EXTENT = 4.0


class FaceParser(abc.ABC):
    """Labels the pixels of face crops with LaPa's 11 classes (``fsfm_mm.regions.LABEL_NAMES``).

    Built from a config such as ``dict(type='FaRLParser', model='lapa/448', device='auto')`` in every worker
    process; models are loaded at the first :meth:`parse`. The same crop always gives the same map.
    """

    #: Names on the command line, each with the arguments that it stands for; none: chosen in configs only.
    presets: Mapping[str, Mapping[str, Any]] = {}
    #: Whether a crop without landmarks gets no map.
    needs_landmarks: bool = False
    #: Where the maps are only roughly right: how they come about and what they are good for, which ``prepare.json``,
    #: the summary and the doctor say; '' for maps to rely on.
    limits: str = ''
    #: What is said of a crop for which :meth:`parse` gives None.
    nothing: str = 'the parser gives no map for this face'

    @abc.abstractmethod
    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Label some crops.

        Args:
            crops: uint8 (S, S, 3) BGR each, all of one size.
            landmarks: For each crop its five points (5, 2) in the crop's pixels
                (see :class:`fsfm_mm.preparation.detectors.base.Face`), or None.

        Returns:
            For each crop uint8 (S, S), labels 0..10; None where this crop cannot be parsed (e.g. the parser
            needs landmarks and there are none).
        """

    def parse_from(
        self,
        origins: Sequence[Origin | None],
        crops: Sequence[np.ndarray],
        landmarks: Sequence[np.ndarray | None],
    ) -> list[np.ndarray | None]:
        """The same, for a parser that asks where crops come from; None for one that is no whole picture."""
        return self.parse(crops, landmarks)

    def prepare(self) -> None:  # noqa: B027 - some parsers need no weights
        """Fetch and load the weights now, with a ValueError or ConnectionError that says what to do instead."""


def usable_points(landmarks: np.ndarray | None) -> np.ndarray | None:
    """The landmarks as numbers, where a face can be placed by them.

    Args:
        landmarks: (5, 2) in the crop's pixels, see :class:`fsfm_mm.preparation.detectors.base.Face`, or None.

    Returns:
        float64 (5, 2); None for no landmarks, and for points that fall together or stand as in a mirror (right
        and left exchanged), which no turned head can show.

    Raises:
        ValueError: The array has another shape.
    """
    if landmarks is None:
        return None
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f'expected five landmarks, an array (5, 2), found the shape {points.shape}.')
    if not np.isfinite(points).all():
        return None
    across = points[1] - points[0]
    down = points[3:].mean(0) - points[:2].mean(0)
    extent = np.hypot(*across) + np.hypot(*down)
    # upright means: turned by a quarter, "down" points as "across" does
    agreement = np.hypot(across[0] + down[1], across[1] - down[0])
    return points if extent >= MIN_EXTENT and agreement >= extent / 4 else None
