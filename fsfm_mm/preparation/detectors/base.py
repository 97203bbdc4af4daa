"""What every face detector offers."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fsfm_mm.preparation.detectors.faces import Face


class FaceDetector(abc.ABC):
    """Finds faces in pictures.

    A detector is built from a config such as ``dict(type='YuNet', min_score=0.6)`` in every worker process; the
    models are loaded at the first :meth:`detect`, so that building one is cheap and tells wrong arguments early.
    The same picture always gives the same faces, whatever came before it.
    """

    #: Short name for messages and the manifest.
    name: str
    #: Names on the command line, each with the arguments that it stands for; none: chosen in configs only.
    presets: Mapping[str, Mapping[str, Any]] = {}
    #: Whether the pictures are crops of faces: their boxes are to be cut out as they are, without a margin.
    crops_already: bool = False
    #: Whether pictures are taken whole and with their pixels as they are stored, as training reads them.
    as_stored: bool = False
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
