"""Which checkpoint a run goes on from: the last one that is whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from fsfm_mm.engine.saving import pointed_to
from fsfm_mm.files.checkpoint_files import check_whole

#: Files of a work directory that hold no optimiser state, or that of a run that went wrong.
NOT_TO_RESUME = ('best_', 'nonfinite_')


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


def choose_checkpoint(cfg: Config) -> None:
    """Find the file that a run resumes from, and check that it is whole before anything is built.

    Args:
        cfg: Config with ``work_dir``; without ``load_from`` it gets the last whole checkpoint there, and where there
            is none yet, it does not resume.

    Raises:
        ValueError: The named checkpoint does not exist or is damaged, or all in the work directory are.
    """
    if cfg.get('load_from') is None:
        last = last_whole_checkpoint(cfg.work_dir)
        cfg.resume, cfg.load_from = last is not None, None if last is None else str(last)
    elif not Path(cfg.load_from).exists():
        raise ValueError(f'--resume: there is no checkpoint {cfg.load_from}')
    else:
        check_whole(cfg.load_from)
