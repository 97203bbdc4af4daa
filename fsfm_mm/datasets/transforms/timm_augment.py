"""timm's training augmentation of single images, which the published fine-tuning recipe used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from timm.data import auto_augment as timm_auto_augment
from timm.data import create_transform

from fsfm_mm.datasets.transforms.base import FaceTransform
from fsfm_mm.registry import TRANSFORMS
from fsfm_mm.statistics import resolve_stats


def _posterize(img: Image.Image, bits_to_keep: int, **kwargs) -> Image.Image:
    """Timm's posterize; 0 bits, its strongest level, are black as ever: Pillow 13 raises there instead."""
    if bits_to_keep < 1:
        return Image.new(img.mode, img.size)
    return timm_auto_augment.posterize(img, bits_to_keep, **kwargs)


@TRANSFORMS.register_module()
class TimmTrainAugment(FaceTransform):
    """Random resized crop, horizontal flip and RandAugment, all by timm (MAE's fine-tuning recipe).

    Random erasing works on normalised pixels and mixup on batches: see
    :class:`~fsfm_mm.models.augment.TimmBatchAugment`. Randomness comes from Python's, numpy's and torch's
    global states, which mmengine seeds in every worker.

    Args:
        size: Side of the square result in pixels.
        stats: Name or file of the statistics whose mean colour fills what RandAugment moves in from
            outside, see :func:`~fsfm_mm.statistics.resolve_stats`.
        scale: Range of the crop's area as a fraction of the image's.
        ratio: Range of the crop's width / height.
        hflip: Probability of a mirror.
        auto_augment: timm's RandAugment string; None for none.
        interpolation: PIL's filter of crop and RandAugment: 'bicubic', 'bilinear' or 'random' of the two.
    """

    def __init__(
        self,
        size: int = 224,
        stats: str | Mapping[str, Any] = 'vggface2',
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        auto_augment: str | None = 'rand-m9-mstd0.5-inc1',
        interpolation: str = 'bicubic',
    ) -> None:
        self.size = size
        self.auto_augment = auto_augment
        mean, std = resolve_stats(stats)
        self._augment = create_transform(
            size,
            is_training=True,
            scale=(scale[0], scale[1]),
            ratio=(ratio[0], ratio[1]),
            hflip=hflip,
            color_jitter=None,  # type: ignore[arg-type]  # timm's own value for none
            auto_augment=auto_augment,
            interpolation=interpolation,
            mean=tuple(mean),
            std=tuple(std),
            re_prob=0.0,
            normalize=False,  # ends with uint8 pixels: the model normalises, on its device
        )
        for step in self._augment.transforms:
            for operation in getattr(step, 'ops', ()):
                if operation.aug_fn is timm_auto_augment.posterize:
                    operation.aug_fn = _posterize

    def transform(self, results: dict) -> dict:
        """Augment ``img``, uint8 (H, W, 3) BGR, to uint8 (size, size, 3) BGR.

        Raises:
            ValueError: When the sample has a parsing map or masks, which would no longer fit.
        """
        misfits = sorted({'parsing_map', 'patch_labels', 'mask'} & set(results))
        if misfits:
            raise ValueError(f"TimmTrainAugment moves pixels and cannot move the sample's {misfits}.")
        picture = Image.fromarray(np.ascontiguousarray(results['img'][..., ::-1]))
        rgb = self._augment(picture).numpy().transpose(1, 2, 0)
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        results['img_shape'] = results['img'].shape[:2]
        return results
