"""Joining the processes of a job on CPUs, under torchrun or SLURM."""

from __future__ import annotations

import atexit
import datetime
import os
import subprocess
import time

import torch.distributed as torch_dist
from mmengine.config import Config

#: Seconds before a process ends, in which gloo's threads let go of the last collective. One that still holds it
#: when the interpreter shuts down aborts the process (exit code -6), however well its run went.
_GLOO_GRACE = 0.5


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
    atexit.register(time.sleep, _GLOO_GRACE)
    seconds = (cfg.get('env_cfg', {}).get('dist_cfg') or {}).get('timeout')
    if seconds is None:
        torch_dist.init_process_group('gloo')
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ValueError(f'env_cfg.dist_cfg.timeout must be a positive number of seconds, found {seconds!r}')
    torch_dist.init_process_group('gloo', timeout=datetime.timedelta(seconds=seconds))


def leave_processes() -> None:
    """Wait for the other processes, which may need the first one's store, and leave the group."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()
