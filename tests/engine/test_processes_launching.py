"""Several hosts, SLURM, sharding from the command line, and processes that die or hang."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from ports import free_port
from test_processes import SCRIPT, environment, launch

from fsfm_mm import commands
from fsfm_mm.engine.launch import build_runner, join_with_gloo, slurm_environment
from fsfm_mm.visualization import read_scalars

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
_base_ = ['{root}/configs/fsfm/fsfm_demo.py'{more}]
model = dict(
    backbone=dict(arch=dict(_delete_=True, embed_dim=32, depth=2, num_heads=2)),
    pixel_decoder=dict(embed_dim=32, depth=1, num_heads=2),
    rep_decoder=dict(num_heads=2),
    projector=dict(hidden_dim=32),
    predictor=dict(hidden_dim=32),
)
train_dataloader = dict(num_workers=0, persistent_workers=False, batch_size=4, dataset=dict(length=32))
optim_wrapper = dict(dtype='float32')
param_scheduler = dict(warmup=1, total=3)
train_cfg = dict(max_iters=3)
default_hooks = dict(logger=dict(interval=1), pictures=dict(interval=2))
env_cfg = dict(dist_cfg=dict(timeout=60))
log_level = 'INFO'
"""


def write_config(folder, *more):
    path = folder / f'{"_".join(["config", *(Path(base).stem for base in more)])}.py'
    path.write_text(CONFIG.format(root=ROOT, more=''.join(f", '{ROOT}/{base}'" for base in more)))
    return str(path)


def run_all(commands, environments, timeout=180):
    """Start commands together; their exit codes and error outputs. Whatever still runs at the end is killed."""
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command, env in zip(commands, environments)
    ]
    try:
        outputs = [process.communicate(timeout=timeout)[0] for process in running]
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
    return [process.returncode for process in running], outputs


def dist_train(config, processes, work_dir):
    return [str(ROOT / 'tools/dist_train.sh'), config, str(processes), '--work-dir', str(work_dir)]


def hosts(folder):
    """Environments of two machines that meet on a port of the first."""
    port = free_port()
    return [
        environment(
            PYTHON=sys.executable, NNODES='2', NODE_RANK=str(i), MASTER_ADDR='127.0.0.1', MASTER_PORT=port
        )
        for i in range(2)
    ]


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory):
    """Work directory of an ordinary run of two processes."""
    folder = tmp_path_factory.mktemp('launching')
    env = environment(PYTHON=sys.executable, MASTER_PORT=free_port())
    codes, outputs = run_all([dist_train(write_config(folder), 2, folder / 'work')], [env])
    assert codes == [0], outputs[0][-3000:]
    return folder / 'work'


def assert_same_run(one, other, **tolerance):
    a, b = (torch.load(folder / 'iter_3.pth', weights_only=False)['state_dict'] for folder in (one, other))
    assert list(a) == list(b)
    torch.testing.assert_close(b, a, **{'rtol': 0, 'atol': 0, **tolerance})
    losses = [[entry['loss'] for entry in read_scalars(folder)] for folder in (one, other)]
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=tolerance.get('rtol', 1e-12))


@pytest.mark.slow
def test_two_hosts_equal_one(two_processes, tmp_path):
    """The commands of the docs, each 'host' with one process: the same bits as two on one host."""
    config = write_config(tmp_path)
    commands = [dist_train(config, 1, tmp_path / 'work')] * 2
    codes, outputs = run_all(commands, hosts(tmp_path))
    assert codes == [0, 0], outputs
    assert_same_run(two_processes, tmp_path / 'work')


@pytest.mark.slow
def test_slurm_equals_torchrun(lab, two_processes, tmp_path):
    """Two processes with the variables that srun gives them."""
    command = [write_config(tmp_path), '--launcher', 'slurm', '--work-dir', tmp_path / 'work']
    common = dict(SLURM_NTASKS='2', SLURM_NNODES='1', MASTER_PORT=free_port(), CUDA_VISIBLE_DEVICES='')
    environments = [dict(SLURM_PROCID=str(i), SLURM_LOCALID=str(i), **common) for i in range(2)]
    codes = lab.run('train.py', command, tmp_path / 'log', 2, environments=environments)
    assert codes == [0, 0], (tmp_path / 'log').read_text()
    assert_same_run(two_processes, tmp_path / 'work')


