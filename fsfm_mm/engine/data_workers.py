"""Data workers that leave signals to the run: a signal to the whole process group must not end them."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader

#: What asks a run to stop, see :class:`~fsfm_mm.engine.hooks.StopSignalHook`.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def shield_workers(loader: DataLoader) -> None:
    """Let the workers of a loader go on working when their run is asked to stop.

    SLURM and shells signal whole process groups, and torch's handler would end a worker at once: the run
    would fail for want of a batch before it could save.

    Args:
        loader: Changed in place; its own ``worker_init_fn`` runs as before.
    """
    if loader.num_workers > 0:
        loader.worker_init_fn = functools.partial(_init_worker, loader.worker_init_fn)
        start = functools.partial(_with_signals_waiting, loader._get_iterator)
        loader._get_iterator = start  # type: ignore[method-assign]


def _with_signals_waiting(start: Callable[[], Any]) -> Any:
    """Start workers that are born with the signals blocked: torch's handlers are there before ``_init_worker`` is."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(then: Callable[[int], None] | None, worker: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_end_when_the_parent_says, daemon=True).start()
    if then is not None:
        then(worker)


def _end_when_the_parent_says() -> None:
    """Obey the SIGTERM by which torch ends a hung worker; one from anybody else means the run."""
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == os.getppid():
            os._exit(0)
