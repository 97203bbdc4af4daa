"""Runs that stop before their end for a reason that one sentence says."""

from __future__ import annotations


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
