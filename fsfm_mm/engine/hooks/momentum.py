"""Moves the momentum target."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """Updates ``model.target`` after every optimiser step (FSFM section 3.2); idle for other models.

    Iterations that only accumulate gradients do not move the target, and the momentum's cosine runs
    over the optimiser's updates, not over iterations. An update that was skipped for a gradient that is not
    finite counts as one: the target goes on towards the weights as they are.
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner) -> None:
        """Find the target, and how many updates the run will make."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.target = getattr(model, 'target', None)
        self.accumulate = runner.optim_wrapper._accumulative_counts
        self.total_updates = math.ceil(runner.max_iters / self.accumulate)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Update, when this iteration made an optimiser step."""
        if self.target is None or not runner.optim_wrapper.should_update():
            return
        momentum = self.target.momentum(runner.iter // self.accumulate, self.total_updates)
        if momentum is None:
            return
        self.target.update(momentum)
        runner.message_hub.update_scalar('train/momentum', momentum)
