"""Puts a card into every checkpoint that a run saves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.models.selfsup import BaseSelfSupervisor

from fsfm_mm.checkpoints.card import ModelCard, installed_versions
from fsfm_mm.checkpoints.facts import model_facts
from fsfm_mm.checkpoints.model_settings import plain_settings
from fsfm_mm.checkpoints.picture_settings import picture_view
from fsfm_mm.checkpoints.plain_loading import check_loaded
from fsfm_mm.datasets.labelled.crops import crop_facts
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.registry import HOOKS

#: What a data set's ``metainfo`` may say for the card.
FROM_METAINFO = ('classes', 'positive_class', 'crop_margin', 'detector', 'aggregation')


@HOOKS.register_module()
class CardHook(Hook):
    """Adds ``checkpoint['card']`` to what the run saves.

    Class names come from the training set's ``metainfo``, mean and std from the data preprocessor, sizes and heads
    from the backbone, the config and what builds the model from the runner, the view from the pipeline of the
    ``test_dataloader``. The arguments say what none of these
    knows, and win; but the detector and the margin of crops are those of the training set's ``prepare.json``, where it
    says so.

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
        self._model: dict[str, Any] | None = None

    def before_train(self, runner) -> None:
        """Make the card once, so that a contradiction stops the run before it has cost anything."""
        self._model = self.model_settings(runner.cfg)  # now: a file of statistics may be gone before the end
        self.card(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare ``load_from``'s card with the model; a resumed run is compared as a whole elsewhere."""
        if not runner._resume:
            model = unwrapped(runner.model)
            check_loaded(model, checkpoint, runner._load_from)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the card into the checkpoint."""
        checkpoint['card'] = self.card(runner).to_dict()

    def card(self, runner) -> ModelCard:
        """The card of the runner's model and training set."""
        model = unwrapped(runner.model)
        metainfo: Mapping[str, Any] = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
        pretraining = isinstance(model, BaseSelfSupervisor)
        found = {
            'task': 'pretrain' if pretraining else 'classify',
            'source': 'trained with fsfm_mm',
            'config': runner.cfg.pretty_text,
            'model': self._model,
            'versions': installed_versions(),
            'view': self.view(runner.cfg),
            **{key: metainfo[key] for key in FROM_METAINFO if metainfo.get(key) is not None},
            **model_facts(model),
            **{key: value for key, value in (('task', self.task), ('source', self.source)) if value},
        }
        return ModelCard(**{**found, **self.facts, **crop_facts(runner.train_dataloader.dataset)})

    @staticmethod
    def view(cfg: Config) -> str | None:
        """What of a crop the run's test set shows; None without one, or where it does not say."""
        dataset = (cfg.get('test_dataloader') or {}).get('dataset')
        return picture_view(dataset) if isinstance(dataset, Mapping) else None

    @staticmethod
    def model_settings(cfg: Config) -> dict[str, Any] | None:
        """What builds the run's model anywhere; None, with a warning, where a card cannot hold it."""
        settings = cfg.get('model')
        if not isinstance(settings, Mapping):
            return None
        if cfg.get('data_preprocessor') and not settings.get('data_preprocessor'):
            settings = {**settings, 'data_preprocessor': cfg.data_preprocessor}  # as mmengine's Runner does
        try:
            return plain_settings(settings)
        except ValueError as error:
            warnings.warn(f'the card of the checkpoints will not build their model: {error}', stacklevel=2)
            return None
