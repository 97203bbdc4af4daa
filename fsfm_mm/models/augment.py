"""Batches for classifiers: normalisation by named statistics, and timm's erasing, mixup and cutmix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing

from fsfm_mm.registry import BATCH_AUGMENTS, MODELS
from fsfm_mm.statistics import resolve_stats


@BATCH_AUGMENTS.register_module()
class TimmBatchAugment:
    """Random erasing, then mixup or cutmix, on a normalised batch: timm's own, as the published recipe.

    For ``model.train_cfg = dict(augments=dict(type='TimmBatchAugment', ...))``. The samples keep their hard
    ``gt_label``; mixed targets go to ``gt_score``. Label smoothing belongs to the loss
    (``LabelSmoothLoss``): smoothing is linear, so before or after mixing is the same. mmpretrain's own
    Mixup and CutMix differ a little: random partners, a sample itself among them, instead of the batch
    reversed, and cut boxes of even size only.

    Args:
        erasing: Probability of erasing a box in an image, filled with normal noise per pixel; 0 for none.
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of cutmix; 0 for none.
        prob: Probability of mixing a batch at all.
        switch_prob: Probability of cutmix where both are on.
    """

    def __init__(
        self,
        erasing: float = 0.25,
        mixup: float = 0.8,
        cutmix: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
    ):
        self.erasing = erasing
        self.mix = Mixup(mixup, cutmix, None, prob, switch_prob, label_smoothing=0.0)
        self.mixes = mixup > 0 or cutmix > 0

    @property
    def pairs(self) -> bool:
        """Whether images are mixed in pairs, which an odd batch does not have: a run that comes to one is refused."""
        return self.mixes and self.mix.mix_prob > 0

    def __call__(self, inputs: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment a batch.

        Args:
            inputs: Normalised images (N, C, H, W), float; changed in place.
            scores: One-hot labels (N, classes).

        Returns:
            Images and mixed scores of the same shapes, scores as float32.

        Raises:
            ValueError: When an odd batch is to be mixed: timm pairs it with itself reversed.
        """
        scores = scores.float()
        if self.erasing > 0:
            eraser = RandomErasing(self.erasing, mode='pixel', max_count=1, device=inputs.device)
            inputs = eraser(inputs)
        if not self.pairs:
            return inputs, scores
        if len(inputs) % 2:
            raise ValueError(
                f'mixup and cutmix need an even number of images in a batch, found {len(inputs)}: '
                'give train_dataloader an even batch_size and drop_last=True'
            )
        self.mix.num_classes = scores.shape[1]
        return self.mix(inputs, scores.argmax(dim=1))  # timm takes labels, and returns mixed scores


@MODELS.register_module()
class FaceClsDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's ClsDataPreprocessor with the statistics' name or file instead of six numbers.

    Takes BGR uint8 images (``to_rgb`` is True). Its buffers ``mean`` and ``std`` are RGB on mmpretrain's
    0..255 scale, so that whatever reads mmpretrain's classifiers reads ours.

    Args:
        stats: 'vggface2', 'ffpp_o', 'imagenet', or a file (see :func:`~fsfm_mm.statistics.resolve_stats`).
            Those of the pretrained weights belong here.
        mean: Instead of ``stats``: mean of R, G, B on the 0..255 scale.
        std: Instead of ``stats``: standard deviation of R, G, B on the 0..255 scale.
        to_rgb: Turn BGR into RGB.
        **kwargs: Other arguments of ClsDataPreprocessor.

    Raises:
        ValueError: When neither or both of ``stats`` and ``mean``/``std`` are given.
    """

    def __init__(
        self,
        stats: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        to_rgb: bool = True,
        **kwargs: Any,
    ):
        if (stats is None) == (mean is None) or (mean is None) != (std is None):
            raise ValueError('give either stats=<name or file>, or both mean and std')
        if stats is not None:
            mean, std = ([255 * value for value in values] for values in resolve_stats(stats))
        super().__init__(mean=mean, std=std, to_rgb=to_rgb, **kwargs)
