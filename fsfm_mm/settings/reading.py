"""Configs and the command line's changes to them: what is wrong with them, in one sentence."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from fsfm_mm.settings.config_files import find_config
from fsfm_mm.settings.custom_imports import import_custom_modules
from fsfm_mm.settings.data import changes, flat
from fsfm_mm.settings.explaining import error_message
from fsfm_mm.settings.names import refuse_unknown_names
from fsfm_mm.settings.options import OPTIONS, option_settings, positive
from fsfm_mm.settings.variables import (
    READ,
    read_with,
    refuse_variables_without_effect,
    settings_called,
    variables,
    with_variables,
)
from fsfm_mm.text import did_you_mean, few

#: Variables of our configs that are short options, whatever a config makes of them.
LENGTHS = {'max_epochs': 'epochs', 'max_iters': 'iters'}
#: Where the names of the settings that a user typed are kept: an attribute of the config object, no setting.
_TYPED = '_typed_settings'


def read_config(
    path: str | os.PathLike,
    options: Mapping[str, Any] | None = None,
    short: Mapping[str, Any] | None = None,
    part: str = 'train',
    import_custom: bool = True,
    **kwargs: Any,
) -> Config:
    """Read a config file and change settings of it.

    Args:
        path: A Python, JSON or YAML file, or the name of a config of ours, see :func:`find_config`.
        options: Settings by their names with dots, as on the command line, or variables of the config's file, on
            which what is made of them follows. A setting that nothing reads or takes is refused.
        short: Short options by their names, see :mod:`fsfm_mm.settings.options`; None where one was not given.
        part: 'train' or 'test': what ``short`` is about.
        import_custom: Import what ``custom_imports`` names, from beside the config or the current folder, too.
        **kwargs: Of ``Config.fromfile``.

    Returns:
        The config; :func:`typed_settings` knows what was changed.

    Raises:
        ValueError: One sentence: the file is not there or cannot be read, or a setting cannot be changed.
    """
    path = find_config(path)
    kwargs['import_custom_modules'] = False
    options, short = dict(options or {}), {k: v for k, v in (short or {}).items() if v is not None}
    try:
        before, assigned = read_with(path, {}, **kwargs)
    except SyntaxError as error:
        raise ValueError(
            f'the config {path} is not valid Python ({error.msg}, line {error.lineno})'
        ) from error
    except (OSError, KeyError, TypeError) as error:  # another kind of file, no such base, names twice
        raise ValueError(f'the config {path} cannot be read ({error_message(error)})') from error
    except Exception as error:  # of the code in it
        raise ValueError(f'the config {path} cannot be read ({_failure(error)})') from error
    refuse_variables_without_effect(path, before, assigned, **kwargs)
    _move_lengths(options, short)
    _check_names(before, path, options)
    try:
        cfg, settings = _with_settings(before, path, options, short, part, kwargs)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f'--cfg-options does not fit the config {path} ({error_message(error)})') from error
    _agree(cfg, options)
    typed = _typed_names(before, cfg, {**settings, **options})
    if import_custom:  # after the options, which may name modules, too
        import_custom_modules(cfg, path)
    named = _typed_names(cfg, cfg, options) if options else []
    refuse_unknown_names(cfg, [name for name in named if name.partition('.')[0] in READ])
    object.__setattr__(cfg, _TYPED, {name: _value(cfg, name) for name in sorted(typed)})
    return cfg


def _failure(error: Exception) -> str:
    """What went wrong in the code of a config, and in which line of it."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.name == '<module>'), None)
    return f'{type(error).__name__}: {error_message(error)}' + (f', line {line}' if line else '')


def typed_settings(cfg: Config) -> dict[str, Any]:
    """The settings that were set on the command line, with their full names or by a short option: names and values.

    ``--arch small`` gives 'model.backbone.arch' and 'model.head.in_channels'; a dict gives its single values, such as
    'model.backbone.init_cfg.checkpoint'. What a config file says is not among them. The names stay with copies of the
    config object (``runner.cfg``) and are not written into files.

    Args:
        cfg: Of :func:`read_config`; any other config has none.
    """
    return dict(vars(cfg).get(_TYPED, {}))


