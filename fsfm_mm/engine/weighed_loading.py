"""mmengine's loading of weights, stopped where a file has little or nothing of what it is loaded into.

mmengine logs names that do not match and goes on: a run with ``load_from`` or ``init_cfg=dict(type='Pretrained')`` then
trains a fresh network. All its entrances (Runner, strategies, ``init_cfg``, inferencers, ``load_checkpoint``) come
through one function, which is replaced here. Needed by onedl-mmengine 0.10; goes when its ``load_state_dict`` has a
least share of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import mmengine.runner.checkpoint as mmengine_checkpoint
import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader

from fsfm_mm.files.checkpoint_matching import LEAST_SHARE, loses_numbers, mismatch, share_there, unlike
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.text import few

_load, _read = mmengine_checkpoint.load_state_dict, CheckpointLoader.load_checkpoint
_load_part = mmengine_checkpoint._load_checkpoint_with_prefix
_last_read = ['the checkpoint']


def weigh_loaded_weights() -> None:
    """Let mmengine raise a StoppedError for less than :data:`LEAST_SHARE`, and list what else differs."""
    mmengine_checkpoint.load_state_dict = _load_and_weigh
    mmengine_checkpoint._load_checkpoint_with_prefix = _load_named_part
    CheckpointLoader.load_checkpoint = _read_and_note


def _read_and_note(filename: str, *args: Any, **kwargs: Any) -> Any:
    _last_read[:] = [str(filename)]
    return _read(filename, *args, **kwargs)


def _load_named_part(prefix: str, filename: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        return _load_part(prefix, filename, *args, **kwargs)
    except AssertionError as error:
        raise StoppedError(
            f'{filename} holds no weight whose name begins with {prefix!r} (prefix in init_cfg): name the beginning '
            'that they have there, or a checkpoint of such a model.'
        ) from error


def _load_and_weigh(
    module: Any, state_dict: dict[str, Any], strict: bool = False, logger: Any = None
) -> None:
    while is_model_wrapper(module) or isinstance(module, BaseTTAModel):
        module = module.module
    own = _tensors(module)
    given = state_dict
    if no_weights := {key for key in own.keys() & given.keys() if loses_numbers(own[key], given[key])}:
        state_dict = {key: value for key, value in given.items() if key not in no_weights}
    # of another shape: loaded all the same where a module fits it, as a table of positions
    before = {key: own[key].clone() for key in unlike(own, state_dict) & state_dict.keys()}
    missing: list[str] = []
    counting = module.register_load_state_dict_post_hook(lambda _, keys: missing.extend(keys.missing_keys))
    try:
        _load(module, state_dict, strict, logger)
    finally:
        counting.remove()
    now = _tensors(module)
    fitted = {key for key, value in before.items() if not torch.equal(now[key], value)}
    absent = {*missing, *before} - fitted
    share = share_there(own, absent)
    if share < LEAST_SHARE:
        raise StoppedError(_too_little(module, own, given, share))
    compared = {key: given[key] for key in given if key not in fitted}
    found = mismatch({key: own[key] for key in own if key not in fitted}, compared)
    if absent and found and is_main_process():
        print_log(
            f'{_last_read[0]} holds {share:.0%} of {_name(module)}; what differs: {found}.',
            'current',
            logging.WARNING,
        )


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


def _name(module: torch.nn.Module) -> str:
    return f'the {"backbone of this " if hasattr(module, "backbone") else ""}{type(module).__name__}'


def _too_little(
    module: torch.nn.Module, own: Mapping[str, Any], state: Mapping[str, Any], share: float
) -> str:
    instead = ', or give an encoder with --init' if hasattr(module, 'backbone') else ''
    inner = {key.removeprefix('backbone.') for key in state if key.startswith('backbone.')}
    if not instead and inner & own.keys():
        instead = ", or say which part of this one with prefix='backbone.' in init_cfg"
    what = 'no weight' if share == 0 else f'{share:.0%} of the weights'
    return (
        f'{_last_read[0]} holds {what} of {_name(module)}, less than {LEAST_SHARE:.0%} (it has '
        f'{few(sorted(state), 3) or "nothing"}): name a checkpoint of such a model{instead}.'
    )
