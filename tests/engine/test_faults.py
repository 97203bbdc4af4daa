"""What goes wrong around a run: it stops in bounded time with one sentence, or goes on and says so."""

import os
import resource
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from resume_cases import assert_same_run
from tiny_run import tiny_config, tiny_runner
from torch.utils.data import DataLoader

from fsfm_mm.datasets import FaceListDataset
from fsfm_mm.datasets.transforms import LoadFace
from fsfm_mm.drawn import GeneratedFaces
from fsfm_mm.engine.data_faults import LOADER_TIMEOUT, train
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.third_party import shield_workers
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.registry import DATASETS, HOOKS

EXACT = dict(
    exact=dict(type='ExactResumeHook'), checkpoint=dict(type='SafeCheckpointHook', interval=2, by_epoch=False)
)


@DATASETS.register_module()
class TroubledFaces(GeneratedFaces):
    """Generated faces whose worker process dies or hangs when sample 9 is read for the n-th time.

    The number n stands in a file, which is shared by the workers; without it nothing happens.
    """

    def __init__(self, trouble, at=9, flag='', **kwargs):
        self.trouble, self.at, self.flag = trouble, at, flag
        super().__init__(**kwargs)

    def get_data_info(self, idx):
        flag = Path(self.flag)
        if idx == self.at and flag.exists():
            left = int(flag.read_text()) - 1
            flag.write_text(str(left))
            if left == 0:
                if self.trouble == 'hang':
                    time.sleep(600)
                elif self.trouble == 'raise':
                    raise RuntimeError('the detector is on fire')
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file where the tests run
                os.kill(os.getpid(), getattr(signal, self.trouble))
        return super().get_data_info(idx)


def troubled(tmp_path, name, trouble, **loader):
    flag = tmp_path / 'trouble'
    flag.write_text('2')
    config = tiny_config(tmp_path / name, max_iters=8, hooks=EXACT)
    config.train_dataloader.update(num_workers=1, **loader)
    config.train_dataloader.dataset.update(type='TroubledFaces', trouble=trouble, flag=str(flag))
    return config


@pytest.mark.slow
@pytest.mark.parametrize(
    'trouble, loader, message',
    [
        (
            'SIGKILL',
            {},
            r'a data worker \(process \d+\) was killed or crashed: .* --resume',
        ),
        ('SIGSEGV', {}, r'a data worker \(process \d+\) was killed or crashed'),
        ('hang', {'timeout': 15}, r'no data worker gave a batch within 15 seconds'),
    ],
)
def test_a_data_worker_that_dies_or_hangs_costs_one_interval(tmp_path, trouble, loader, message):
    whole = build_runner(tiny_config(tmp_path / 'whole', max_iters=8, hooks=EXACT))
    whole.train()
    runner = build_runner(troubled(tmp_path, 'run', trouble, **loader))
    with pytest.raises(StoppedError, match=message) as caught:
        train(runner)
    assert '\n' not in str(caught.value) and caught.value.exit_code == 1
    stopped_at = runner.iter
    saved = sorted(int(p.stem[5:]) for p in (tmp_path / 'run').glob('iter_*.pth'))
    assert saved and stopped_at - saved[-1] <= 2  # the interval of the checkpoints
    config = troubled(tmp_path, 'run', trouble, **loader)
    (tmp_path / 'trouble').unlink()
    config.resume = True
    build_runner(config).train()
    assert_same_run(tmp_path / 'whole', tmp_path / 'run')


def test_other_errors_of_a_worker_keep_their_words(tmp_path):
    with pytest.raises(RuntimeError, match='the detector is on fire') as caught:
        train(build_runner(troubled(tmp_path, 'run', 'raise')))
    assert not isinstance(caught.value, StoppedError)


def test_a_worker_that_dies_while_it_hands_over_a_batch(tmp_path):
    """Its connection breaks first; torch tells of the death only afterwards."""

    class BreakingQueue:
        def get(self, timeout):
            threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
            raise ConnectionResetError

    batches = iter(DataLoader(range(8), num_workers=1, multiprocessing_context='fork'))
    worker = batches._workers[0].pid
    batches._data_queue = BreakingQueue()
    with pytest.raises(StoppedError, match=rf'a data worker \(process {worker}\) was killed'):
        train(SimpleNamespace(train=lambda: next(batches)))


