"""A signal to a process that is not training."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


@contextlib.contextmanager
def exiting_when_told(name: str) -> Iterator[None]:
    """Exit with 75 on SIGTERM and SIGUSR1 where there is nothing to save; StopSignalHook has them while training.

    Args:
        name: Of the program, for its message.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, functools.partial(_stop, name))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(program: str, number: int, frame: Any) -> NoReturn:
    name = signal.Signals(number).name
    print(
        f'{program}: stopped by {name} while it was not training: start it again with --resume.',
        file=sys.stderr,
    )
    sys.exit(75)  # no Exception, which libraries catch and wrap
