"""The last whole checkpoint of a work directory: what a run goes on from, and what a folder's name stands for."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fsfm_mm.files.checkpoint_files import check_whole
from fsfm_mm.text import few

#: The file in the work directory that names the checkpoint to go on from (mmengine's name).
POINTER = 'last_checkpoint'
#: What a run that stopped for losses that are not finite leaves, to be replayed.
FAILED_STEP = 'failed_step.pth'
#: Files of a work directory that hold no optimiser state.
NOT_TO_RESUME = ('best_', FAILED_STEP)
#: Files that a run goes on from; a stopped one's goes when the next is there.
REGULAR = re.compile(r'(?:epoch|iter)_(\d+)\.pth|stopped\.pth')


def pointed_to(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint that the pointer names, in a moved or copied work directory its own; None without one."""
    named, _ = _read_pointer(Path(work_dir))
    if named is None:
        return None
    own = Path(work_dir) / named.name
    return own if own.exists() else named


def _read_pointer(work_dir: Path) -> tuple[Path | None, str]:
    """(What the pointer names, a sentence on what is wrong with it)."""
    pointer = work_dir / POINTER
    if not os.path.lexists(pointer):
        return None, ''
    if not pointer.is_file():
        return None, f'{pointer} is no file.'
    try:
        with open(pointer, 'rb') as file:
            named = file.read(5000).decode().strip()
    except OSError as error:
        return None, f'{pointer} cannot be read ({error.strerror}).'
    except UnicodeDecodeError:
        return None, f'{pointer} is not text.'
    name = Path(named).name
    if not name or len(named) == 5000 or len(name.encode()) > 255 or not named.isprintable():
        return None, f'{pointer} names no file.'
    return Path(named), ''


def last_whole_checkpoint(work_dir: str | os.PathLike, others: Iterable[Path] = ()) -> Path | None:
    """The checkpoint that ``last_checkpoint`` names or, where that is missing or damaged, the last whole one.

    Only files that lie in the folder count, whatever path the pointer has: a moved or copied work directory goes on
    from its own. Without the one that is named, it is that of the last epoch or iteration.

    Args:
        work_dir: Work directory of a run, which need not exist.
        others: More folders of the same run.

    Returns:
        Its path; None where there is nothing to go on from and nothing that looks like it. What is wrong with the
        pointer, and a damaged file, are named in the log, with what is taken instead.

    Raises:
        ValueError: There is something, and none of it can be gone on from.
    """
    folders = [Path(work_dir), *others]
    named, wrong = _read_pointer(folders[0])
    if named is not None and not any((folder / named.name).exists() for folder in folders):
        wrong = f'{folders[0] / POINTER} names {named.name}, which is not beside it.'
    for path in _candidates(folders, named):
        try:
            check_whole(path)
        except ValueError as error:
            wrong = wrong or str(error)
            continue
        if wrong:
            from mmengine.logging import print_log  # heavy: only where there is something to say

            print_log(f'{wrong} Going on from {path}.', 'current', logging.WARNING)
        return path
    left = sorted(path.name for folder in folders for path in folder.glob('*.pth'))
    if not wrong and left:
        wrong = f'{work_dir} holds {few(left, 3)}, from which no run can go on.'
    if wrong:
        elsewhere = f' (there is one at {named})' if named is not None and os.path.exists(named) else ''
        raise ValueError(
            f'{wrong} No other checkpoint in {work_dir} is whole{elsewhere}: name the file itself.'
        )
    return None


def _candidates(folders: list[Path], named: Path | None) -> Iterator[Path]:
    first = [folder / named.name for folder in folders if named is not None]
    yield from (path for path in first if path.exists())
    others = [path for folder in folders for path in folder.glob('*.pth')]
    yield from sorted(
        (path for path in others if path not in first and not path.name.startswith(NOT_TO_RESUME)),
        key=_how_late,
        reverse=True,
    )


def _how_late(path: Path) -> tuple[float, int]:
    """Later files last. A copy keeps names, and not always times."""
    match = REGULAR.fullmatch(path.name)
    number = -1.0 if match is None else float(match[1] or 'inf')
    return number, path.stat().st_mtime_ns if os.path.exists(path) else 0


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
