"""What a run that is resumed and the run that goes on differ in: whole configs, and what only the run knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsfm_mm.settings.data import ABSENT, belongs, changes, settings_of_text
from fsfm_mm.settings.variables import READ
from fsfm_mm.text import few

#: Settings, with all that is in them, on which no weight depends.
HARMLESS = frozenset(
    {
        'auto_scale_lr.base_batch_size',
        'custom_imports',
        'env_cfg',
        'experiment_name',
        'launcher',
        'load_from',
        'log_level',
        'log_processor',
        'resume',
        'test_cfg',
        'test_dataloader',
        'test_evaluator',
        'test_sets',
        'named_sets',
        'published_checkpoint',
        'published_on',
        'published_seeds',
        'published_sets',
        'published_ties',
        'visualizer',
        'work_dir',
        *(
            f'default_hooks.{name}'
            for name in ('broken_files', 'card', 'checkpoint', 'logger', 'loss_curve', 'pictures', 'report')
        ),
        *(f'default_hooks.{name}' for name in ('exact_resume', 'runtime_info', 'stop_signal', 'timer')),
        *(
            f'{part}_dataloader.{name}'
            for part in ('train', 'val')
            for name in ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'timeout')
        ),
    }
)
#: Why a setting does nothing in a run that is resumed.
KEEPS_SEED = 'a run keeps its seed'
KEEPS_WEIGHTS = "the weights are the checkpoint's"


def changed_settings(text: str, cfg: Any) -> dict[str, tuple[Any, Any]]:
    """Settings of a resumed run that are not what they were, as far as weights depend on them.

    Args:
        text: The config that the checkpoint has.
        cfg: The config of this run.

    Returns:
        Name with dots -> (value then, value now); empty where the checkpoint has no config.
    """
    before = settings_of_text(text)
    if not before:
        return {}
    return {
        name: pair
        for name, pair in changes(before, settings_of_text(cfg.pretty_text)).items()
        if name.partition('.')[0] in READ and not belongs(name, HARMLESS) and not _same_start(name, pair)
    }


def _same_start(name: str, pair: tuple[Any, Any]) -> bool:
    """Whether a run that began with the last checkpoint of a folder is started with that folder again."""
    then, now = (Path(value) if isinstance(value, str) else None for value in pair)
    return name.endswith('init_cfg.checkpoint') and then is not None and then.parent == now


def refused_because(name: str) -> str | None:
    """Why a changed setting does nothing when a run is resumed; None where it acts."""
    if name == 'randomness.seed':
        return KEEPS_SEED
    parts = name.split('.')
    return (
        KEEPS_WEIGHTS if 'init_cfg' in parts or name in ('model.pretrained', 'model.target.start') else None
    )


def another_run(changed: Mapping[str, tuple[Any, Any]], facts: Mapping[str, tuple[Any, Any]]) -> str | None:
    """The sentence for the log, or None where it is the same run.

    Args:
        changed: Of :func:`changed_settings`.
        facts: Numbers of processes, samples, ... that differ.
    """
    words = []
    for name, (old, new) in {**changed, **facts}.items():
        why = refused_because(name)
        words.append(
            f'{name} {_shown(old)} -> {_shown(new)} ({"honoured" if why is None else f"not honoured: {why}"})'
        )
    if not words:
        return None
    return f'no longer the same run: {few(words, 20)}. It goes on from the state of the one that is resumed.'


def _shown(value: Any) -> str:
    if value is ABSENT:
        return repr(value)
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
