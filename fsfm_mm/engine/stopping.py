"""Runs that stop before their end for a reason that one sentence says."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn


class RunStoppedError(RuntimeError):
    """A run stopped; the message says why and what to do, ``exit_code`` is for scripts."""

    exit_code = 1


class SavingError(RunStoppedError):
    """A checkpoint could not be written."""


class ResumeError(RunStoppedError):
    """A checkpoint cannot be resumed."""


class StoppedBySignalError(RunStoppedError):
    """A signal asked the run to stop; its state is saved.

    Args:
        message: What happened.
        exit_code: 75 (EX_TEMPFAIL: start it again), 130 for Ctrl-C.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


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
