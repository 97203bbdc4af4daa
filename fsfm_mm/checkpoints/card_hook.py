"""Puts a card into every checkpoint that a run saves, and compares cards with models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.models.selfsup import BaseSelfSupervisor

from fsfm_mm.checkpoints.card import ModelCard, installed_versions
from fsfm_mm.models.preprocessors import FaceDataPreprocessor
from fsfm_mm.registry import HOOKS

#: What a data set's ``metainfo`` may say for the card.
FROM_METAINFO = ('classes', 'positive_class', 'crop_margin', 'detector', 'aggregation')


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


@HOOKS.register_module()
class CardHook(Hook):
    """Adds ``checkpoint['card']`` to what the run saves.

    Class names come from the training set's ``metainfo``, mean and std from the data preprocessor, sizes
    from the backbone, the config from the runner. The arguments say what none of these knows, and win.

    Args:
        task: E.g. 'deepfake'. None: 'pretrain' for self-supervised models, 'classify' for others.
        source: Where the weights come from. None: 'trained with fsfm_mm'.
        **facts: Other fields of :class:`~fsfm_mm.checkpoints.card.ModelCard`, e.g. ``crop_margin=1.3``,
            ``detector='retinaface'``, ``threshold=0.5``.

    Raises:
        ValueError: At the start of the run, when the card cannot be made.
    """

    priority = 'LOW'

    def __init__(self, task: str | None = None, source: str | None = None, **facts: Any):
        ModelCard(**{key: value for key, value in facts.items() if key != 'positive_class'})
        self.task = task
        self.source = source
        self.facts = facts

    def before_train(self, runner) -> None:
        """Make the card once, so that a contradiction stops the run before it has cost anything."""
        self.card(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the card into the checkpoint."""
        checkpoint['card'] = self.card(runner).to_dict()

    def card(self, runner) -> ModelCard:
        """The card of the runner's model and training set."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        metainfo: Mapping[str, Any] = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
        pretraining = isinstance(model, BaseSelfSupervisor)
        found = {
            'task': 'pretrain' if pretraining else 'classify',
            'source': 'trained with fsfm_mm',
            'config': runner.cfg.pretty_text,
            'versions': installed_versions(),
            **{key: metainfo[key] for key in FROM_METAINFO if metainfo.get(key) is not None},
            **model_facts(model),
            **{key: value for key, value in (('task', self.task), ('source', self.source)) if value},
        }
        return ModelCard(**{**found, **self.facts})
