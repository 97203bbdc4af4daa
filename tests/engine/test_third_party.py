"""Every patch of a third party does what it is for, and the third party still needs it.

Where a test fails that is named ``..._still_needs_...`` or ends so, read the patch in fsfm_mm/engine/third_party.py:
it may go.
"""

import atexit
import inspect
import json
import logging
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import utils as mmengine_dist
from mmengine.evaluator import BaseMetric
from mmengine.fileio import FileClient, LocalBackend, get_file_backend
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_loading
from mmengine.visualization.vis_backend import MLflowVisBackend
from tiny_run import tiny_config
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from fsfm_mm.datasets.seeding import seed_batches
from fsfm_mm.engine import third_party
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.loops import exact_loop
from fsfm_mm.engine.third_party import (
    AtomicLocalBackend,
    drop_file_client_notes,
    load_safely,
    refuse_remote_checkpoints,
    save_atomically,
    scale_for_accumulation,
    shield_workers,
    wrap_without_a_device,
)
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.settings import config_files
from fsfm_mm.visualization import read_scalars


@pytest.fixture
def loaders(monkeypatch):
    """mmengine's loaders of checkpoints as it has them, and as they are now after the test."""
    own = {'http://': mmengine_loading.load_from_http, '': mmengine_loading.load_from_local}
    monkeypatch.setattr(CheckpointLoader, '_schemes', own)


