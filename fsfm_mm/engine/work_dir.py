"""A work directory belongs to one run at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from fsfm_mm.engine.stopping import RunStoppedError

#: Names the process that trains in a work directory; it stays there, the lock on it ends with that process.
LOCK = '.running'


@contextlib.contextmanager
def holding(work_dir: str | os.PathLike) -> Iterator[None]:
    """Keep other runs out of a work directory; a second one would remove and overwrite this one's checkpoints.

    The lock is the first process's and ends with it, however it ends; its data workers do not inherit it.

    Args:
        work_dir: It must exist.

    Raises:
        RunStoppedError: When another process trains there.
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
                raise RunStoppedError(
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
