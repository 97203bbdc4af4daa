"""What a sample and a batch are: names, shapes and dtypes shared by the datasets and the models.

A **sample** is the dictionary that runs through a dataset's pipeline:

=================  =======================================================================
``img``            uint8 (H, W, 3), BGR as everywhere in OpenMMLab
``parsing_map``    uint8 (H, W), labels 0..10 of :data:`fsfm_mm.regions.LABEL_NAMES`
``patch_labels``   uint16 (h, w): bit ``k`` is set where label ``k`` occurs in the patch
``mask``           bool (h*w,), row-major; True = hidden from the encoder
``region_mask``    bool (h*w,), the covered facial region, a subset of ``mask``
``img_path``       str, ``sample_idx`` int
=================  =======================================================================

There is one mask polarity everywhere: **True = removed (masked), False = visible**, which is MAE's.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import torch


class PretrainBatch(TypedDict):
    """A dense pretraining batch, as the loader yields it; ``FSFM`` takes it by these names.

    ``inputs`` uint8 (N, 3, H, W) in RGB; ``mask`` and ``region_mask`` bool (N, L), L patches in
    row-major order, exactly the same number of them masked in every row.
    """

    inputs: torch.Tensor
    mask: torch.Tensor
    region_mask: torch.Tensor


class TokenSplit(NamedTuple):
    """Patch indices of a batch, split by its mask.

    ``visible`` int64 (N, L-K) and ``masked`` int64 (N, K), both ascending in each row. Decoders keep
    their tokens in the order [class, visible, masked], so nothing is ever un-shuffled in training.
    """

    visible: torch.Tensor
    masked: torch.Tensor