class Program:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def malicious(tmp_path, monkeypatch):
    """A checkpoint as a local file and, in the cache of torch's downloads, at an address; and what it leaves."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    path = tmp_path / 'hub/checkpoints/x.pth'
    path.parent.mkdir(parents=True)
    torch.save({'state_dict': Program(tmp_path / 'ran')}, path)
    return {'file': str(path), 'address': 'http://127.0.0.1:9/x.pth'}, tmp_path / 'ran'


@pytest.mark.parametrize('where', ['file', 'address'])
def test_checkpoints_that_mmengine_reads_run_nothing(loaders, malicious, where):
    names, trace = malicious
    CheckpointLoader.load_checkpoint(names[where])
    assert trace.exists(), 'mmengine reads safely by itself'
    trace.rmdir()
    load_safely()
    with pytest.raises(StoppedError, match='was not loaded' if where == 'file' else 'download it first'):
        CheckpointLoader.load_checkpoint(names[where])
    assert not trace.exists()


def test_what_is_refused_leaves_local_files_to_mmengine(loaders, tmp_path):
    torch.save({'a': 1}, tmp_path / 'x.pth')
    refuse_remote_checkpoints()
    assert CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth')) == {'a': 1}
    with pytest.raises(StoppedError, match='download it first'):
        CheckpointLoader.load_checkpoint('s3://a/x.pth')


def test_bytes_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    backend = AtomicLocalBackend()
    backend.put(b'first', tmp_path / 'folder/file')

    def refuse(path, data):
        path.open('wb').write(data[:2])
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', refuse)
    with pytest.raises(OSError):
        backend.put(b'second', tmp_path / 'folder/file')
    assert [path.read_bytes() for path in (tmp_path / 'folder').iterdir()] == [b'first']


def test_mmengine_still_writes_in_place(tmp_path):
    """A second name of the file shows whether it was replaced."""
    for backend, expected in ((LocalBackend(), b'new'), (AtomicLocalBackend(), b'old')):
        folder = tmp_path / type(backend).__name__
        backend.put(b'old', folder / 'file')
        os.link(folder / 'file', folder / 'other')
        backend.put(b'new', folder / 'file')
        assert (folder / 'other').read_bytes() == expected
        assert (folder / 'file').read_bytes() == b'new'


def test_every_checkpoint_is_written_so():
    save_atomically()
    assert isinstance(get_file_backend('anywhere'), AtomicLocalBackend)


def test_notes_about_file_clients(monkeypatch):
    logger = MMLogger.get_instance('notes_about_file_clients')
    lines = []
    logger.handlers = [handler := logging.Handler()]
    handler.emit = lambda record: lines.append(record.getMessage().split(' ')[0])
    monkeypatch.setattr(FileClient, '_instances', {})  # a second one like the first is not made
    FileClient('disk')
    assert sorted(lines) == ['"FileClient"', '"HardDiskBackend"'], 'mmengine notes nothing by itself'
    lines.clear()
    drop_file_client_notes(logger)
    FileClient._instances.clear()
    FileClient('disk')
    logger.warning('others are shown')
    assert lines == ['others']


def test_runs_of_one_second_have_nothing_in_common(tmp_path, monkeypatch):
    """mmengine knows loggers, log buffers and visualizers by name and second."""
    monkeypatch.setattr(time, 'time', lambda: 1.7e9)
    config = tiny_config(tmp_path)
    runners = []
    for folder in ('a', 'b'):
        config.work_dir = str(tmp_path / folder)
        runners.append(build_runner(config))
        runners[-1].train()
    one, two = runners
    assert one.timestamp == two.timestamp and 'experiment_name' not in config
    assert one.logger is not two.logger
    assert one.message_hub is not two.message_hub and one.visualizer is not two.visualizer
    assert len(read_scalars(tmp_path / 'a')) == len(read_scalars(tmp_path / 'b')) == 2


@pytest.mark.filterwarnings('ignore:.*has been created')
def test_runs_of_one_second_still_share_what_mmengine_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(time, 'time', lambda: 1.6e9)
    one, two = (Runner.from_cfg(tiny_config(tmp_path / folder)) for folder in ('a', 'b'))
    assert one.message_hub is two.message_hub


def test_auto_scale_lr_counts_accumulation(tmp_path):
    config = tiny_config(
        tmp_path, optim=dict(accumulative_counts=2), auto_scale_lr=dict(enable=True, base_batch_size=64)
    )
    runner = build_runner(config)
    runner.train()
    initial = runner.optim_wrapper.param_groups[0]['initial_lr']
    assert initial == pytest.approx(1e-3 * 4 * 2 / 64)
    assert set(runner.optim_wrapper.get_lr()) == {'lr'}
    scale_for_accumulation(runner.cfg)  # counted once only
    assert runner.cfg.auto_scale_lr.base_batch_size == 32


def test_mmengine_still_leaves_accumulation_out():
    assert 'accumulat' not in inspect.getsource(Runner.scale_lr)


#: Hooks that mmengine does not know.
OURS = ('exact_resume', 'stop_signal', 'card', 'report', 'momentum', 'nonfinite', 'pictures', 'broken_files')


def test_hooks_that_are_none_are_left_out(tmp_path):
    """Of a run that trains without any of ours; that its target stays is said."""
    config = tiny_config(tmp_path, max_iters=2, hooks=dict.fromkeys([*OURS, 'timer'], None))
    config.update(launcher='none', log_level='INFO')
    runner = build_runner(config)
    names = {type(hook).__name__ for hook in runner.hooks}
    assert not names & {'MomentumUpdateHook', 'RunReportHook', 'NonFiniteGuardHook', 'IterTimerHook'}
    before = [parameter.clone() for parameter in runner.model.target.parameters()]
    runner.train()
    assert all(map(torch.equal, before, runner.model.target.parameters()))
    said = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'default_hooks has no MomentumUpdateHook: the target stays as it is at the start' in said


def test_mmengine_still_refuses_hooks_of_others_that_are_none(tmp_path):
    with pytest.raises(AssertionError):
        Runner.from_cfg(tiny_config(tmp_path, hooks=dict(report=None)))


def test_mmengine_still_refuses_a_dict_over_none():
    changes = dict(neck=dict(type='GlobalAveragePooling'))
    with pytest.raises(TypeError, match='cannot inherit from base'):
        config_files._merge(changes, dict(neck=None))
    assert Config._merge_a_into_b(changes, dict(neck=None)) == changes


def test_processes_on_cpus():
    config = Config()
    wrap_without_a_device(config)
    assert config.model_wrapper_cfg == dict(type='MMDistributedDataParallel', device_ids=None)
    config.model_wrapper_cfg = dict(type='Own', device_ids=[1])
    wrap_without_a_device(config)
    assert config.model_wrapper_cfg == dict(type='Own', device_ids=[1])


def test_mmengine_still_takes_processes_to_have_gpus():
    assert "device_ids=[int(os.environ['LOCAL_RANK'])]" in inspect.getsource(Runner.wrap_model)
    for start in (mmengine_dist._init_dist_pytorch, mmengine_dist._init_dist_slurm):
        assert 'torch.cuda.set_device' in inspect.getsource(start)


class Dot(BaseModel):
    """A model of one number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.weight.square()} if mode == 'loss' else [self.weight]


class Score(BaseMetric):
    """Two metrics, one of which training has, too."""

    default_prefix = ''

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return {'score': 0.25, 'loss': 7.0}


