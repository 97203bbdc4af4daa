"""Maps that are there already, beside their pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsfm_mm.files.pictures import BrokenSampleError, read_parsing_map
from fsfm_mm.ops.resizing import resize_labels
from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.sources.items import Origin
from fsfm_mm.registry import FACE_PARSERS


@FACE_PARSERS.register_module()
class StoredMaps(FaceParser):
    """Reads the map of each picture, for pictures that are faces already: packing.

    Args:
        limits: What is to be said of maps that are only roughly right, by what made them.
    """

    def __init__(self, limits: str = '') -> None:
        self.limits = limits

    def parse(
        self, crops: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """None for each: where they come from must be known."""
        return [None] * len(crops)

    def parse_from(
        self,
        origins: Sequence[Origin | None],
        crops: Sequence[np.ndarray],
        landmarks: Sequence[np.ndarray | None],
    ) -> list[np.ndarray | None]:
        """Read the maps.

        Raises:
            BrokenSampleError: One cannot be used, or is of another size than its picture.
        """
        return [_read(origin, crop.shape[:2]) for origin, crop in zip(origins, crops)]


def _read(origin: Origin | None, size: tuple[int, ...]) -> np.ndarray | None:
    if origin is None or origin.item.map_path is None:
        return None
    labels = read_parsing_map(origin.item.map_path)
    if labels.shape != origin.shape:
        raise BrokenSampleError(
            f'{origin.item.map_path}: the parsing map is {_size(labels.shape)} pixels, '
            f'but its image {origin.item.path} is {_size(origin.shape)}.'
        )
    return resize_labels(labels, (size[0], size[1]))


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[1]}x{shape[0]}'