class Unsendable:
    """A batch that a worker cannot hand over."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize(
    'error, message',
    [
        # torch's own words for a full /dev/shm, as small as containers have it
        (
            RuntimeError('unable to allocate shared memory(shm) for file </t>: No space left on device (28)'),
            r'the shared memory of the machine \(/dev/shm\) is full: .*--shm-size.* --resume',
        ),
        (TypeError('cannot pickle a lock'), r'a data worker \(process \d+\) was killed or crashed'),
    ],
)
def test_a_batch_that_cannot_be_handed_over_is_not_waited_for(error, message, capfd):
    loader = DataLoader(
        range(4),
        num_workers=1,
        collate_fn=lambda samples: Unsendable(error),
        timeout=60,
        multiprocessing_context='fork',
    )
    shield_workers(loader)
    with pytest.raises(StoppedError, match=message):
        train(SimpleNamespace(train=lambda: list(loader)))
    assert ('cannot pickle a lock' in capfd.readouterr().err) == isinstance(error, TypeError)


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('on_broken', ['error', 'skip'])
def test_data_that_are_deleted_stop_the_run_in_one_sentence(tmp_path, workers, on_broken):
    for i in range(6):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((8, 8, 3), i, np.uint8))
    lines = [f'{i}.png {("real", "fake")[i % 2]}\n' for i in range(6)]
    (tmp_path / 'list.txt').write_text(''.join(lines))
    dataset = FaceListDataset('list.txt', str(tmp_path), on_broken=on_broken, pipeline=[LoadFace()])
    dataset.full_init()
    for file in tmp_path.glob('*.png'):
        file.unlink()
    loader = DataLoader(dataset, num_workers=workers, multiprocessing_context='fork' if workers else None)
    with pytest.raises(
        StoppedError, match=r'\.png: cannot be read .No such file.*put back the data'
    ) as caught:
        train(SimpleNamespace(train=lambda: list(loader)))
    assert '\n' not in str(caught.value) and str(caught.value).endswith('start the run again with --resume.')


def test_loaders_with_workers_have_a_timeout(tmp_path):
    config = tiny_config(tmp_path / 'a')
    config.train_dataloader.num_workers = 1
    assert build_runner(config)._train_dataloader.timeout == LOADER_TIMEOUT > 0
    config = tiny_config(tmp_path / 'b')
    config.train_dataloader.update(num_workers=1, timeout=7)
    assert build_runner(config)._train_dataloader.timeout == 7
    assert tiny_runner(tmp_path / 'c')._train_dataloader.timeout == 0


@HOOKS.register_module()
class DamageShardHook(Hook):
    """Cuts a shard short in the middle of a run."""

    def __init__(self, path, how, at=1):
        self.path, self.how, self.at = Path(path), how, at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.at:
            # in place: the file stays open in the readers
            self.path.write_bytes(self.path.read_bytes()[: 700 if self.how == 'cut' else 0])


@HOOKS.register_module()
class FullDiskHook(Hook):
    """Lets the file of logged values meet a full disk."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 4:
            (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
            path.unlink()
            path.symlink_to('/dev/full')


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_disk_that_is_full_between_two_checkpoints_stops_the_run(tmp_path):
    config = tiny_config(tmp_path, max_iters=8, hooks={**EXACT, 'full': dict(type='FullDiskHook')})
    with pytest.raises(StoppedError) as caught:
        train(build_runner(config))
    assert str(caught.value) == (
        f'stopped at iteration 6: a log or picture could not be written (No space left on device: {tmp_path}); '
        f'the last good checkpoint is {tmp_path}/iter_4.pth: make room and go on with --resume.'
    )


def shards(out):
    """Three shards of four drawn faces."""
    drawn = GeneratedFaces(length=12, img_size=32)
    records = []
    for chunk in range(3):
        faces = []
        for number in range(4 * chunk, 4 * chunk + 4):
            info = drawn.get_data_info(number)
            record = FaceRecord(source=f'{number}.jpg')
            faces.append(PreparedFace(f'f{number}', info['img'], info['parsing_map'], record))
        ArchiveWriter('png', patch_size=8).write_chunk(out, chunk, faces)
        records += [face.record for face in faces]
    ArchiveWriter('png', patch_size=8).finish(out, 3, records)
    return out


@pytest.mark.parametrize('how', ['cut', 'empty'])
def test_a_shard_that_is_damaged_in_mid_run_is_left_out_and_named(tmp_path, how):
    root = shards(tmp_path / 'data')
    victim = sorted((root / 'archive').glob('*.tar'))[1]
    hooks = dict(damage=dict(type='DamageShardHook', path=str(victim), how=how))
    config = tiny_config(tmp_path / 'run', max_iters=9, hooks=hooks)
    config.train_dataloader.dataset = dict(
        type='ArchivedFaces', data_root=str(root), on_broken='skip', mask=dict(type='CRFRPMask', mask_ratio=0.75),
        pipeline=[dict(type='LoadFace'), dict(type='BuildPatchLabels', patch_size=8), dict(type='PackFaces')],
    )  # fmt: skip
    runner = build_runner(config)
    runner.train()
    assert runner.iter == 9
    named = (tmp_path / 'run/broken_files.txt').read_text()
    assert victim.name in named and torch.isfinite(sum(p.sum() for p in runner.model.parameters()))