def logged_validations(tmp_path, own_loop, length):
    """Steps of all logged values by their name in a run of four iterations, validated at the second and fourth."""
    loader = dict(
        batch_size=1,
        num_workers=0,
        dataset=[{'inputs': torch.zeros(())}] * 2,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    runner = Runner(
        Dot(),
        str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_cfg=length,
        val_cfg=dict(),
        val_evaluator=[Score()],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        log_processor=dict(by_epoch='max_epochs' in length, window_size=1),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        experiment_name=f'{tmp_path.name}{own_loop}',
        default_scope='mmpretrain',
        log_level='WARNING',
    )
    if own_loop:
        runner._train_dataloader = runner.build_dataloader(loader, seed=0)
        runner._train_loop = exact_loop(length)
        seed_batches(runner._train_dataloader, 0)
    runner.train()
    steps = {}
    for line in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines():
        entry = json.loads(line)
        for key in ('score', 'loss', 'val/loss'):
            steps.setdefault(key, []).extend([entry['step']] if key in entry else [])
    return steps


BY_ITERATION = dict(by_epoch=False, max_iters=4, val_interval=2)
BY_EPOCH = dict(by_epoch=True, max_epochs=2, val_interval=1)


def test_validations_have_their_step_and_their_names(tmp_path):
    found = logged_validations(tmp_path / 'iter', True, BY_ITERATION)
    assert found == {'score': [2, 4], 'loss': [1, 2, 3, 4], 'val/loss': [2, 4]}
    found = logged_validations(tmp_path / 'epoch', True, BY_EPOCH)
    assert found == {'score': [1, 2], 'loss': [1, 2, 3, 4], 'val/loss': [1, 2]}


def test_mmengine_still_logs_validations_at_step_0_and_among_the_losses(tmp_path):
    found = logged_validations(tmp_path, False, BY_ITERATION)
    assert found == {'score': [0, 0], 'loss': [1, 2, 0, 3, 4, 0], 'val/loss': []}


def test_gloo_gets_a_moment(monkeypatch):
    registered = []
    monkeypatch.setattr(atexit, 'register', lambda *args: registered.append(args))
    third_party.give_gloo_time_to_end()
    assert registered == [(time.sleep, 0.5)]


def test_a_hung_worker_obeys_its_parent():
    """Torch ends such a worker with SIGTERM; it would wait for it for ever."""
    loader = DataLoader(range(2), num_workers=1)
    shield_workers(loader)
    iterator = iter(loader)
    worker = iterator._workers[0]
    assert next(iterator) == 0
    subprocess.run(['kill', '-TERM', str(worker.pid)], check=True)
    assert next(iterator) == 1  # another's signal means the run
    for _ in range(30):  # while the other's signal waits to be looked at, the system drops a second one
        worker.terminate()
        worker.join(1)
        if worker.exitcode is not None:
            break
    assert worker.exitcode == 0


def test_a_signal_to_the_group_while_workers_start_leaves_them_alone(monkeypatch):
    """Torch's handler, which ends a worker, is there before ours is."""
    parent, set_handlers = os.getpid(), signal_handling._set_worker_signal_handlers

    def signalled(*args):
        set_handlers(*args)
        if os.getpid() != parent:  # by another process, as by a scheduler
            subprocess.run(['kill', '-TERM', str(os.getpid())], check=True)

    monkeypatch.setattr(signal_handling, '_set_worker_signal_handlers', signalled)
    loader = DataLoader(range(4), num_workers=1, multiprocessing_context='fork')
    shield_workers(loader)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert [int(number) for number in loader] == [0, 1, 2, 3]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def test_a_signal_still_ends_the_workers_of_torch():
    iterator = iter(DataLoader(range(10_000), num_workers=1))
    assert next(iterator) == 0
    subprocess.run(['kill', '-TERM', str(iterator._workers[0].pid)], check=True)
    # a worker that dies while it hands over a batch closes its connection a moment before torch tells of its death
    with pytest.raises((RuntimeError, ConnectionError, EOFError)):
        list(iterator)


def test_weights_are_looked_at_after_mmengine_loaded_them_and_it_still_needs_that(tmp_path, monkeypatch):
    """Both places call; mmengine itself has no hook there: its own functions know nothing of a card."""
    seen = []
    monkeypatch.setitem(third_party._looks, 'initialised', lambda model: seen.append(type(model).__name__))
    monkeypatch.setitem(
        third_party._looks, 'loaded', lambda model, checkpoint: seen.append(sorted(checkpoint))
    )

    class Inner(BaseModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

    class Outer(BaseModule):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

    Outer().init_weights()
    torch.save({'state_dict': Inner().state_dict(), 'card': {}}, tmp_path / 'x.pth')
    mmengine_loading.load_checkpoint(Inner(), str(tmp_path / 'x.pth'))
    assert seen == ['Outer', ['card', 'state_dict']]
    for theirs in (third_party._looks['init_weights'], third_party._looks['load']):
        assert 'card' not in inspect.getsource(theirs)


def test_pictures_for_mlflow_are_files(tmp_path, monkeypatch):
    class Store:
        """MLflow refuses a picture whose file has no ending."""

        names: list = []
        MlflowException = KeyError  # mmengine warns of MLflow's own errors only

        def log_image(self, image, name):
            if '.' not in name:
                raise ValueError('unknown file extension: ')
            self.names.append(name)

    backend = MLflowVisBackend(str(tmp_path))
    backend._env_initialized, backend._mlflow = True, Store()
    with pytest.raises(ValueError, match='unknown file extension'):
        third_party._add_mlflow_image(backend, 'reconstruction', None, 6)
    monkeypatch.setattr(MLflowVisBackend, 'add_image', MLflowVisBackend.add_image)
    third_party.name_pictures_for_mlflow()
    backend.add_image('reconstruction', None, step=6)
    assert Store.names == ['reconstruction_0000006.png']
