"""The last whole checkpoint of a work directory: what a run goes on from, and what a folder's name stands for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from fsfm_mm.files.checkpoint_files import check_whole

#: The file in the work directory that names the checkpoint to go on from (mmengine's name).
POINTER = 'last_checkpoint'
#: What a run that stopped for losses that are not finite leaves, to be replayed.
FAILED_STEP = 'failed_step.pth'
#: Files of a work directory that hold no optimiser state.
NOT_TO_RESUME = ('best_', FAILED_STEP)


def pointed_to(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint that the pointer names, in a moved or copied work directory its own; None without one."""
    pointer = Path(work_dir) / POINTER
    named = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    if not named:
        return None
    moved = Path(work_dir) / Path(named).name
    return moved if moved.exists() else Path(named)


def last_whole_checkpoint(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint that ``last_checkpoint`` names or, where that is damaged, the newest whole one.

    Args:
        work_dir: Work directory of a run, which need not exist.

    Returns:
        Its path; None when the run has none yet. A damaged one is named in the log, with what is taken instead.

    Raises:
        ValueError: When all there are are damaged.
    """
    damage: str | None = None
    for path in _candidates(Path(work_dir)):
        try:
            check_whole(path)
        except ValueError as error:
            damage = damage or str(error)
            continue
        if damage is not None:
            from mmengine.logging import print_log  # heavy: only where there is something to say

            print_log(f'{damage} Going on from {path}.', 'current', logging.WARNING)
        return path
    if damage is not None:
        raise ValueError(f'{damage} No other checkpoint in {work_dir} is whole.')
    return None


def _candidates(work_dir: Path) -> Iterator[Path]:
    named = pointed_to(work_dir)
    if named is not None and named.exists():
        yield named
    folder = work_dir if named is None else named.parent
    others = [path for path in folder.glob('*.pth') if not path.name.startswith(NOT_TO_RESUME)]
    yield from sorted((p for p in others if p != named), key=lambda p: p.stat().st_mtime_ns, reverse=True)


def checkpoint_file(path: str | os.PathLike) -> Path:
    """The file that a path stands for: itself, or the last whole checkpoint of a work directory.

    Args:
        path: A checkpoint file, or a folder in which a run left checkpoints.

    Raises:
        ValueError: One sentence: there is nothing of that name, no checkpoint in the folder, or none that is whole.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f'{path} cannot be read (there is no such file and no such folder).')
    last = last_whole_checkpoint(path)
    if last is None:
        raise ValueError(
            f'{path} is a folder without checkpoints: name a checkpoint file, or a work directory.'
        )
    return last
