"""Data workers that die or hang: the run stops in bounded time, and says what to do."""

from __future__ import annotations

import errno
import re
import time
import traceback
from typing import Any

from torch.utils.data import dataloader

from fsfm_mm.engine.saving import failed_to_write, is_full
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.files.stopping import NO_SHARED_MEMORY, StoppedError
from fsfm_mm.settings.explaining import error_message

#: Seconds that a batch may take before its workers count as hung, where a config does not say.
LOADER_TIMEOUT = 600
#: Seconds to wait for word of a worker's death after the connection to it broke; a core dump takes a while.
_DEATH_NOTICE = 5
_AGAIN = 'start the run again with --resume.'


def train(runner: Any) -> Any:
    """``runner.train()``, with one sentence where a data worker died or hung, or a log met a full disk.

    Torch tells the death of a worker by an error that is raised wherever the main process happens to be.

    Args:
        runner: From :func:`~fsfm_mm.engine.launch.build_runner`.

    Returns:
        The trained model.

    Raises:
        StoppedError: The disk is full; a worker was killed, crashed, or gave no batch within the loader's timeout.
    """
    try:
        try:
            return runner.train()
        except (OSError, EOFError) as error:
            if _comes_from_a_loader(error):
                # A worker that dies while it hands over a batch closes its sockets a moment before it counts
                # as dead: torch's error is raised into this sleep, not into the code that reports this one.
                time.sleep(_DEATH_NOTICE)
            elif isinstance(error, OSError) and is_full(error):
                # logged values are written more often than checkpoints
                raise failed_to_write(runner, 'a log or picture', error) from error
            raise
    except StoppedError:
        raise
    except Exception as error:
        sentence = _explain(error)
        if sentence is None:
            raise
        raise StoppedError(sentence) from error


def _comes_from_a_loader(error: BaseException) -> bool:
    return any(frame.filename == dataloader.__file__ for frame in traceback.extract_tb(error.__traceback__))


def _explain(error: BaseException | None) -> str | None:
    """What torch means by an error of its own about workers, or by one that came of it; None for others."""
    while error is not None:
        if isinstance(error, BrokenSampleError):
            return (
                f'{error_message(error).rstrip(".")}: mend or put back the data (on_broken="skip" of the data set '
                f'leaves single broken files out); {_AGAIN}'
            )
        message = str(error) if type(error) is RuntimeError else ''
        if f'exit code {errno.ENOSPC}' in message or 'Bus error' in message:
            return f'{NO_SHARED_MEMORY}; {_AGAIN}'
        timeout = re.search(r'DataLoader timed out after (\S+) seconds', message)
        if timeout:
            return (
                f'no data worker gave a batch within {timeout[1]} seconds: is the disk or network gone, or the machine '
                f'overloaded? A larger train_dataloader.timeout waits longer; {_AGAIN}'
            )
        match = re.search(r'DataLoader worker \(pid\(?s?\)? ([\d, ]+)\)', message)
        if match:
            # torch says the exit code in another error, of which this one came
            return _explain(error.__cause__ or error.__context__) or (
                f'a data worker (process {match[1].strip()}) was killed or crashed: most often the machine ran out of '
                f'memory (fewer train_dataloader.num_workers) or of shared memory (/dev/shm); {_AGAIN}'
            )
        error = error.__cause__ or error.__context__
    return None
