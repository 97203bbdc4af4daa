"""Modules of the user's own that a config names in ``custom_imports``: found beside the config, explained where not."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fsfm_mm.text import did_you_mean


def find_beside(*folders: str | os.PathLike) -> None:
    """Let modules in these folders be imported, where nothing installed has their name; for the rest of the process.

    Args:
        folders: The first wins.
    """
    for folder in map(os.path.abspath, folders):
        if folder not in map(os.path.abspath, sys.path):
            sys.path.append(folder)


def import_named(
    names: str | Iterable[str],
    folder: str | os.PathLike,
    allow_failed: bool = False,
    setting: str = 'custom_imports',
) -> None:
    """Import modules that lie in a folder, in the current one, or anywhere that Python looks.

    Args:
        names: As in ``custom_imports.imports``.
        folder: That of the config which names them.
        allow_failed: Warn of a module that is not found instead of raising.
        setting: What names them, for messages.

    Raises:
        ValueError: A module is not found, or fails while it is imported; one sentence says which and where.
    """
    find_beside(folder, os.curdir)
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise ValueError(f'{setting} takes names of modules, found {name!r}')
        try:
            importlib.import_module(name)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and f'{name}.'.startswith(f'{error.name}.'):
                sentence = _not_found(name, Path(folder).resolve(), setting)
                if not allow_failed:
                    raise ValueError(sentence) from error
                warnings.warn(sentence, UserWarning, stacklevel=2)
                continue
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f'{error.filename}, line {error.lineno}' if isinstance(error, SyntaxError) else (
                f'{last.filename}, line {last.lineno}'
            )  # fmt: skip
            message = error.msg if isinstance(error, SyntaxError) else error
            raise ValueError(
                f'{setting}: the module {name} fails while it is imported '
                f'({type(error).__name__}: {message}; {where})'
            ) from error


def import_custom_modules(cfg: Any, path: str | os.PathLike) -> None:
    """Import what the ``custom_imports`` of a config names.

    Args:
        cfg: mmengine's Config or a dict.
        path: Its file, whose folder is looked into.

    Raises:
        ValueError: As :func:`import_named`.
    """
    settings = cfg.get('custom_imports') or {}
    if not isinstance(settings, dict) or not set(settings) <= {'imports', 'allow_failed_imports'}:
        raise ValueError(
            f'custom_imports must be dict(imports=[names of modules], allow_failed_imports=False), found {settings!r}'
        )
    allow_failed = bool(settings.get('allow_failed_imports', False))
    import_named(settings.get('imports') or [], Path(path).resolve().parent, allow_failed)


def _not_found(name: str, folder: Path, setting: str) -> str:
    places = list(dict.fromkeys([folder, Path.cwd()]))
    files = [file.stem for place in places if place.is_dir() for file in sorted(place.glob('*.py'))]
    return (
        f'{setting}: there is no module {name!r}{did_you_mean(name, files)}: put {name.replace(".", "/")}.py into '
        f'{" or ".join(map(str, places))}, or add its folder to PYTHONPATH'
    )