def need(cfg: Config, *names: str) -> None:
    """Raise a ValueError where a config lacks one of the settings."""
    missing = [name for name in names if not cfg.get(name)]
    if missing:
        raise ValueError(f'the config {cfg.filename} has no {", ".join(missing)}: is it the right file?')


def _with_settings(
    before: Config,
    path: Path,
    options: dict[str, Any],
    short: dict[str, Any],
    part: str,
    kwargs: dict[str, Any],
) -> tuple[Config, dict[str, Any]]:
    """The config with all of it, and the settings that short options set."""
    own = variables(before)
    changed = {name: value for name, value in options.items() if name.partition('.')[0] in own}
    cfg = with_variables(path, before, changed, **kwargs)
    lengths = {name: short[option] for name, option in LENGTHS.items() if option in short and name in own}
    if lengths:
        cfg = read_with(path, {**_values(cfg, changed), **lengths}, **kwargs)[0]
    followed = changes(before.to_dict(), cfg.to_dict())
    settings = option_settings(before, short, part, options)
    cfg.merge_from_dict({name: value for name, value in settings.items() if name not in followed})
    cfg.merge_from_dict({name: value for name, value in options.items() if name not in changed})
    return cfg, settings


def _values(cfg: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    names = {name.partition('.')[0] for name in options}
    return {name: value for name, value in cfg.to_dict().items() if name in names}


def _value(cfg: Config, name: str) -> Any:
    """The value of a name with dots; None where it was removed."""
    value: Any = cfg
    try:
        for part in name.split('.'):
            value = value[int(part) if isinstance(value, list | tuple) else part]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return value


def _typed_names(before: Config, cfg: Config, options: Mapping[str, Any]) -> frozenset[str]:
    """What was typed, and what followed from it."""
    typed = set(changes(before.to_dict(), cfg.to_dict()))
    for name, value in options.items():
        typed |= set(flat(value, name)) if value else {name}
    return frozenset(name.removesuffix('._delete_') for name in typed)


def _move_lengths(options: dict[str, Any], short: dict[str, Any]) -> None:
    """``--cfg-options max_epochs=3`` is ``--epochs 3``: a warm-up that stays would be longer than the run."""
    for name, option in LENGTHS.items():
        if name in options:
            value = options.pop(name)
            try:
                value = positive(str(value))
            except Exception as error:
                raise ValueError(f'--cfg-options {name}: {error}') from error
            if short.setdefault(option, value) != value:
                raise ValueError(
                    f'--{option} {short[option]} and --cfg-options {name}={value} contradict each other'
                )


def _check_names(cfg: Config, path: Any, options: Mapping[str, Any]) -> None:
    known = {*cfg.keys(), *READ}
    for name in options:
        first = name.partition('.')[0]
        if first not in known:
            named = settings_called(cfg, name)
            hint = (
                f' (did you mean {few(named, 3, between=" or ")}?)'
                if named
                else did_you_mean(first, sorted(known), 1)
            )
            option = {'data_root': 'data', 'num_workers': 'workers'}.get(name, name.replace('_', '-'))
            hint = f' (use --{option})' if option in OPTIONS and (named or option == name) else hint
            raise ValueError(
                f'--cfg-options {name}: {path} has no setting {first!r}, so it would have no effect{hint}'
            )
        outer = next((other for other in options if name.startswith(f'{other}.')), None)
        if outer is not None and not isinstance(options[outer], dict):
            raise ValueError(f'--cfg-options sets {outer}, and {name} in it: give one of them')


def _agree(cfg: Config, options: Mapping[str, Any]) -> None:
    """Make settings follow without which the typed ones could not be."""
    for part in ('train', 'val', 'test'):
        together = (f'{part}_dataloader', f'{part}_evaluator', f'{part}_cfg')
        if part != 'train' and any(options.get(name, '') is None for name in together):
            for name in together:
                if name in cfg:
                    cfg[name] = None
        loader: Any = cfg.get(f'{part}_dataloader')
        if isinstance(loader, dict) and loader.get('num_workers', 0) == 0:
            # torch refuses both without workers
            if loader.get('persistent_workers'):
                loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)
