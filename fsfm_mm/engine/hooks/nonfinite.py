"""Stops a run whose loss stays non-finite."""

from __future__ import annotations

import functools
from typing import Any

import torch
from mmengine.hooks import Hook

from fsfm_mm.engine.failed_step import KeptStep, keep, overwritten, write
from fsfm_mm.engine.optim.wrapper import AutocastOptimWrapper
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Stops after ``patience`` non-finite updates in a row, and leaves the first of them to be replayed.

    :class:`AutocastOptimWrapper` has skipped each of these updates, so weights are those of the last finite one;
    single skips are harmless and training goes on after them. What is left is ``failed_step.pth``
    (:mod:`fsfm_mm.engine.failed_step`), for ``fsfm-mm replay``. Where every iteration is looked at, the model is kept
    exactly as it was before the first; elsewhere a momentum target is computed back, up to rounding.

    Args:
        patience: Skipped updates in a row that stop the run.
        interval: Look every so many iterations on an accelerator (looking waits for the device); on a
            CPU at every iteration.
    """

    priority = 80  # the iteration is complete: its schedules have stepped, its losses are logged

    def __init__(self, patience: int = 5, interval: int = 50):
        self.patience = patience
        self.interval = interval
        self._kept: KeptStep | None = None
        self._losses: dict[int, dict[str, Any]] = {}
        self._looks = False

    def before_train(self, runner) -> None:
        """Where looking costs nothing, or is wanted at every iteration, keep the first bad step while it is made."""
        self._kept, self._losses, wrapper = None, {}, runner.optim_wrapper
        if isinstance(wrapper, AutocastOptimWrapper):
            self._looks = self.interval == 1 or wrapper.precision(runner.model)[0].type == 'cpu'
            if self._looks:
                wrapper.on_skip = functools.partial(self._keep, runner, overwritten(runner.model))

    def _keep(self, runner, before: dict[str, torch.Tensor]) -> None:
        if self._kept is None:
            self._kept = keep(runner, before=before)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Look at the wrapper's count of skipped updates, and stop the run when it is too high."""
        skipped = getattr(runner.optim_wrapper, 'skipped_in_a_row', None)
        if skipped is None:
            return
        self._losses[runner.iter] = {name: value.detach() for name, value in (outputs or {}).items()}
        if skipped.device.type != 'cpu' and not self.every_n_train_iters(runner, self.interval):
            return
        count = int(skipped)
        if count == 0:
            self._kept = None
            if runner.optim_wrapper.should_update():
                self._losses = {}
            return
        losses = ', '.join(f'{key} {float(value):.4g}' for key, value in self._losses[runner.iter].items())
        if count >= self.patience:
            self._stop(runner, count, losses)
        runner.logger.warning(
            f'iteration {runner.iter + 1}: the gradient is not finite, update skipped ({count} in a row, {losses})'
        )

    def _stop(self, runner, count: int, losses: str) -> None:
        kept = self._kept if self._looks and self._kept is not None else keep(runner, count)
        try:
            left = f'fsfm-mm replay {write(runner, kept, self._losses)} says where'
        except OSError as error:  # which is not why the run stops
            left = f'the first could not be kept ({error.strerror or error})'
        raise StoppedError(
            f'stopped at iteration {runner.iter + 1}: {count} updates in a row had a non-finite gradient ({losses}) '
            f'and changed no weight; {left}. Usual causes: learning rate too high, broken input, bfloat16 overflow '
            '(--amp float32).'
        )
