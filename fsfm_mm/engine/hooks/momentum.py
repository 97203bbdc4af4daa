"""Moves the momentum target."""

from __future__ import annotations

import math

from mmengine.hooks import Hook

from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.registry import HOOKS


def warn_of_a_still_target(runner) -> None:
    """Say what it means that a run with a target that is to move has no :class:`MomentumUpdateHook`."""
    model = unwrapped(runner.model)
    moves = getattr(getattr(model, 'target', None), 'base_momentum', None) is not None
    if moves and not any(isinstance(hook, MomentumUpdateHook) for hook in runner.hooks):
        runner.logger.warning(
            'default_hooks has no MomentumUpdateHook: the target stays as it is at the start, as with '
            'model.target.base_momentum=None'
        )


@HOOKS.register_module()
class MomentumUpdateHook(Hook):
    """Updates ``model.target`` after every optimiser step (FSFM section 3.2); idle for other models.

    An update that was skipped for a gradient that is not finite counts as one: the target goes on towards the weights
    as they are.

    Args:
        per: 'update': iterations that only accumulate gradients do not move the target, and the momentum's cosine
            runs over the optimiser's updates. 'iteration': every iteration moves it, also while gradients accumulate,
            and the cosine runs over iterations, as in the reference's path for one GPU. Without accumulation
            they are the same.

    Raises:
        ValueError: For another ``per``.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, per: str = 'update'):
        if per not in ('update', 'iteration'):
            raise ValueError(f"MomentumUpdateHook.per must be 'update' or 'iteration', found {per!r}")
        self.per = per

    def before_train(self, runner) -> None:
        """Find the target, and how often the run will move it."""
        model = unwrapped(runner.model)
        self.target = getattr(model, 'target', None)
        self.every = runner.optim_wrapper._accumulative_counts if self.per == 'update' else 1
        self.total = math.ceil(runner.max_iters / self.every)

    def share_left(self, first: int, last: int) -> float:
        """What is left, after iteration ``last``, of the target before ``first``: a share, 1 where it stood still."""
        share = 1.0
        for iteration in range(first, last + 1):
            momentum = None
            if self.target is not None and (iteration + 1) % self.every == 0:
                momentum = self.target.momentum(iteration // self.every, self.total)
            share *= 1.0 if momentum is None else momentum
        return share

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Update, when this iteration made an optimiser step, or at every one."""
        if self.target is None or (self.per == 'update' and not runner.optim_wrapper.should_update()):
            return
        momentum = self.target.momentum(runner.iter // self.every, self.total)
        if momentum is None:
            return
        self.target.update(momentum)
        runner.message_hub.update_scalar('train/momentum', momentum)
