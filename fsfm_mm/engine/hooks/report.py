"""Says at the start what will be trained, and at the end where everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook

from fsfm_mm.engine.optim.schedulers import WarmupCosineLR
from fsfm_mm.files.checkpoint_folders import pointed_to
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.ops.precision import resolve_dtype
from fsfm_mm.registry import HOOKS
from fsfm_mm.text import few, text_table


@HOOKS.register_module()
class RunReportHook(Hook):
    """Reports batch, learning-rate and schedule arithmetic at the start, and the run's files at the end."""

    priority = 'LOWEST'  # after the hooks that write the files it names

    def before_train(self, runner) -> None:
        """Log what will be done with what, and warn where the learning rate does not fit the run."""
        runner.logger.info('\n  '.join(['The run:', *text_table(list(describe(runner).items()), '<')]))
        for warning in filter(None, (early_end_of_schedule(runner), end_within_warmup(runner))):
            runner.logger.warning(warning)

    @master_only
    def after_run(self, runner) -> None:
        """Name the files that the run left, when it trained."""
        work_dir = Path(runner.work_dir)
        pictures = sorted(work_dir.glob('reconstructions/*.png'))
        found = {
            'checkpoint': pointed_to(work_dir),
            'log': str(Path(runner.log_dir) / f'{runner.timestamp}.log'),
            'loss curve': work_dir / 'loss_curve.png',
            'reconstructions': pictures[-1] if pictures else None,
        }
        rows = [(name, str(path)) for name, path in found.items() if path and Path(path).exists()]
        if runner._train_loop is not None:
            runner.logger.info('\n  '.join(['The run left:', *text_table(rows, '<', ' ', (15,))]))


def describe(runner: Any) -> dict[str, str]:
    """What a run that is about to start does, in a few rows.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.

    Returns:
        Texts by their titles.
    """
    model = unwrapped(runner.model)
    device = next(model.parameters()).device
    dtype = str(resolve_dtype(getattr(runner.optim_wrapper, 'dtype', 'float32'), device)).removeprefix(
        'torch.'
    )
    parameters = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    loader, validation = runner.train_dataloader, runner._val_dataloader
    per_iteration = loader.batch_size * get_world_size()
    rows = {
        'data': f'{_source(loader.dataset)}: {_samples(runner, per_iteration)}',
        'validation': '' if validation is None else _validation(runner, validation),
        'model': f'{type(model).__name__}{_architecture(model)}: {trainable / 1e6:.2f} M trainable parameters'
        + (f' of {parameters / 1e6:.2f} M' if parameters > trainable else ''),
        'device': f'{_device_name(device)}, {dtype}, {loader.num_workers} data worker(s) a process',
        'batch': _batch(runner),
        'learning rate': _learning_rate(runner, effective_batch(runner)),
        'schedule': _schedule(runner),
        'length': _length(runner),
        'begins': _beginning(runner),
        'goes to': runner.work_dir,
        'log': f'{Path(runner.log_dir) / runner.timestamp}.log (with the whole config, hooks and environment)',
    }
    return {title: text for title, text in rows.items() if text}


def effective_batch(runner: Any) -> int:
    """Samples of one update, over all processes and accumulated batches."""
    return runner.train_dataloader.batch_size * get_world_size() * runner.optim_wrapper._accumulative_counts


def describe_batch(runner: Any) -> str:
    """Effective batch, learning rate, samples, iterations and updates of a run that is about to start.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.

    Returns:
        One line of sentences. The learning rates are those of the group with the highest: as configured, and
        what automatic scaling made of it, or would make (linear in the effective batch).
    """
    per_iteration = runner.train_dataloader.batch_size * get_world_size()
    return ' '.join(
        [
            _batch(runner),
            _learning_rate(runner, effective_batch(runner)),
            _samples(runner, per_iteration),
            _length(runner),
        ]
    )


def _batch(runner: Any) -> str:
    processes, accumulate = get_world_size(), runner.optim_wrapper._accumulative_counts
    return (
        f'Effective batch: {runner.train_dataloader.batch_size} x {processes} process(es) x {accumulate} accumulated '
        f'= {effective_batch(runner)}.'
    )


