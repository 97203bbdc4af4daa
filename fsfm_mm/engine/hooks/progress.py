"""How far a training is, how fast it goes, and when it will be done."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from tqdm import tqdm

from fsfm_mm.engine.console import console_handlers, leave_training_lines_out, write_beside_bars
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """A bar on a terminal, else lines on the console: the first within ten seconds, then ever more rarely.

    It writes to the console only. The log file and the logged values are the LoggerHook's, whose lines of every n
    iterations then go to the file only.

    Args:
        first: Seconds until the first line.
        most: Seconds between two lines at most; the distance doubles until then.
    """

    priority = 'BELOW_NORMAL'  # before the schedules step: the rate of this iteration, not of the next

    def __init__(self, first: float = 10.0, most: float = 300.0):
        self.first, self.most = first, most
        self._bar: Any = None
        self._shown = False

    def before_train(self, runner) -> None:
        """Take over the console, unless it is that of another process or too quiet for progress."""
        consoles = console_handlers(runner.logger)
        self._shown = is_main_process() and any(handler.level <= logging.INFO for handler in consoles)
        if not self._shown:
            return
        for handler in consoles:
            handler.addFilter(leave_training_lines_out)
        self._start, self._due, self._gap = runner.iter, self.first, self.first
        self._begin = self._last = time.monotonic()
        self._first_done: float | None = None
        if _has_room_for_a_bar():
            write_beside_bars(runner.logger)
            self._bar = tqdm(
                total=runner.max_iters, initial=runner.iter, unit='it', file=sys.stdout, dynamic_ncols=True
            )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Show, when it is time: before the next iteration would end too late."""
        if not self._shown:
            return
        now, done = time.monotonic(), runner.iter + 1
        if self._first_done is None:
            self._first_done = now  # it starts workers and compiles, and would spoil the rate
        if self._bar is not None:
            self._bar.update()
        elapsed, took, self._last = now - self._begin, now - self._last, now
        if elapsed + took < self._due and done < runner.max_iters:
            return
        self._due, self._gap = max(elapsed, self._due) + self._gap, min(2 * self._gap, self.most)
        if self._bar is not None:
            self._bar.set_postfix_str(_state(runner, outputs), refresh=False)
        else:
            print(self._line(runner, now, done, outputs), flush=True)

    def after_train(self, runner) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, runner: Any, now: float, done: int, outputs: Any) -> str:
        """What is done, the rate, the losses, the time left: with what validations and checkpoints took so far."""
        steps = done - self._start - 1
        per_step = (now - (self._first_done or now)) / steps if steps else now - self._begin
        epoch = f' (epoch {runner.epoch + 1} of {runner.max_epochs})' if runner.max_epochs > 1 else ''
        rate = runner.train_dataloader.batch_size * get_world_size() / max(per_step, 1e-9)
        left = tqdm.format_interval(math.ceil((runner.max_iters - done) * per_step))
        return (
            f'{time.strftime("%H:%M:%S")} {done} of {runner.max_iters} iterations{epoch}, '
            f'{rate:.{0 if rate >= 100 else 1}f} pictures/s, {_state(runner, outputs)}, {left} left'
        )


def _has_room_for_a_bar() -> bool:
    """Whether the console is a terminal that knows its width; one of width 0 (a bare pty) would show nothing."""
    if not sys.stdout.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns > 0
    except (OSError, ValueError):  # of another kind than a file
        return True


def _state(runner: Any, outputs: Any) -> str:
    """Loss and learning rate; reading the loss waits for the device, so this is for a line, not for an iteration."""
    loss = (outputs or {}).get('loss')
    rate = max(group['lr'] for group in runner.optim_wrapper.optimizer.param_groups)
    parts = [] if loss is None else [f'loss {float(torch.as_tensor(loss).detach()):.4g}']
    return ', '.join([*parts, f'lr {rate:.3g}' + ('' if rate else ' (the warm-up begins at 0)')])
