"""From a config to a Runner that trains: its processes, with or without GPUs, its data, and what is wrong with them."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.sampler import check_balanced_loader
from fsfm_mm.datasets.labelled.splits import check_splits
from fsfm_mm.datasets.seeding import seed_batches
from fsfm_mm.engine.batch_sizes import check_even_batches
from fsfm_mm.engine.console import terse_loggers
from fsfm_mm.engine.data_faults import LOADER_TIMEOUT, train
from fsfm_mm.engine.hooks.momentum import warn_of_a_still_target
from fsfm_mm.engine.last_checkpoint import choose_checkpoint
from fsfm_mm.engine.loops import check_sampler, exact_loop, has_begun
from fsfm_mm.engine.optim.schedulers import outlasts
from fsfm_mm.engine.third_party import (
    drop_file_client_notes,
    give_gloo_time_to_end,
    leave_hooks_out,
    name_pictures_for_mlflow,
    own_name,
    refuse_remote_checkpoints,
    save_atomically,
    scale_for_accumulation,
    shield_workers,
    wrap_without_a_device,
)
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.files.writing import check_folder
from fsfm_mm.models.contracts import check_head
from fsfm_mm.models.wrapping import unwrapped
from fsfm_mm.settings.checking import check_settings
from fsfm_mm.settings.explaining import (
    SettingsError,
    error_message,
    tell_setting,
    with_traceback,
)


def slurm_environment() -> None:
    """Tell torch what SLURM knows: rank, processes, and where the first of them listens.

    ``MASTER_ADDR`` and ``MASTER_PORT`` win where they are set (29500 otherwise). On several nodes the address
    is that of the first node, which is not where ``srun`` was typed.

    Raises:
        ValueError: When this process was not started by srun.
    """
    missing = [name for name in ('SLURM_PROCID', 'SLURM_NTASKS') if name not in os.environ]
    if missing:
        raise ValueError(
            f"--launcher slurm expects srun's environment, but {', '.join(missing)} is not set: start with "
            'tools/slurm_train.sh or srun, or use tools/dist_train.sh'
        )
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_node()


def _first_node() -> str:
    if int(os.environ.get('SLURM_NNODES', '1')) == 1:
        return '127.0.0.1'
    command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_JOB_NODELIST']]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]


def join_with_gloo(cfg: Config) -> None:
    """Join the process group over gloo, as ``cfg.launcher`` says.

    ``env_cfg.dist_cfg.timeout`` (seconds, as mmengine takes it with NCCL) bounds how long a process waits for
    the others before it stops with an error; torch's default for gloo is 30 minutes.

    Args:
        cfg: Config with ``launcher``, optionally ``env_cfg.dist_cfg.timeout``.

    Raises:
        ValueError: For a launcher other than pytorch (torchrun) or slurm, or a timeout that is not positive.
    """
    if cfg.launcher == 'slurm':
        slurm_environment()
    elif cfg.launcher != 'pytorch':
        raise ValueError(f"without a GPU the launcher must be 'pytorch' or 'slurm', found {cfg.launcher!r}")
    give_gloo_time_to_end()
    seconds = (cfg.get('env_cfg', {}).get('dist_cfg') or {}).get('timeout')
    if seconds is None:
        _join()
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ValueError(f'env_cfg.dist_cfg.timeout must be a positive number of seconds, found {seconds!r}')
    _join(timeout=datetime.timedelta(seconds=seconds))


def _join(**options: Any) -> None:
    try:
        torch_dist.init_process_group('gloo', **options)
    except RuntimeError as error:
        if 'EADDRINUSE' not in str(error) and 'address already in use' not in str(error):
            raise
        port = os.environ.get('MASTER_PORT', '29500')
        raise ValueError(
            f'port {port}, at which the processes of a run meet, is in use on this machine: take another one with '
            'MASTER_PORT (PORT for tools/dist_train.sh)'
        ) from error


def init_cpu_processes(cfg: Config) -> None:
    """Join the process group with gloo where there is no GPU.

    mmengine's own start calls ``torch.cuda.set_device``. This does nothing with a GPU or without a launcher.

    Raises:
        ValueError: As :func:`join_with_gloo`.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    wrap_without_a_device(cfg)
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


def leave_processes() -> None:
    """Wait for the other processes, which may need the first one's store, and leave the group."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()


def build_runner(cfg: Config) -> Runner:
    """Build mmengine's Runner for a config, on GPUs or CPUs, in one process or many.

    Training and validation data are opened here, so that what is wrong with them is said before anything
    starts. mmengine's training loops are replaced by those that resume exactly; checkpoints at an address are
    refused.

    Args:
        cfg: A whole config with ``work_dir`` and ``launcher``.

    Raises:
        SettingsError: A ValueError of one sentence, which names the setting: a part cannot be built, or the data
            cannot be used, are fewer than one batch, or never end although the run goes by epochs.
        StoppedError: A checkpoint cannot be read.
    """
    before = _last_logger()
    try:
        return _build(cfg)
    except StoppedError:
        raise
    except Exception as error:
        logger = _last_logger()
        log = None if logger is before else logger.log_file
        raise SettingsError(tell_setting(error, log)) from error


def _build(cfg: Config) -> Runner:
    check_folder(cfg.work_dir, 'the work directory', make=True)
    check_settings(cfg)
    if cfg.get('resume') and cfg.get('load_from') is None:
        choose_checkpoint(cfg)  # mmengine would follow the pointer to wherever the run once was
    scale_for_accumulation(cfg)
    leave_hooks_out(cfg)
    init_cpu_processes(cfg)
    save_atomically()
    refuse_remote_checkpoints()
    name_pictures_for_mlflow()
    with own_name(cfg), terse_loggers():
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    drop_file_client_notes(runner.logger)
    check_head(unwrapped(runner.model))
    warn_of_a_still_target(runner)
    longer = outlasts(cfg.get('train_cfg') or {}, cfg.get('param_scheduler'))
    if longer:
        runner.logger.warning(longer)
    if runner._train_dataloader is not None:
        _open_training_data(runner)
        _open_validation_data(runner)
    return runner


def _last_logger() -> Any:
    """The logger of the run that was begun last in this process."""
    return next(reversed(MMLogger._instance_dict.values()), None)


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
    check_even_batches(unwrapped(runner.model), loader, loop)
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


def exit_where_settings_are_wrong(error: Exception, name: str = 'fsfm-mm train') -> None:
    """Exit with one sentence, unless the error says itself that the run was stopped."""
    if not isinstance(error, StoppedError):
        sys.exit(f'{name}: {tell_setting(error, None, name)}')


def train_or_explain(runner: Runner, name: str = 'fsfm-mm train') -> None:
    """Train; exit with one sentence where that fails, and the traceback in the log.

    Optimiser, schedules and weights are built here, and the first iteration is where shapes and types meet: up to its
    end an error means a setting.
    """
    try:
        train(runner)
    except StoppedError:
        raise
    except Exception as error:
        log = runner.logger.log_file
        if not has_begun(runner):
            where = 'in the first iteration: ' if hasattr(runner._train_loop, 'began_at') else ''
            sys.exit(f'{name}: {where}{tell_setting(error, log)}')
        sentence = f'stopped at iteration {runner.iter + 1} by an error: {type(error).__name__}: {error_message(error)}'
        sys.exit(f'{name}: {with_traceback(sentence, error, log)}')
