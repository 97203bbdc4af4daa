"""Resizing a picture or a parsing map.

Bicubic and bilinear are the antialiased filters of PIL (and so of torchvision's ``Resize`` on PIL images,
which the published recipe used), computed by torch on uint8: within two grey levels of PIL and about five
times as fast. OpenCV's ``INTER_CUBIC`` is another kernel (a = -0.75 instead of -0.5) and aliases when it
shrinks. Maps are always resized to the nearest pixel's label.
"""

from __future__ import annotations

import cv2
import numpy as np

INTERPOLATIONS = ('bicubic', 'bilinear', 'area', 'nearest')


def resize_image(image: np.ndarray, size: tuple[int, int], interpolation: str = 'bicubic') -> np.ndarray:
    """Resize an image.

    Args:
        image: uint8 (H, W, C).
        size: Height and width of the result.
        interpolation: One of :data:`INTERPOLATIONS`; 'bicubic' and 'bilinear' as PIL's, 'area' as OpenCV's.

    Returns:
        uint8 (*size, C), contiguous; ``image`` itself when it has that size already.
    """
    if image.shape[:2] == size:
        return image
    if interpolation in ('area', 'nearest'):
        flag = cv2.INTER_AREA if interpolation == 'area' else cv2.INTER_NEAREST_EXACT
        return cv2.resize(image, size[::-1], interpolation=flag)
    import torch  # here: whoever resizes nothing does not wait for it
    import torch.nn.functional as F

    # a copy where it is read-only (cached generated faces): torch warns of such arrays
    image = np.require(image, requirements=['C', 'W'])
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    planes = F.interpolate(planes, size=size, mode=interpolation, antialias=True, align_corners=False)
    return cv2.merge(list(planes[0].numpy()))


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a parsing map uint8 (H, W) to ``size`` (height, width): each pixel takes the nearest label."""
    if labels.shape == size:
        return labels
    # INTER_NEAREST proper samples at the pixels' corners, half a pixel away from what the image shows.
    return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
