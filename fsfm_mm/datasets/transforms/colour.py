"""Changes of colour, which leave parsing maps and masks alone."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomSaturation(FaceTransform):
    """Multiply the saturation of HSV, as the published anti-spoofing training does.

    Randomness comes from numpy's global state. mmpretrain's ``ColorJitter`` mixes with grey instead.

    Args:
        prob: Probability of a change, 0 to 1.
        scale: Range of the factor, evenly sampled.

    Raises:
        ValueError: For a probability or range out of bounds.
    """

    def __init__(self, prob: float = 0.5, scale: tuple[float, float] = (0.8, 1.2)) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], but is {prob}.')
        if not 0 <= scale[0] <= scale[1]:
            raise ValueError(f'scale must be a range of numbers from 0, but is {scale}.')
        self.prob, self.scale = prob, (scale[0], scale[1])

    def transform(self, results: dict) -> dict:
        """Change ``img``, uint8 (H, W, 3) BGR, with probability ``prob``."""
        if np.random.rand() >= self.prob:
            return results
        hsv = cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV)
        factor = np.random.uniform(*self.scale)
        hsv[..., 1] = np.clip(np.rint(hsv[..., 1] * factor), 0, 255).astype(np.uint8)
        results['img'] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        return results
