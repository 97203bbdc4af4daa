"""Stops a run that is asked to: saved, in good order, with a code that scripts can test."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import weakref
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

from fsfm_mm.engine.hooks.safe_checkpoint import STOPPED
from fsfm_mm.engine.saving import explaining_failed_saves, point_to
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS

#: Exit codes: EX_TEMPFAIL of sysexits.h ("try again later"), and the shell's for Ctrl-C.
EXIT_CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}


@HOOKS.register_module()
class StopSignalHook(Hook):
    """On SIGTERM, SIGUSR1 (a scheduler's warning) or Ctrl-C: ends the update, saves ``stopped.pth``, stops.

    A signal to one process stops all of a job. A second Ctrl-C stops at once, without saving. During a
    validation a signal waits for its end. After a run that an exception ended, which tells no hook, the first
    signal goes to whoever listened before.

    Args:
        interval: With several processes, so many updates between two looks at whether any was signalled. A
            look is one number exchanged between the CPUs, and does not wait for a GPU.
    """

    priority = 'LOWEST'  # the other hooks have done what belongs to the iteration

    def __init__(self, interval: int = 1):
        self.interval = interval
        self._caught: int | None = None
        self._previous: dict[int, Any] = {}
        self._group: Any = None

    def before_train(self, runner) -> None:
        """Listen, before the data workers start: they inherit it, and go on working through a signal."""
        self._caught, self._updates, self._pid = None, 0, os.getpid()
        self._group = None
        if get_world_size() > 1:
            # over the network of the CPUs, so that nobody waits for a GPU
            gloo = torch_dist.get_backend() == 'gloo'
            self._group = torch_dist.group.WORLD if gloo else _new_group(runner.cfg)
        if threading.current_thread() is threading.main_thread():
            self._runner = weakref.ref(runner)
            self._previous = {number: signal.signal(number, self._note) for number in EXIT_CODES}

    def _note(self, number: int, frame: Any) -> None:
        if not self._trains(frame):
            self.after_run(None)
            signal.raise_signal(number)
            return
        if number == signal.SIGINT:
            if self._caught == signal.SIGINT:
                raise KeyboardInterrupt
            if os.getpid() == self._pid:
                os.write(2, b'\nFinishing this update and saving; Ctrl-C again stops at once.\n')
        self._caught = number

    def _trains(self, frame: Any) -> bool:
        """Whether the interrupted code was called by the run's training."""
        runner = self._runner()
        while frame is not None and not (
            frame.f_code.co_name == 'train' and frame.f_locals.get('self', frame) is runner
        ):
            frame = frame.f_back
        return frame is not None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Stop when any process was signalled and no gradients are left over."""
        if not runner.optim_wrapper.should_update():
            return
        self._updates += 1
        number = self._agreed()
        if number:
            self._stop(runner, number)

    def _agreed(self) -> int:
        """The signal that any process has caught, 0 for none, the same on all processes."""
        if self._group is None:
            return self._caught or 0
        if self._updates % self.interval:
            return 0
        flag = torch.tensor(self._caught or 0)
        torch_dist.all_reduce(flag, torch_dist.ReduceOp.MAX, group=self._group)
        return int(flag)

    def _stop(self, runner, number: int) -> None:
        path = Path(runner.work_dir) / STOPPED
        with explaining_failed_saves(runner):
            runner.save_checkpoint(runner.work_dir, STOPPED, by_epoch=False)
            if is_main_process():
                point_to(runner.work_dir, path)
        runner.call_hook('after_run')
        if self._group is not None:
            # a process that ends before the file is written would make torchrun or srun end the one that writes
            torch_dist.barrier(group=self._group)
        raise StoppedError(
            f'stopped by {signal.Signals(number).name} after iteration {runner.iter + 1}; the state is saved as '
            f'{path}: go on with --resume.',
            EXIT_CODES[signal.Signals(number)],
        )

    def after_run(self, runner) -> None:
        """Listen no longer."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _new_group(cfg: Any) -> Any:
    """A group of all processes over gloo, with the timeout of the others."""
    seconds = (cfg.get('env_cfg', {}).get('dist_cfg') or {}).get('timeout')
    timeout = None if seconds is None else datetime.timedelta(seconds=seconds)
    return torch_dist.new_group(timeout=timeout, backend='gloo')
