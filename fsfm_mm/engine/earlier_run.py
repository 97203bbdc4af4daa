"""A work directory that holds a run already is not written into in silence: go on with it, or ask to replace it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from fsfm_mm.engine.saving import POINTER

#: What training writes into a work directory: checkpoints, and the rest.
CHECKPOINT = re.compile(r'((epoch|iter)_\d+|best_.*|stopped|failed_step)\.pth')
OTHERS = re.compile(r'\d{8}_\d{6}|reconstructions|test|loss_curve\.png|broken_files\.txt')


def check_earlier_run(cfg: Config, overwrite: bool = False) -> None:
    """Refuse to start a run where another one left its checkpoints, unless it is resumed or given up.

    Args:
        cfg: Config with ``work_dir`` and ``resume``.
        overwrite: The earlier run is given up: :func:`remove_earlier_run` will remove it.

    Raises:
        ValueError: There are checkpoints and neither was asked for, or both were, or the new run begins with a file
            of the one that is given up.
    """
    if cfg.get('resume'):
        if overwrite:
            raise ValueError('--overwrite begins a run anew and --resume goes on with it: give one of them')
        return
    found = sorted(path.name for path in checkpoints_in(Path(cfg.work_dir)))
    if found and not overwrite:
        raise ValueError(
            f'{cfg.work_dir} holds the checkpoints of a run already ({found[-1]}): go on with it with --resume, choose '
            'another folder with --work-dir, or replace it with --overwrite'
        )
    needed = [name for name in _starts(cfg.to_dict()) if _is_in(name, cfg.work_dir)]
    if found and needed:
        raise ValueError(
            f'--overwrite would remove {needed[0]}, from which the new run begins: copy it, or choose another folder '
            'with --work-dir'
        )


def remove_earlier_run(work_dir: str | Path, log_dir: str | Path) -> None:
    """Remove what earlier runs left in a work directory; files that no run writes stay.

    Call it when the new run is built and holds the directory, so that wrong settings cost nothing.

    Args:
        work_dir: The directory.
        log_dir: The new run's own folder in it, which stays.
    """
    if not is_main_process():
        return
    own = os.path.realpath(log_dir)
    checkpoints = list(checkpoints_in(Path(work_dir)))
    others = [
        path
        for path in Path(work_dir).iterdir()
        if (OTHERS.fullmatch(path.name) or path.name == POINTER) and os.path.realpath(path) != own
    ]
    for path in [*others, *checkpoints]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if checkpoints:
        print_log(
            f'The earlier run in {work_dir} was removed ({len(checkpoints)} checkpoints, logs, pictures).',
            'current',
        )


def checkpoints_in(work_dir: Path) -> Iterator[Path]:
    """Checkpoints that training has left in a folder, which need not exist."""
    for path in work_dir.iterdir() if work_dir.is_dir() else ():
        if CHECKPOINT.fullmatch(path.name):
            yield path


def _starts(part: Any, key: str = '') -> Iterator[str]:
    """Files and folders of checkpoints that a config names."""
    if isinstance(part, str):
        if key in ('checkpoint', 'load_from') or part.endswith('.pth'):
            yield part
    elif isinstance(part, dict | list | tuple):
        for name, value in part.items() if isinstance(part, dict) else ((key, value) for value in part):
            yield from _starts(value, name)


def _is_in(name: str, folder: str | Path) -> bool:
    path, outer = Path(name).expanduser(), Path(os.path.realpath(folder))
    return path.exists() and outer in ((true := Path(os.path.realpath(path))), *true.parents)
