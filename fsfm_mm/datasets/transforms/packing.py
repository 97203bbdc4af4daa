"""The last transform of a pretraining pipeline: what the model needs, in the layout that it needs."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.registry import TRANSFORMS


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
