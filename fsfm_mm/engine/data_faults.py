"""Data workers that die or hang: the run stops in bounded time, and says what to do."""

from __future__ import annotations

import re
from typing import Any

from fsfm_mm.engine.stopping import RunStoppedError

#: Seconds that a batch may take before its workers count as hung, where a config does not say.
LOADER_TIMEOUT = 600
_AGAIN = 'start the run again with --resume.'


class DataWorkerError(RunStoppedError):
    """A data worker died or hung."""


def train(runner: Any) -> Any:
    """``runner.train()``, with one sentence where a data worker died or hung.

    Torch tells the death of a worker by an error that is raised wherever the main process happens to be.

    Args:
        runner: From :func:`~fsfm_mm.engine.launch.build_runner`.

    Returns:
        The trained model.

    Raises:
        DataWorkerError: A worker was killed, crashed, or gave no batch within the loader's timeout.
    """
    try:
        return runner.train()
    except RunStoppedError:
        raise
    except Exception as error:
        sentence = _explain(error)
        if sentence is None:
            raise
        raise DataWorkerError(sentence) from error


def _explain(error: BaseException | None) -> str | None:
    """What torch means by an error of its own about workers, or by one that came of it; None for others."""
    while error is not None:
        message = str(error) if type(error) is RuntimeError else ''
        timeout = re.search(r'DataLoader timed out after (\S+) seconds', message)
        if timeout:
            return (
                f'no data worker gave a batch within {timeout[1]} seconds: is the disk or network gone, or the machine '
                f'overloaded? A larger train_dataloader.timeout waits longer; {_AGAIN}'
            )
        match = re.search(r'DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)', message)
        if match:
            return (
                f'a data worker (process {match[1].strip()}) was killed or crashed: most often the machine ran out of '
                f'memory (fewer train_dataloader.num_workers) or of shared memory (/dev/shm); {_AGAIN}'
            )
        error = error.__cause__ or error.__context__
    return None
