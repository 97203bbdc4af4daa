"""Stopping: the one exception for work that ends early for a reason that one sentence says, and when not to."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

#: What is wrong, and what to do, where processes cannot hand one another a batch.
NO_SHARED_MEMORY = (
    'the shared memory of the machine (/dev/shm) is full: give it more (docker run --shm-size=8g), or take fewer '
    'train_dataloader.num_workers or smaller batches'
)


class StoppedError(RuntimeError):
    """A run, a preparation or a check cannot go on, or was told not to; what was done is kept.

    Commands print it and exit with its code; nothing is wrong with the program.

    Args:
        reason: One sentence: why, and what to do.
        exit_code: For scripts: 1; 75 (EX_TEMPFAIL) where the same command is to be started again, 130 for Ctrl-C.
    """

    def __init__(self, reason: str, exit_code: int = 1):
        super().__init__(reason)
        self.exit_code = exit_code


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the body is done, e.g. while a process is being handed what it is to do.

    Half of that would leave a child with a traceback of its own. Outside of the main thread, which alone may set
    handlers and is the one that is interrupted, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])
