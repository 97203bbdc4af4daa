"""The one exception for work that stops before its end for a reason that one sentence says."""

from __future__ import annotations


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
