"""Which checkpoint a run goes on from: the last one that is whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from fsfm_mm.checkpoints.loading import check_whole, load_checkpoint_file
from fsfm_mm.engine.remote import refuse_remote_checkpoints
from fsfm_mm.engine.saving import pointed_to
from fsfm_mm.engine.stopping import RunStoppedError

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


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a local file for mmengine, which calls it so: on the CPU, whence it is copied to where it is needed."""
    try:
        return load_checkpoint_file(Path(filename).expanduser())
    except ValueError as error:
        raise RunStoppedError(str(error)) from error


def load_safely() -> None:
    """Let mmengine read the checkpoints of this process with ours, and local files only: none can run code.

    mmengine's own loader falls back to full unpickling where the safe one refuses, and those for addresses
    unpickle without limits. A file that cannot be read, or an address, stops the run with a
    :class:`~fsfm_mm.engine.stopping.RunStoppedError`.
    """
    refuse_remote_checkpoints()
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
