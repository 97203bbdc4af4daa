"""Says at the start what will be trained, and at the end where everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from fsfm_mm.engine.optim.schedulers import WarmupCosineLR
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import HOOKS


@HOOKS.register_module()
class RunReportHook(Hook):
    """Reports batch, learning-rate and schedule arithmetic at the start, and the run's files at the end."""

    priority = 'LOWEST'  # after the hooks that write the files it names

    def before_train(self, runner) -> None:
        """Log the arithmetic, and warn where the learning rate ends before the run."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        device = next(model.parameters()).device
        dtype = resolve_dtype(getattr(runner.optim_wrapper, 'dtype', 'float32'), device)
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(
            f'{type(model).__name__}: {trainable / 1e6:.2f} M trainable parameters on {device}, {dtype}. '
            f'{describe_batch(runner)}'
        )
        warning = early_end_of_schedule(runner)
        if warning is not None:
            runner.logger.warning(warning)

    @master_only
    def after_run(self, runner) -> None:
        """Name the files that the run left, when it trained."""
        work_dir = Path(runner.work_dir)
        pictures = sorted(work_dir.glob('reconstructions/*.png'))
        last = work_dir / 'last_checkpoint'
        found = {
            'checkpoint': last.read_text().strip() if last.exists() else None,
            'log': str(Path(runner.log_dir) / f'{runner.timestamp}.log'),
            'loss curve': work_dir / 'loss_curve.png',
            'reconstructions': pictures[-1] if pictures else None,
        }
        lines = [f'  {name:16s}{path}' for name, path in found.items() if path and Path(path).exists()]
        if runner._train_loop is not None:
            runner.logger.info('The run left:\n' + '\n'.join(lines))


def describe_batch(runner: Any) -> str:
    """Effective batch, learning rate, samples, iterations and updates of a run that is about to start.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.

    Returns:
        One line of sentences. The learning rates are those of the group with the highest: as configured, and
        what automatic scaling made of it, or would make (linear in the effective batch).
    """
    loader = runner.train_dataloader
    processes, accumulate = get_world_size(), runner.optim_wrapper._accumulative_counts
    effective = loader.batch_size * processes * accumulate
    return (
        f'Effective batch: {loader.batch_size} x {processes} process(es) x {accumulate} accumulated = {effective}. '
        f'{_learning_rate(runner, effective)} '
        f'{_samples(runner, loader.batch_size * processes)} '
        f'{runner.max_iters} iterations = {-(-runner.max_iters // accumulate)} updates.'
    )


def _samples(runner: Any, per_iteration: int) -> str:
    loader = runner.train_dataloader
    samples, iterations = len(loader.dataset), len(loader)
    if isinstance(loader.sampler, InfiniteSampler):  # its length is not that of an epoch in several processes
        return (
            f'{samples} samples, each seen {runner.max_iters * per_iteration / samples:.3g} times on average.'
        )
    left_out = max(samples - iterations * per_iteration, 0)
    without = f', {left_out} left out of each' if left_out else ''
    return f'{samples} samples = {iterations} iterations an epoch{without}.'


def _learning_rate(runner: Any, effective: int) -> str:
    groups = runner.optim_wrapper.optimizer.param_groups
    peak = max(group.get('initial_lr', group['lr']) for group in groups)
    scaling = runner.cfg.get('auto_scale_lr') or {}
    if 'base_batch_size' not in scaling:
        return f'Peak learning rate {peak:.4g}.'
    # third_party.scale_for_accumulation has divided the base by the accumulated batches, which mmengine leaves out
    counted = runner.optim_wrapper._accumulative_counts if scaling.get('accumulation_counted') else 1
    base = scaling['base_batch_size'] * counted
    if scaling.get('enable'):
        return f'Peak learning rate {peak * base / effective:.4g} for {base:g} scaled to {peak:.4g}.'
    if effective == base:
        return f'Peak learning rate {peak:.4g}, meant for this batch.'
    return (
        f'Peak learning rate {peak:.4g}, meant for a batch of {base:g} and not scaled '
        f'(--auto-scale-lr would make it {peak * effective / base:.4g}).'
    )


def early_end_of_schedule(runner: Any) -> str | None:
    """A sentence where a :class:`~fsfm_mm.engine.optim.WarmupCosineLR` ends before the run does, else None.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.
    """
    for schedule in runner.param_schedulers if isinstance(runner.param_schedulers, list) else ():
        length, unit = (
            (runner.max_epochs, 'epochs') if schedule.by_epoch else (runner.max_iters, 'iterations')
        )
        if isinstance(schedule, WarmupCosineLR) and schedule.total < length:
            return (
                f'The learning rate ends after {schedule.total:g} of {length} {unit} and stays at '
                f'{schedule.final_lr:g} from there on: set param_scheduler.total to the length of the run.'
            )
    return None
