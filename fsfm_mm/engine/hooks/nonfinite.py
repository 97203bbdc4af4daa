"""Stops a run whose loss stays non-finite."""

from __future__ import annotations

from mmengine.dist import barrier
from mmengine.hooks import Hook

from fsfm_mm.engine.saving import explaining_failed_saves
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Stops with a message and a saved state after ``patience`` non-finite updates in a row.

    :class:`AutocastOptimWrapper` has skipped each of these updates, so weights and optimiser state are those of
    the last finite one (a momentum target has gone on towards them); single skips are harmless and training
    goes on after them.

    Args:
        patience: Skipped updates in a row that stop the run.
        interval: Look every so many iterations on an accelerator (looking waits for the device); on a
            CPU at every iteration.
    """

    priority = 80  # the iteration is complete: its schedules have stepped, its losses are logged

    def __init__(self, patience: int = 5, interval: int = 50):
        self.patience = patience
        self.interval = interval

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Look at the wrapper's count of skipped updates, and stop the run when it is too high."""
        skipped = getattr(runner.optim_wrapper, 'skipped_in_a_row', None)
        if skipped is None:
            return
        if skipped.device.type != 'cpu' and not self.every_n_train_iters(runner, self.interval):
            return
        count = int(skipped)
        if count == 0:
            return
        losses = ', '.join(f'{key} {float(value.detach()):.4g}' for key, value in (outputs or {}).items())
        if count < self.patience:
            runner.logger.warning(
                f'iteration {runner.iter + 1}: the gradient is not finite, update skipped '
                f'({count} in a row, {losses})'
            )
            return
        name = f'nonfinite_iter_{runner.iter + 1}.pth'
        with explaining_failed_saves(runner):
            runner.save_checkpoint(runner.work_dir, name, by_epoch=False)
        barrier()  # a process that ends now would make torchrun end the one that still writes
        raise StoppedError(
            f'stopped at iteration {runner.iter + 1}: {count} updates in a row had a non-finite gradient ({losses}). '
            f'None of them changed a trained weight; the state is saved as {runner.work_dir}/{name}. Usual causes: a '
            'learning rate too high for the batch (see --auto-scale-lr), a broken input, or bfloat16 overflow '
            '(try --amp float32).'
        )
