"""A signal to a process that is not training."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


@contextlib.contextmanager
def exiting_when_told() -> Iterator[None]:
    """Exit with 75 on SIGTERM and SIGUSR1 where there is nothing to save; StopSignalHook has them while training."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> NoReturn:
    name = signal.Signals(number).name
    print(
        f'train.py: stopped by {name} while it was not training: start it again with --resume.',
        file=sys.stderr,
    )
    sys.exit(75)  # no Exception, which libraries catch and wrap
