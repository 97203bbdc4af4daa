"""What a run leaves on the disk: checkpoints, a pointer to the last one that is whole, a folder that is its own."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from fsfm_mm.files import write_atomically
from fsfm_mm.files.checkpoint_folders import POINTER, pointed_to
from fsfm_mm.files.stopping import StoppedError

#: Names the process that trains in a work directory; it stays there, the lock on it ends with that process.
LOCK = '.running'


def point_to(work_dir: str | os.PathLike, checkpoint: str | os.PathLike) -> None:
    """Name the checkpoint to go on from, once it is on the disk."""
    write_atomically(Path(work_dir) / POINTER, str(checkpoint), sync=True)


@contextlib.contextmanager
def explaining_failed_saves(runner: Any) -> Iterator[None]:
    """Turn what the disk says while a checkpoint is written into one sentence.

    Raises:
        StoppedError: For an OSError such as a full disk.
    """
    try:
        yield
    except OSError as error:
        raise failed_to_write(runner, 'a checkpoint', error) from error


def failed_to_write(runner: Any, what: str, error: OSError) -> StoppedError:
    """The error that stops a run whose disk refuses; it names the checkpoint to go on from."""
    last = pointed_to(runner.work_dir)
    return StoppedError(
        f'stopped at iteration {runner.iter + 1}: {what} could not be written '
        f'({error.strerror or error}: {error.filename or runner.work_dir}); '
        + (f'the last good checkpoint is {last}: ' if last else 'there is none yet: ')
        + 'make room and go on with --resume.'
    )


def is_full(error: OSError) -> bool:
    """Whether an error means that a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def holding(work_dir: str | os.PathLike) -> Iterator[None]:
    """Keep other runs out of a work directory; a second one would remove and overwrite this one's checkpoints.

    The lock is the first process's and ends with it, however it ends; its data workers do not inherit it.

    Args:
        work_dir: It must exist.

    Raises:
        StoppedError: When another process trains there.
    """
    if not is_main_process():
        yield
        return
    with open(Path(work_dir) / LOCK, 'a+', encoding='utf-8') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise StoppedError(
                    f'{work_dir} is in use by another run ({file.read().strip()}): wait for it or stop it, or give '
                    'this one a --work-dir of its own.'
                ) from error
            print_log(
                f'{work_dir} cannot be locked ({error.strerror}): start no second run in it.',
                'current',
                logging.WARNING,
            )
        else:
            file.truncate(0)
            print(f'process {os.getpid()} on {socket.gethostname()}', file=file, flush=True)
        yield