@pytest.mark.slow
def test_sharded_from_the_command_line(two_processes, tmp_path):
    """``_base_/fsdp.py`` is all; the file is read like any other, here by a detector's backbone."""
    config = write_config(tmp_path, 'configs/_base_/fsdp.py')
    env = environment(PYTHON=sys.executable, MASTER_PORT=free_port())
    codes, outputs = run_all([dist_train(config, 2, tmp_path / 'work')], [env])
    assert codes == [0], outputs[0][-3000:]
    assert 'Effective batch: 4 x 2 process(es) x 1 accumulated = 8' in outputs[0]
    assert_same_run(two_processes, tmp_path / 'work', rtol=1e-4, atol=1e-5)
    checkpoint = str(tmp_path / 'work/iter_3.pth')
    out = tmp_path / 'vit.safetensors'
    assert commands.main(['convert', checkpoint, str(out), '--from', 'fsfm_mm', '--to', 'timm']) in (0, None)
    backbone = Config.fromfile(config).model.backbone
    backbone.init_cfg = dict(type='PretrainedBackbone', checkpoint=checkpoint)
    vit = MODELS.build(backbone)
    vit.init_weights()
    saved = torch.load(checkpoint, weights_only=False)['state_dict']
    assert torch.equal(vit.blocks[1].mlp.fc1.weight, saved['backbone.blocks.1.mlp.fc1.weight'])


def fault(folder, case, timeout, env):
    """Command and environment of a case of process_cases.py with one process on each of two hosts."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--nnodes=2', f'--node_rank={env["NODE_RANK"]}']
    command += [f'--master_addr={env["MASTER_ADDR"]}', f'--master_port={env["MASTER_PORT"]}']
    return [*command, str(SCRIPT), str(folder), case], {**env, 'TIMEOUT': str(timeout)}


@pytest.mark.slow
def test_a_killed_process_ends_the_job_on_both_hosts(tmp_path):
    """SIGKILL of one process: every host's torchrun ends with an error, long before the timeout."""
    started = time.monotonic()
    commands, environments = zip(*(fault(tmp_path, 'killed', 600, env) for env in hosts(tmp_path)))
    codes, outputs = run_all(commands, environments)
    assert all(code != 0 for code in codes), outputs
    assert 'SIGKILL' in outputs[1]
    assert time.monotonic() - started < 120  # of 600


@pytest.mark.slow
def test_a_hanging_process_ends_the_job_after_the_timeout(tmp_path):
    """One process sleeps for ever; the other gives up after ``dist_cfg.timeout``, and torchrun ends both."""
    command = [*launch(2), str(SCRIPT), str(tmp_path), 'sleeping']
    codes, outputs = run_all([command], [environment(TIMEOUT='3')])
    assert codes[0] != 0
    assert 'imed out' in outputs[0]


def test_sharding_without_a_launcher_is_refused(tmp_path):
    config = Config.fromfile(write_config(tmp_path, 'configs/_base_/fsdp.py'))
    config.update(work_dir=str(tmp_path), launcher='none')
    with pytest.raises(ValueError, match=r'needs a process group.*tools/dist_train\.sh CONFIG PROCESSES'):
        build_runner(config)


@pytest.mark.parametrize('timeout', [0, -1, '30', True])
def test_wrong_timeouts_are_refused(timeout):
    config = Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(ValueError, match=r'dist_cfg\.timeout must be a positive number of seconds'):
        join_with_gloo(config)


def test_other_launchers_are_refused_without_a_gpu():
    with pytest.raises(ValueError, match="must be 'pytorch' or 'slurm', found 'mpi'"):
        join_with_gloo(Config(dict(launcher='mpi')))


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    for name in (
        'RANK',
        'WORLD_SIZE',
        'LOCAL_RANK',
        'MASTER_ADDR',
        'MASTER_PORT',
        'SLURM_PROCID',
        'SLURM_NTASKS',
    ):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    (tmp_path / 'scontrol').write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames gpu[7-8]" ] && printf "gpu7\\ngpu8\\n"\n'
    )
    (tmp_path / 'scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    return monkeypatch


def test_slurm_names_the_first_node(slurm):
    """The first node of the job listens, not the machine on which srun was typed."""
    settings = dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_LOCALID='1', SLURM_NNODES='2')
    settings |= dict(SLURM_JOB_NODELIST='gpu[7-8]', SLURM_LAUNCH_NODE_IPADDR='10.0.0.1')
    for name, value in settings.items():
        slurm.setenv(name, value)
    slurm_environment()
    found = [os.environ[name] for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')]
    assert found == ['3', '4', '1', 'gpu7', '29500']


def test_slurm_without_srun_says_so(slurm):
    with pytest.raises(
        ValueError, match=r'SLURM_PROCID, SLURM_NTASKS is not set: start with tools/slurm_train\.sh'
    ):
        slurm_environment()


def test_hosts_without_an_address_are_refused():
    command = dist_train('config.py', 1, 'work')
    done = subprocess.run(command, env=environment(NNODES='2', NODE_RANK='1'), capture_output=True, text=True)
    assert done.returncode == 2
    assert 'NNODES=2 needs NODE_RANK (0 to 1) and MASTER_ADDR' in done.stderr
