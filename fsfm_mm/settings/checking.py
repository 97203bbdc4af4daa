"""What is looked at before a run is built: settings that would be taken for others, or for nothing, without a word."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

from fsfm_mm import registry
from fsfm_mm.settings.arguments import wrong_values
from fsfm_mm.settings.explaining import registered
from fsfm_mm.text import did_you_mean

#: Settings that are dictionaries, where they are given.
_DICTS = (
    'default_hooks',
    'env_cfg',
    'log_processor',
    'model',
    'optim_wrapper',
    'randomness',
    'test_dataloader',
    'train_cfg',
    'train_dataloader',
    'val_dataloader',
    'visualizer',
)
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_REGISTRIES = ('DATASETS', 'HOOKS', 'METRICS', 'MODELS', 'OPTIM_WRAPPERS', 'PARAM_SCHEDULERS', 'TRANSFORMS')


def check_settings(cfg: Config) -> None:
    """Look at the settings of a run; names of loggers become loggers.

    Args:
        cfg: A whole config; ``visualizer.vis_backends`` is changed in place.

    Raises:
        ValueError: A setting is not of its kind; the sentence names it.
    """
    for name in _DICTS:
        if cfg.get(name) is not None and not isinstance(cfg[name], dict):
            raise ValueError(f'{name} must be a dict of settings, found {cfg[name]!r}')
    levels = (
        logging.getLevelNamesMapping() if hasattr(logging, 'getLevelNamesMapping') else logging._nameToLevel
    )
    level = cfg.get('log_level', 'INFO')
    if isinstance(level, str) and level not in levels:
        raise ValueError(f'log_level {level!r} is none of {", ".join(levels)}{did_you_mean(level, levels)}')
    if 'env_cfg' in cfg and cfg['env_cfg'] is None:
        raise ValueError('env_cfg must be a dict of settings, found None: env_cfg=dict() is an empty one')
    scaling = cfg.get('auto_scale_lr') or {}
    if scaling.get('enable') and not scaling.get('base_batch_size'):
        raise ValueError(
            'auto_scale_lr.enable needs auto_scale_lr.base_batch_size, the batch that the learning rate is meant for'
        )
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None and not _is_whole(seed, 0, 2**32 - 1):
        raise ValueError(f'randomness.seed must be a whole number from 0 to {2**32 - 1}, found {seed!r}')
    for name in filter(cfg.get, _LOADERS):
        _check_loader(name, cfg[name])
    if cfg.get('launcher') == 'pytorch' and 'RANK' not in os.environ:
        raise ValueError(
            '--launcher pytorch joins processes that torchrun starts, and this one was not: start with '
            'tools/dist_train.sh CONFIG PROCESSES, or leave --launcher out for one process'
        )
    list_backends(cfg)
    for path, part in _parts(cfg):
        check_values(path, part)


def _is_whole(value: Any, least: int, most: float = float('inf')) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_loader(name: str, loader: dict) -> None:
    for key, least in (('batch_size', 1), ('num_workers', 0)):
        if loader.get(key) is not None and not _is_whole(loader[key], least):
            raise ValueError(f'{name}.{key} must be a whole number of {least} or more, found {loader[key]!r}')
    for key in ('sampler', 'batch_sampler', 'dataset'):
        if loader.get(key) is not None and isinstance(loader[key], str | int | float):
            raise ValueError(f'{name}.{key} must be a dict(type=...), found {loader[key]!r}')
    collate = loader.get('collate_fn')
    kind = collate.get('type') if isinstance(collate, dict) else collate
    if isinstance(kind, str) and FUNCTIONS.get(kind) is None:
        raise ValueError(
            f'{name}.collate_fn: there is no function {kind!r}{did_you_mean(kind, registered(FUNCTIONS))}'
        )


def list_backends(cfg: Config) -> None:
    """Take names of loggers for loggers: ``--cfg-options visualizer.vis_backends=[LocalVisBackend,WandbVisBackend]``.

    Raises:
        ValueError: ``visualizer.vis_backends`` is neither names nor settings of loggers.
    """
    visualizer = cfg.get('visualizer') or {}
    given = visualizer.get('vis_backends')
    if not given:
        return
    backends = [
        dict(type=item) if isinstance(item, str) and item.replace('.', '_').isidentifier() else item
        for item in (given if isinstance(given, list | tuple) else [given])
    ]
    if not all(isinstance(item, dict) and item.get('type') for item in backends):
        raise ValueError(
            'visualizer.vis_backends must be names of loggers, such as [LocalVisBackend,WandbVisBackend], or their '
            f"settings, [dict(type='WandbVisBackend', ...)], found {given!r}"
        )
    visualizer['vis_backends'] = backends


def _parts(settings: Any, path: str = '') -> Iterator[tuple[str, dict]]:
    """Every part of a config that has a type, with its path."""
    if isinstance(settings, dict) and path and isinstance(settings.get('type'), str):
        yield path, settings
    steps: Any = enumerate(settings) if isinstance(settings, list | tuple) else ()
    if isinstance(settings, dict | Config):
        steps = settings.items()
    for key, value in steps:
        yield from _parts(value, f'{path}.{key}' if path else str(key))


def check_values(path: str, part: dict) -> None:
    """Refuse values that a component of ours would take for something else, such as 'no' for a truth value.

    Args:
        path: Of the part, for the message.
        part: With ``type``.

    Raises:
        ValueError: The settings that are wrong, by their paths.
    """
    for name in _REGISTRIES:
        kind = getattr(registry, name).module_dict.get(part['type'])
        if inspect.isclass(kind) and kind.__module__.startswith('fsfm_mm.'):
            wrong = wrong_values(kind, part)
            if wrong:
                raise ValueError('; '.join(f'{path}.{remark}' for remark in wrong))
            return
