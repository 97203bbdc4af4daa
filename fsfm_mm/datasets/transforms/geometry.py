"""Resize, crop and flip, each applied to a face and its parsing map together.

Randomness comes from numpy's global state; how pixels are resized: :mod:`fsfm_mm.ops.resizing`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.ops.resizing import INTERPOLATIONS, resize_image, resize_labels
from fsfm_mm.regions import NUM_LABELS, flip_table
from fsfm_mm.registry import TRANSFORMS


def random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draw a crop as torchvision's ``RandomResizedCrop`` does.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        scale: Range of the crop's area as a fraction of the image's.
        ratio: Range of width / height, sampled evenly in its logarithm.

    Returns:
        top, left, height and width of the crop; after ten draws that do not fit, the largest central
        crop with an allowed ratio.
    """
    log_ratio = np.log(ratio)
    for _ in range(10):
        area = height * width * np.random.uniform(*scale)
        aspect = math.exp(np.random.uniform(*log_ratio))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return np.random.randint(height - h + 1), np.random.randint(width - w + 1), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    return (height - h) // 2, (width - w) // 2, h, w


def flip_patch_labels(table: np.ndarray) -> np.ndarray:
    """Mirror per-patch label tables uint16 (..., h, w) and swap the bits of left and right labels."""
    return _FLIPPED_SETS[table[..., ::-1]]


def _flipped_sets() -> np.ndarray:
    """Set of labels after a mirror for each of the 2048 sets, uint16 (2048,)."""
    sets = np.arange(1 << NUM_LABELS, dtype=np.uint16)
    flipped = np.zeros_like(sets)
    for label, partner in enumerate(flip_table().tolist()):
        flipped |= ((sets >> label) & 1) << partner
    return flipped


_FLIPPED_SETS = _flipped_sets()
_FLIPPED_LABELS = np.pad(flip_table(), (0, 256 - NUM_LABELS))


def refuse_key(results: dict, key: str, transform: FaceTransform, advice: str) -> None:
    """Raise a ValueError where a sample has what a transform cannot move."""
    if key in results:
        raise ValueError(f"{type(transform).__name__} cannot move a sample's '{key}': {advice}.")


def _checked_interpolation(interpolation: str) -> str:
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f'interpolation must be one of {INTERPOLATIONS}, but is {interpolation!r}.')
    return interpolation


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


#: What of a picture :class:`ResizeFace` shows.
VIEWS = ('whole', 'centre')


@TRANSFORMS.register_module()
class ResizeFace(FaceTransform):
    """Resize ``img`` and ``parsing_map``; neither is touched nor copied when it has that size already.

    A per-patch label table (``patch_labels``) stays valid where the whole picture is kept.

    Args:
        size: Side of the square, or (height, width), in pixels.
        interpolation: Filter of the image, one of :data:`~fsfm_mm.ops.resizing.INTERPOLATIONS`. The published
            recipe is bicubic.
        view: 'whole': all of the picture, whatever its sides. 'centre': the shorter side becomes 256/224 of ``size``,
            and the square in the middle is cut out (12.5% tighter; ImageNet's evaluation, in which FSFM's
            published tests and everybody's validation see faces). Nothing is left out in passing: a picture of the
            wanted size is resized, too.

    Raises:
        ValueError: For another view, or a central view that is not square; from :meth:`transform`, when a central view
            meets a per-patch label table.
    """

    def __init__(
        self, size: int | tuple[int, int] = 224, interpolation: str = 'bicubic', view: str = 'whole'
    ) -> None:
        self.size = _pair(size)
        self.interpolation = _checked_interpolation(interpolation)
        if view not in VIEWS:
            raise ValueError(f'view must be one of {VIEWS}, but is {view!r}.')
        if view == 'centre' and self.size[0] != self.size[1]:
            raise ValueError(f"view='centre' cuts out a square, but size is {self.size}.")
        self.view = view

    def transform(self, results: dict) -> dict:
        """Resize the image and, where there is one, the map."""
        if self.view == 'centre':
            refuse_key(results, 'patch_labels', self, "take view='whole', or BuildPatchLabels after it")
            size, box = _central(results['img'].shape, self.size[0])
            results['img'] = _cut(resize_image(results['img'], size, self.interpolation), box)
            if 'parsing_map' in results:
                results['parsing_map'] = _cut(resize_labels(results['parsing_map'], size), box)
            return results
        results['img'] = resize_image(results['img'], self.size, self.interpolation)
        if 'parsing_map' in results:
            results['parsing_map'] = resize_labels(results['parsing_map'], self.size)
        return results


