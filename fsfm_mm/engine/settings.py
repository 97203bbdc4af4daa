"""Configs and the command line's changes to them: what is wrong with them, in one sentence."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, DictAction

from fsfm_mm.engine.config_files import find_config

#: Top-level settings that the runners and tools read besides the runners' arguments.
_READ = {
    'auto_scale_lr',
    'custom_imports',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'published_checkpoint',
    'published_sets',
    'runner_type',
    'sync_bn',
    'test_sets',
}


class SettingsAction(DictAction):
    """``--cfg-options KEY=VALUE ...``, with a message of argparse where a ``=`` is missing."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Add the settings."""
        for value in values:
            if '=' not in value:
                raise argparse.ArgumentError(self, f'expected KEY=VALUE, found {value!r}')
        super().__call__(parser, namespace, values, option_string)


def read_config(path: str | os.PathLike, options: Mapping[str, Any] | None = None, **kwargs: Any) -> Config:
    """Read a config file and change settings of it.

    Args:
        path: A Python, JSON or YAML file, or the name of a config of ours, see :func:`find_config`.
        options: Settings by their names with dots, as on the command line. The first part of a name must be a
            setting of the config or of mmengine's: another one would be taken and have no effect.
        **kwargs: Of ``Config.fromfile``.

    Raises:
        ValueError: One sentence: the file is not there or cannot be read, or a setting cannot be changed.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path, **kwargs)
    except SyntaxError as error:
        raise ValueError(
            f'the config {path} is not valid Python ({error.msg}, line {error.lineno})'
        ) from error
    except (OSError, KeyError) as error:  # another kind of file, a base that is not there, names twice
        raise ValueError(f'the config {path} cannot be read ({_message(error)})') from error
    _check_names(cfg, path, options or {})
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f'--cfg-options does not fit the config {path} ({_message(error)})') from error
    vars(cfg)['_typed'] = dict(options or {})
    return cfg


def typed_settings(cfg: Config) -> dict[str, Any]:
    """What the user changed himself when the config was read: names with dots and values."""
    return dict(vars(cfg).get('_typed', {}))


def need(cfg: Config, *names: str) -> None:
    """Raise a ValueError where a config lacks one of the settings."""
    missing = [name for name in names if not cfg.get(name)]
    if missing:
        raise ValueError(f'the config {cfg.filename} has no {", ".join(missing)}: is it the right file?')


def _check_names(cfg: Config, path: Any, options: Mapping[str, Any]) -> None:
    if not options:
        return
    from mmengine.runner import FlexibleRunner, Runner  # heavy: only where there is something to compare

    arguments = {
        name for kind in (Runner, FlexibleRunner) for name in inspect.signature(kind.__init__).parameters
    }
    known = {*cfg.keys(), *arguments, *_READ} - {'self', 'cfg'}
    for name in options:
        first = name.partition('.')[0]
        if first not in known:
            close = difflib.get_close_matches(first, sorted(known), 1)
            raise ValueError(
                f'--cfg-options {name}: {path} has no setting {first!r}, so it would have no effect'
                + (f' (did you mean {close[0]!r}?)' if close else '')
            )


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f'{error.strerror}: {error.filename}'
    return ' '.join(str(error.args[0] if error.args else type(error).__name__).split())


def explain_setting(error: Exception) -> str | None:
    """One sentence where an error means a wrong setting, and comes of building what the config names; else None.

    Args:
        error: From before the first iteration: later, the same classes of errors mean something else.
    """
    message = _message(error)
    if isinstance(error, ValueError) or (isinstance(error, OSError) and error.strerror):
        return message
    if isinstance(error, AssertionError) and error.args:  # mmengine's way to check arguments
        return message
    if isinstance(error, KeyError) and ' registry' in message:
        return f'a type in the config is not known: {message.split(". ")[0]}'
    if isinstance(error, TypeError) and (
        'unexpected keyword argument' in message or 'required positional' in message
    ):
        return f'a setting does not fit: {message}'
    return None
