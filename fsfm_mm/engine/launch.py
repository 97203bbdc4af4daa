"""From a config to a Runner: what the command line changes, and processes without a GPU."""

from __future__ import annotations

import logging
import os

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from fsfm_mm.datasets.labelled_base import LabelledDataset
from fsfm_mm.datasets.samplers import check_balanced_loader
from fsfm_mm.datasets.splits import check_splits


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
        ValueError: For a launcher other than pytorch (torchrun) or slurm.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel'))
    cfg.model_wrapper_cfg.setdefault('device_ids', None)
    if torch_dist.is_initialized():
        return
    if cfg.launcher == 'slurm':
        os.environ['RANK'] = os.environ['SLURM_PROCID']
        os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
        os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
        os.environ.setdefault('MASTER_ADDR', os.environ.get('SLURM_LAUNCH_NODE_IPADDR', '127.0.0.1'))
        os.environ.setdefault('MASTER_PORT', '29500')
    elif cfg.launcher != 'pytorch':
        raise ValueError(f"without a GPU the launcher must be 'pytorch' or 'slurm', found {cfg.launcher!r}")
    torch_dist.init_process_group('gloo')


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


def build_runner(cfg: Config) -> Runner:
    """Build mmengine's Runner for a config, on GPUs or CPUs, in one process or many.

    The training data are opened here, so that what is wrong with them is said before anything starts.

    Args:
        cfg: A whole config with ``work_dir`` and ``launcher``.

    Raises:
        ValueError: When the data cannot be used, or are fewer than one batch.
    """
    scale_for_accumulation(cfg)
    init_cpu_processes(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.logger.addFilter(_is_not_file_client_note)
    _open_training_data(runner)
    _check_validation_data(runner)
    return runner


def _open_training_data(runner: Runner) -> None:
    if runner._train_dataloader is None:
        return
    settings = runner._train_dataloader
    if isinstance(settings, dict) and not torch.cuda.is_available():
        settings['pin_memory'] = False  # torch would warn of it at every epoch
    loader = runner.build_dataloader(
        settings,
        seed=runner.seed,
        diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
    )
    if len(loader) == 0:
        raise ValueError(
            f'the data set has {len(loader.dataset)} samples, fewer than one batch of {loader.batch_size} '
            'per process: give train_dataloader.batch_size a smaller value'
        )
    check_balanced_loader(loader)
    runner._train_dataloader = loader


def _is_labelled(dataset) -> bool:
    """Whether a data set, or every one that it concatenates, is one of ours with classes and videos."""
    parts = getattr(dataset, 'datasets', None)
    return all(map(_is_labelled, parts)) if parts else isinstance(dataset, LabelledDataset)


def _check_validation_data(runner: Runner) -> None:
    """Refuse to validate on what is trained on, or with other classes (ours only: others have no video ids)."""
    training = runner._train_dataloader
    if runner._val_dataloader is None or training is None or not _is_labelled(training.dataset):
        return
    if isinstance(runner._val_dataloader, dict):
        settings = {**runner._val_dataloader, 'pin_memory': torch.cuda.is_available()}
        runner._val_dataloader = runner.build_dataloader(settings, seed=runner.seed)
    if _is_labelled(runner._val_dataloader.dataset):
        check_splits({'train': training.dataset, 'val': runner._val_dataloader.dataset})
