"""The two ends of a pipeline: a sample is read, and reduced to what the model needs in its layout."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.files.pictures import BrokenSampleError, WrongSizeError, read_image, read_parsing_map
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
        height, width = image.shape[:2]
        try:
            results['parsing_map'] = read_parsing_map(map_path, (height, width))
        except WrongSizeError as error:
            raise BrokenSampleError(
                f'{map_path}: the parsing map is {error.size[0]}x{error.size[1]} pixels, '
                f'but its image {results["img_path"]} is {width}x{height}.'
            ) from error
        return results


@TRANSFORMS.register_module()
class PackFaces(FaceTransform):
    """Reduce a sample to ``inputs`` and its masks.

    Writes a new dictionary: ``inputs``, uint8 (3, H, W) in **RGB**, and ``mask`` and ``region_mask``, bool
    (L,), where the pipeline has a mask transform. Numpy arrays, which
    :func:`~fsfm_mm.datasets.dense_collate` stacks; scaling and normalising are the model's preprocessor's.
    """

    def transform(self, results: dict) -> dict:
        """Return the packed sample; nothing else of ``results`` is kept."""
        image = results['img']
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f'PackFaces expects a uint8 image (H, W, 3), but {results.get("img_path", "the sample")} '
                f'is {image.dtype} {image.shape}.'
            )
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        # Splitting into reversed planes does BGR -> RGB and channels-first in one pass (8x of a transpose).
        cv2.split(image, [planes[2], planes[1], planes[0]])
        packed = {'inputs': planes}
        for key in ('mask', 'region_mask'):
            if key in results:
                packed[key] = results[key]
        return packed
