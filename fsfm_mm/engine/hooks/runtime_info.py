"""Logs losses without waiting for the device at every iteration."""

from __future__ import annotations

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook

from fsfm_mm.engine.honoured_settings import RUN_STATE
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class IntervalRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's runtime info, with losses summed on the device and handed over when they are logged.

    mmengine reads every loss back at every iteration, which stalls a GPU. Logged values are exact means
    since the last log line. Put it in ``default_hooks`` as ``runtime_info``; the interval is that of the
    ``LoggerHook``. The sums since the last log line are in every checkpoint.
    """

    _restored: dict | None = None

    def before_train(self, runner) -> None:
        """Start with empty sums and find the logging interval."""
        super().before_train(runner)
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.interval: int = loggers[0].interval if loggers else 50
        self.ignore_last: bool = loggers[0].ignore_last if loggers else True
        self._sums: dict[str, torch.Tensor | float] = {}
        self._count = 0
        if self._restored is not None:
            device = next(runner.model.parameters()).device
            sums, self._count = self._restored['sums'], self._restored['count']
            self._sums = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in sums.items()}

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the sums, so that a run that goes on from here logs the same means."""
        sums = {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in self._sums.items()}
        checkpoint.setdefault(RUN_STATE, {})['log'] = {'sums': sums, 'count': self._count}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the sums of a run that is resumed."""
        if runner._resume:
            self._restored = checkpoint.get(RUN_STATE, {}).get('log')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Add to the sums; hand the means over on the iterations that the logger prints."""
        for key, value in (outputs or {}).items():
            value = value.detach() if isinstance(value, torch.Tensor) else value
            self._sums[key] = self._sums[key] + value if key in self._sums else value
        self._count += 1
        if not self._will_be_logged(runner, batch_idx):
            return
        hub = runner.message_hub
        for key, value in self._sums.items():
            hub.update_scalar(f'train/{key}', value / self._count)
        grad_norm = getattr(runner.optim_wrapper, 'grad_norm', None)
        if grad_norm is not None:
            hub.update_scalar('train/grad_norm', grad_norm)
        self._sums, self._count = {}, 0

    def _will_be_logged(self, runner, batch_idx: int) -> bool:
        """Whether the logger prints this iteration; its own condition, since it offers no function."""
        if self.every_n_inner_iters(batch_idx, self.interval):
            return True
        loader = runner.train_dataloader
        short = len(loader) <= self.interval or not self.ignore_last
        return short and self.end_of_epoch(loader, batch_idx)