def _cut(picture: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    return np.ascontiguousarray(picture[box])


def _central(shape: tuple[int, ...], side: int) -> tuple[tuple[int, int], tuple[slice, slice]]:
    """Height and width to resize to, and what to cut out then; rounded as torchvision's Resize and CenterCrop do."""
    height, width = shape[:2]
    shorter = int(side * 256 / 224)
    size = (
        int(shorter * height / min(height, width)) if height > width else shorter,
        int(shorter * width / min(height, width)) if width > height else shorter,
    )
    top, left = (round((length - side) / 2) for length in size)
    return size, np.s_[top : top + side, left : left + side]


@TRANSFORMS.register_module()
class RandomFaceCrop(FaceTransform):
    """Crop a random box out of ``img`` and ``parsing_map`` and resize it.

    Args:
        size: Side of the square result, or (height, width), in pixels.
        scale: Range of the crop's area as a fraction of the image's.
        ratio: Range of the crop's width / height.
        interpolation: Filter of the image, one of :data:`~fsfm_mm.ops.resizing.INTERPOLATIONS`.

    Raises:
        ValueError: From :meth:`transform`, when the sample has per-patch labels or masks already: a crop
            off the patch grid would make them wrong.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 224,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
    ) -> None:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f'scale must be a range within (0, 1], but is {scale}.')
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio must be a range of positive numbers, but is {ratio}.')
        self.size = _pair(size)
        self.scale = (scale[0], scale[1])
        self.ratio = (ratio[0], ratio[1])
        self.interpolation = _checked_interpolation(interpolation)

    def transform(self, results: dict) -> dict:
        """Crop and resize the image and, where there is one, the map."""
        advice = 'load parsing maps instead of a label table, and put BuildPatchLabels after the crop'
        refuse_key(results, 'patch_labels', self, advice)
        refuse_key(results, 'mask', self, 'put the mask transform after it')
        image = results['img']
        height, width = image.shape[:2]
        top, left, h, w = random_box(height, width, self.scale, self.ratio)
        box = np.s_[top : top + h, left : left + w]
        results['img'] = np.ascontiguousarray(resize_image(image[box], self.size, self.interpolation))
        if 'parsing_map' in results:
            labels = results['parsing_map'][box]
            results['parsing_map'] = np.ascontiguousarray(resize_labels(labels, self.size))
        return results


@TRANSFORMS.register_module()
class RandomFaceFlip(FaceTransform):
    """Mirror ``img`` with ``parsing_map`` and ``patch_labels``; left and right labels change places.

    Args:
        prob: Probability of a mirror, 0 to 1.

    Raises:
        ValueError: From :meth:`transform`, when the sample has a mask already.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], but is {prob}.')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror the sample with probability ``prob``."""
        refuse_key(results, 'mask', self, 'put the mask transform after it')
        if np.random.rand() >= self.prob:
            return results
        results['img'] = cv2.flip(results['img'], 1)
        if 'parsing_map' in results:
            results['parsing_map'] = cv2.LUT(cv2.flip(results['parsing_map'], 1), _FLIPPED_LABELS)
        if 'patch_labels' in results:
            results['patch_labels'] = flip_patch_labels(results['patch_labels'])
        return results
