"""Checkpoints on the disk: whole or not at all, and a pointer to the last one that is whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

from fsfm_mm.engine.stopping import SavingError
from fsfm_mm.files import replacing, write_atomically

#: The file in the work directory that names the checkpoint to go on from (mmengine's name).
POINTER = 'last_checkpoint'


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with bytes written whole or not at all."""

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write a file, see :func:`fsfm_mm.files.replacing`."""
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        with replacing(filepath) as part:
            part.write_bytes(obj)


def save_atomically() -> None:
    """Let mmengine write every checkpoint of this process, whichever hook asks, with that backend."""
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')


def point_to(work_dir: str | os.PathLike, checkpoint: str | os.PathLike) -> None:
    """Name the checkpoint to go on from, once it is on the disk."""
    write_atomically(Path(work_dir) / POINTER, str(checkpoint), sync=True)


def pointed_to(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint that the pointer names, in a moved or copied work directory its own; None without one."""
    pointer = Path(work_dir) / POINTER
    named = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    if not named:
        return None
    moved = Path(work_dir) / Path(named).name
    return moved if moved.exists() else Path(named)


@contextlib.contextmanager
def explaining_failed_saves(runner: Any) -> Iterator[None]:
    """Turn what the disk says while a checkpoint is written into one sentence.

    Raises:
        SavingError: For an OSError such as a full disk.
    """
    try:
        yield
    except OSError as error:
        raise failed_to_write(runner, 'a checkpoint', error) from error


def failed_to_write(runner: Any, what: str, error: OSError) -> SavingError:
    """The error that stops a run whose disk refuses; it names the checkpoint to go on from."""
    last = pointed_to(runner.work_dir)
    return SavingError(
        f'stopped at iteration {runner.iter + 1}: {what} could not be written '
        f'({error.strerror or error}: {error.filename or runner.work_dir}); '
        + (f'the last good checkpoint is {last}: ' if last else 'there is none yet: ')
        + 'make room and go on with --resume.'
    )


def is_full(error: OSError) -> bool:
    """Whether an error means that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
