"""Which checkpoint a run goes on from: the last one that is whole."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from fsfm_mm.files.checkpoint_files import check_whole
from fsfm_mm.files.checkpoint_folders import last_whole_checkpoint


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
