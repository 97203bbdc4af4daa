"""Maps that are there already, beside their pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fsfm_mm.files.pictures import BrokenSampleError, WrongSizeError, read_parsing_map
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
    height, width = origin.shape
    try:
        labels = read_parsing_map(origin.item.map_path, (height, width))
    except WrongSizeError as error:
        raise BrokenSampleError(
            f'{origin.item.map_path}: the parsing map is {error.size[0]}x{error.size[1]} pixels, '
            f'but its image {origin.item.path} is {width}x{height}.'
        ) from error
    return resize_labels(labels, (size[0], size[1]))
