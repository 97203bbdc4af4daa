"""Which checkpoint a run goes on from: the last one that is whole."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from fsfm_mm.engine.earlier_run import checkpoints_in
from fsfm_mm.files.checkpoint_files import check_whole
from fsfm_mm.files.checkpoint_folders import last_whole_checkpoint


def choose_checkpoint(cfg: Config, named: str | None = None) -> None:
    """Find the file that a run resumes from, and check that it is whole before anything is built.

    Args:
        cfg: Config with ``work_dir``; ``load_from`` becomes the file. Where nothing was named and there is nothing like
            a checkpoint yet, it does not resume, and ``load_from`` stays: the weights that the run begins with.
        named: A checkpoint; a folder stands for its last whole one. None takes the last whole one of the run.

    Raises:
        ValueError: The named checkpoint does not exist or is damaged, none in the work directory can be gone on from,
            or the named one is of another run than those in the work directory.
    """
    work_dir = Path(cfg.work_dir)
    saved_in = (cfg.get('default_hooks', {}).get('checkpoint') or {}).get('out_dir')
    others = [Path(saved_in) / work_dir.resolve().name] if saved_in else []
    if named is None:
        last = last_whole_checkpoint(work_dir, others)
        if last is not None:
            cfg.load_from = str(last)
            return
        cfg.resume, start = False, f' from {cfg.load_from}' if cfg.get('load_from') else ''
        text = f'--resume: {work_dir} holds no checkpoint, so the run begins anew{start}.'
        print_log(text, 'current', logging.WARNING)
        return
    file = Path(named)
    if not file.exists():
        raise ValueError(f'--resume: there is no checkpoint {file}')
    if file.is_dir():  # a sharded checkpoint of another strategy stays what it is
        file = last_whole_checkpoint(file) or file
    check_whole(file)
    cfg.load_from = str(file)
    of_run = {folder.resolve() for folder in (work_dir, *others)}
    own = sorted(path.name for folder in of_run for path in checkpoints_in(folder))
    if own and file.resolve().parent not in of_run:
        raise ValueError(
            f'--resume: {file} is of another run than {work_dir}, whose checkpoints ({own[-1]}) it would replace: '
            'choose another folder with --work-dir, or go on with the run there with --resume alone'
        )
