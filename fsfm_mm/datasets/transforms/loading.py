"""The first transform of a pipeline: a sample's image and its parsing map."""

from __future__ import annotations

import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.files.pictures import BrokenSampleError, read_image, read_parsing_map
from fsfm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadFace(FaceTransform):
    """Read a sample's image and, where it has one, its parsing map.

    Reads ``img_path`` and writes ``img``, uint8 (H, W, 3) BGR. With a ``map_path`` it also writes
    ``parsing_map``, uint8 (H, W): the file's labels, or all background when ``map_path`` is None (a data
    set without maps, see :class:`~fsfm_mm.datasets.FaceParsingDataset`). Samples without the key get no map.

    The pixels are taken as stored, see :func:`~fsfm_mm.files.pictures.read_image`; labels, see
    :func:`~fsfm_mm.files.pictures.read_parsing_map`. Samples that
    come with their ``img`` (archives) pass unchanged, so every data set takes the same pipeline.

    Raises:
        BrokenSampleError: From :meth:`transform`, when a file is unusable or the two sizes differ.
    """

    def transform(self, results: dict) -> dict:
        """Add ``img`` and, where the sample has a ``map_path``, ``parsing_map``."""
        if 'img' in results:
            return results
        image = results['img'] = read_image(results['img_path'])
        if 'map_path' not in results:
            return results
        map_path = results['map_path']
        if map_path is None:
            results['parsing_map'] = np.zeros(image.shape[:2], np.uint8)
            return results
        labels = results['parsing_map'] = read_parsing_map(map_path)
        if labels.shape != image.shape[:2]:
            raise BrokenSampleError(
                f'{map_path}: the parsing map is {_size(labels)} pixels, '
                f'but its image {results["img_path"]} is {_size(image)}.'
            )
        return results


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]}x{array.shape[0]}'
