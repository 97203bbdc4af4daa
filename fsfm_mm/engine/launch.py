"""From a config to a Runner: what the command line changes, and processes without a GPU."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.sampler import check_balanced_loader
from fsfm_mm.datasets.labelled.splits import check_splits
from fsfm_mm.datasets.seeding import seed_batches
from fsfm_mm.engine.data_faults import LOADER_TIMEOUT
from fsfm_mm.engine.data_workers import shield_workers
from fsfm_mm.engine.loops import check_sampler, exact_loop
from fsfm_mm.engine.processes import join_with_gloo
from fsfm_mm.engine.remote import refuse_remote_checkpoints
from fsfm_mm.engine.saving import save_atomically


def scale_for_accumulation(cfg: Config) -> None:
    """Count accumulated batches in mmengine's automatic learning-rate scaling, which leaves them out."""
    if cfg.get('auto_scale_lr', {}).get('enable') and not cfg.auto_scale_lr.get('accumulation_counted'):
        cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
        cfg.auto_scale_lr.accumulation_counted = True


def init_cpu_processes(cfg: Config) -> None:
    """Join the process group with gloo where there is no GPU.

    mmengine's own start calls ``torch.cuda.set_device``, and its DDP wrapper wants a device id. This does
    nothing with a GPU or without a launcher.

    Raises:
        ValueError: As :func:`~fsfm_mm.engine.processes.join_with_gloo`.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel'))
    cfg.model_wrapper_cfg.setdefault('device_ids', None)
    if not torch_dist.is_initialized():
        join_with_gloo(cfg)


def start_processes(cfg: Config) -> None:
    """Join the process group that ``cfg.launcher`` names, on GPUs or CPUs, where no Runner does it.

    Raises:
        ValueError: As :func:`init_cpu_processes`.
    """
    init_cpu_processes(cfg)
    if cfg.get('launcher', 'none') != 'none' and not is_distributed():
        init_dist(cfg.launcher, **cfg.get('env_cfg', {}).get('dist_cfg', dict(backend='nccl')))


def _is_not_file_client_note(record: logging.LogRecord) -> bool:
    """Drop two notes that mmengine's own checkpoint hook causes and no config can avoid."""
    message = record.getMessage()
    return not message.startswith(('"FileClient" will be deprecated', '"HardDiskBackend" is the alias'))


_runs = itertools.count(1)


@contextlib.contextmanager
def _own_name(cfg: Config) -> Iterator[None]:
    """Number the runs of one process after the first.

    mmengine keeps logger, message hub and visualizer by experiment and second: a run that is built within a
    second of another would write into that one's folder, and go on with its logged values.
    """
    number, before = next(_runs), cfg.get('experiment_name')
    if number > 1:
        name = before or (Path(cfg.filename).stem if cfg.filename else 'run')
        cfg.experiment_name = f'{name}_run{number}'
    try:
        yield
    finally:
        if before is None:
            cfg.pop('experiment_name', None)
        else:
            cfg.experiment_name = before


def build_runner(cfg: Config) -> Runner:
    """Build mmengine's Runner for a config, on GPUs or CPUs, in one process or many.

    Training and validation data are opened here, so that what is wrong with them is said before anything
    starts. mmengine's training loops are replaced by those that resume exactly; checkpoints at an address are
    refused.

    Args:
        cfg: A whole config with ``work_dir`` and ``launcher``.

    Raises:
        ValueError: When the data cannot be used, are fewer than one batch, or never end although the run goes
            by epochs.
    """
    scale_for_accumulation(cfg)
    init_cpu_processes(cfg)
    save_atomically()
    refuse_remote_checkpoints()
    with _own_name(cfg):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.logger.addFilter(_is_not_file_client_note)
    if runner._train_dataloader is not None:
        _open_training_data(runner)
        _open_validation_data(runner)
    return runner


def _build_loader(runner: Runner, settings: dict | DataLoader, **kwargs: Any) -> Any:
    if isinstance(settings, dict) and not torch.cuda.is_available():
        settings['pin_memory'] = False  # torch would warn of it at every epoch
    if isinstance(settings, dict) and settings.get('num_workers', 0) > 0:
        settings.setdefault('timeout', LOADER_TIMEOUT)  # torch waits for ever by itself
    loader = runner.build_dataloader(settings, seed=runner.seed, **kwargs)
    shield_workers(loader)
    return loader


def _open_training_data(runner: Runner) -> None:
    settings = runner._train_dataloader
    diff_rank_seed = runner._randomness_cfg.get('diff_rank_seed', False)
    loader = _build_loader(runner, settings, diff_rank_seed=diff_rank_seed)
    if len(loader) == 0:
        raise ValueError(
            f'the data set has {len(loader.dataset)} samples, fewer than one batch of {loader.batch_size} '
            'per process: give train_dataloader.batch_size a smaller value'
        )
    check_balanced_loader(loader)
    runner._train_dataloader = loader
    loop = exact_loop(runner._train_loop)
    if loop is None:
        kind = runner._train_loop['type']
        runner.logger.warning(f'train_cfg.type {kind} is not a loop of fsfm_mm: a resume will not be exact')
        return
    check_sampler(loop, loader.sampler)
    runner._train_loop = loop
    seed_batches(loader, runner.seed)


def _is_labelled(dataset) -> bool:
    """Whether a data set, or every one that it concatenates, is one of ours with classes and videos."""
    parts = getattr(dataset, 'datasets', None)
    return all(map(_is_labelled, parts)) if parts else isinstance(dataset, LabelledDataset)


def _open_validation_data(runner: Runner) -> None:
    """Refuse to validate on what is trained on, or with other classes (ours only: others have no video ids)."""
    if runner._val_dataloader is None:
        return
    built = not isinstance(runner._val_dataloader, dict)
    validation = runner._val_dataloader = _build_loader(runner, runner._val_dataloader)
    if not built:
        seed_batches(validation, runner.seed)
    training = runner._train_dataloader
    if _is_labelled(training.dataset) and _is_labelled(validation.dataset):
        check_splits({'train': training.dataset, 'val': validation.dataset})
