"""What a built model says of itself, in the terms of a card, and where it contradicts one."""

from __future__ import annotations

from typing import Any

import torch

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.models.preprocessors import FaceDataPreprocessor


def preprocessor_statistics(preprocessor: Any) -> tuple[list[float], list[float]] | None:
    """Mean and std (RGB, 0..1) that a data preprocessor normalises with, or None when it does not.

    Args:
        preprocessor: Ours (0..1), or one of mmengine's and mmpretrain's (0..255), which get BGR images
            and must turn them into RGB: a card speaks of networks that see RGB.

    Raises:
        ValueError: When it normalises BGR.
    """
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    if not isinstance(mean, torch.Tensor) or not isinstance(std, torch.Tensor):
        return None
    scale = 1.0
    if not isinstance(preprocessor, FaceDataPreprocessor):
        scale = 255.0
        to_rgb = getattr(preprocessor, 'to_rgb', getattr(preprocessor, '_channel_conversion', True))
        if not to_rgb:
            raise ValueError(
                f'the card of a checkpoint describes networks that see RGB, but {type(preprocessor).__name__} has '
                'to_rgb=False: set data_preprocessor.to_rgb=True, or remove CardHook from the config.'
            )
    # the buffers are float32: seven digits give back what a config on the 0..255 scale had
    digits = 9 if scale == 1.0 else 7
    values = [[float(f'{v:.{digits}g}') / scale for v in t.flatten().tolist()] for t in (mean, std)]
    return values[0], values[1]


def model_facts(model: Any) -> dict[str, Any]:
    """What a model itself says for the card: mean, std, input_size, patch_size and num_heads, where it has them."""
    facts: dict[str, Any] = {}
    statistics = preprocessor_statistics(getattr(model, 'data_preprocessor', None))
    if statistics is not None:
        facts['mean'], facts['std'] = statistics
    backbone = getattr(model, 'backbone', None)
    size = getattr(backbone, 'img_size', None)
    if isinstance(size, int | tuple | list):
        height, width = (size, size) if isinstance(size, int) else size
        facts['input_size'] = height if height == width else (height, width)
    patch = getattr(backbone, 'patch_size', None)
    if isinstance(patch, int):
        facts['patch_size'] = patch
    heads = getattr(backbone, 'num_heads', None)
    if isinstance(heads, int):
        facts['num_heads'] = heads
    return facts


def check_model(card: ModelCard, model: Any, **others: Any) -> list[str]:
    """:meth:`ModelCard.check_against` with a built model's statistics and sizes; ``others`` go along."""
    return card.check_against(**{**model_facts(model), **others})