def _length(runner: Any) -> str:
    accumulate = runner.optim_wrapper._accumulative_counts
    return f'{runner.max_iters} iterations = {-(-runner.max_iters // accumulate)} updates.'


def _source(dataset: Any) -> str:
    """The kind of a data set, and its folder; of those that it concatenates."""
    parts = getattr(dataset, 'datasets', None)
    if parts:
        return few([_source(part) for part in parts], 3, between=' + ')
    folder = getattr(dataset, 'data_root', None)
    return type(dataset).__name__ + (f' in {folder}' if folder else '')


def _validation(runner: Any, loader: Any) -> str:
    if isinstance(loader, dict):
        return ''
    loop = runner.train_loop
    unit = 'epochs' if runner.max_epochs > 1 else 'iterations'
    return f'{_source(loader.dataset)}: {len(loader.dataset)} samples, every {loop.val_interval} {unit}'


def _architecture(model: Any) -> str:
    """Width, depth and heads of a backbone that has them."""
    backbone: Any = getattr(model, 'backbone', None)
    names = ('embed_dims', 'depth', 'num_heads', 'patch_size', 'img_size')
    if not all(isinstance(getattr(backbone, name, None), int | tuple) for name in names):
        return '' if backbone is None else f' with {type(backbone).__name__}'
    size = backbone.img_size
    size = 'x'.join(map(str, size)) if isinstance(size, tuple) else f'{size}x{size}'
    return (
        f' with {type(backbone).__name__} (width {backbone.embed_dims}, depth {backbone.depth}, {backbone.num_heads} '
        f'heads, {size} pixels, patches of {backbone.patch_size})'
    )


def _device_name(device: torch.device) -> str:
    processes = get_world_size()
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{device.type.upper()}'
    return f'{processes} x {name}' if processes > 1 else name


def _schedule(runner: Any) -> str:
    """How the learning rate goes, where the schedule is ours."""
    found = _cosine(runner)
    if found is None:
        return ''
    unit = 'epochs' if found.by_epoch else 'iterations'
    warmup = f'It rises from 0 (the first iteration changes nothing) over {found.warmup:g} {unit}, then falls'
    return f'{warmup if found.warmup else "It falls"} to {found.final_lr:g} at {found.total:g}.'


def _cosine(runner: Any) -> WarmupCosineLR | None:
    schedules = runner.param_schedulers if isinstance(runner.param_schedulers, list) else ()
    return next((found for found in schedules if isinstance(found, WarmupCosineLR)), None)


def _beginning(runner: Any) -> str:
    if runner._resume and runner.iter:
        return f'at iteration {runner.iter}, resumed from {runner._load_from or "the last checkpoint"}'
    return f'with the weights of {runner._load_from}' if runner._load_from else ''


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


def _run_length(runner: Any, schedule: Any) -> tuple[int, str]:
    """How long a run is in the unit that a schedule counts, and that unit."""
    return (runner.max_epochs, 'epochs') if schedule.by_epoch else (runner.max_iters, 'iterations')


def early_end_of_schedule(runner: Any) -> str | None:
    """A sentence where a :class:`~fsfm_mm.engine.optim.WarmupCosineLR` ends before the run does, else None.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.
    """
    schedule = _cosine(runner)
    if schedule is None:
        return None
    length, unit = _run_length(runner, schedule)
    if schedule.total >= length:
        return None
    return (
        f'The learning rate ends after {schedule.total:g} of {length} {unit} and stays at '
        f'{schedule.final_lr:g} from there on: set param_scheduler.total to the length of the run.'
    )


def end_within_warmup(runner: Any) -> str | None:
    """A sentence where a run ends before the warm-up of its learning rate does, else None.

    Args:
        runner: mmengine's Runner or FlexibleRunner, in ``before_train`` or later.
    """
    schedule = _cosine(runner)
    if schedule is None:
        return None
    length, unit = _run_length(runner, schedule)
    if schedule.warmup < length:
        return None
    return (
        f'The run ends after {length} {unit}, within the warm-up of {schedule.warmup:g}: it never trains at the full '
        'learning rate; shorten param_scheduler.warmup and .total with the run.'
    )
