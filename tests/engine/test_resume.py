"""A run that is killed anywhere and resumed equals the one that was not, bit for bit."""

import pickle
import random
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, DefaultSampler, InfiniteSampler
from mmengine.hooks import Hook
from resume_cases import USUAL_RECIPE, assert_same_run, finetuning, last_state, logged, of_others, pretraining
from torch.utils.data import DataLoader

from fsfm_mm.checkpoints import load_checkpoint_file
from fsfm_mm.datasets import DomainBalancedSampler, dense_collate
from fsfm_mm.datasets.seeding import SeededBatch, seed_batches, seed_process
from fsfm_mm.drawn import GeneratedFaces, GeneratedForgeries
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.loops import _Endless, exact_loop
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.schedules import momentum_cosine, warmup_cosine


def draws():
    return random.random(), np.random.rand(), torch.rand(3).tolist()


def test_keys_decide_the_random_numbers():
    seen = []
    for key in [(0, 0, 0, 5), (1, 0, 0, 5), (0, 1, 0, 5), (0, 0, 1, 5), (0, 0, 0, 6)]:
        seed_process(*key)
        seen.append(draws())
        draws()
        seed_process(*key)
        assert draws() == seen[-1]
    assert len({str(values) for values in seen}) == 5
    assert len({value for numbers in zip(*seen) for value in map(str, numbers)}) == 15


def test_a_batch_seeds_whoever_reads_it_and_nobody_who_sends_it_on():
    batch = SeededBatch([3, 1, 2], (0, 7))
    seed_process(1)
    expected = draws()
    seed_process(1)
    sent = pickle.loads(pickle.dumps(batch))
    assert draws() == expected
    assert list(sent) == [3, 1, 2]
    first = draws()
    list(sent)  # the second time it is a list like any other
    assert draws() != first
    seed_process(0, 7)
    assert draws() == first


class Collector(Hook):
    """Keeps the masks that the model gets."""

    def __init__(self, masks):
        self.masks = masks

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.masks.append(data_batch['mask'])


PIPELINE = [
    dict(type='RandomFaceCrop', size=32),
    dict(type='RandomFaceFlip'),
    dict(type='BuildPatchLabels', patch_size=8),
    dict(type='PackFaces'),
]


@pytest.mark.parametrize('concatenated', [False, True])
def test_any_number_of_workers_gives_the_same_batches(concatenated):
    """Masks, crops and flips; of one data set batch by batch, of concatenated ones sample by sample."""

    def batches(workers, first=0):
        faces = [
            GeneratedFaces(
                12, 40, start=start, mask=dict(type='CRFRPMask', mask_ratio=0.75), pipeline=PIPELINE
            )
            for start in (0, 12)
        ]
        loader = DataLoader(
            ConcatDataset(faces) if concatenated else faces[0],
            batch_size=3,
            num_workers=workers,
            persistent_workers=workers > 2,
            collate_fn=dense_collate,
        )
        seed_batches(loader, 5)
        loader.batch_sampler.start_at(first, 100 + first)
        return list(loader)

    expected = batches(0)
    assert len(expected) == (8 if concatenated else 4)
    assert not torch.equal(expected[0]['mask'][0], expected[1]['mask'][0])
    for workers, first in [(2, 0), (3, 0), (0, 2), (2, 1)]:
        found = batches(workers, first)
        assert len(found) == len(expected) - first
        for a, b in zip(expected[first:], found):
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_every_epoch_has_its_own_random_numbers(tmp_path):
    """The same indices, the same faces, other crops and masks: the key is the run's iteration, not the epoch's."""
    config = Config.fromfile(pretraining(tmp_path))
    config.train_dataloader.sampler.shuffle = False
    config.update(work_dir=str(tmp_path / 'work'))
    runner = build_runner(config)
    masks = []
    runner.register_hook(Collector(masks))
    runner.train()
    assert len(masks) == 15
    assert len({mask.numpy().tobytes() for mask in masks}) == 15


def test_a_loader_looks_as_before():
    loader = DataLoader(GeneratedFaces(8, 32, pipeline=PIPELINE), batch_size=3, drop_last=True, shuffle=True)
    sampler = loader.sampler
    seed_batches(loader, 0)
    assert (loader.batch_size, loader.batch_sampler.batch_size, len(loader)) == (3, 3, 2)
    assert loader.sampler is sampler is loader.batch_sampler.sampler
    assert loader.drop_last and loader.batch_sampler.drop_last


class Reads(GeneratedFaces):
    """Notes what is read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.read = []

    def get_data_info(self, idx):
        self.read.append(idx)
        return super().get_data_info(idx)


def stream(sampler_type, first, batches=9, length=10):
    """Indices that an ExactIterLoop reads from iteration ``first`` on."""
    dataset = Reads(length, 32, pipeline=PIPELINE)
    if sampler_type is DomainBalancedSampler:
        dataset = GeneratedForgeries(videos=10, frames_per_video=1, img_size=32, pipeline=[])
        dataset.read = []
        sampler = DomainBalancedSampler(dataset, per_group=1, batch_size=2, infinite=False)
        dataset.get_data_info = lambda i: dataset.read.append(i) or {}
    else:
        sampler = {'default': DefaultSampler, 'infinite': InfiniteSampler}[sampler_type](dataset, seed=0)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, drop_last=True, collate_fn=list)
    seed_batches(loader, 0)
    loop = SimpleNamespace(dataloader=loader, iter=first)
    source = _Endless(loop)
    for loop.iter in range(first, batches):
        next(source)
    return dataset.read


@pytest.mark.parametrize('sampler', ['default', 'infinite', DomainBalancedSampler])
def test_a_resume_reads_nothing_that_was_seen(sampler):
    """Over the ends of passes, too: a pass has five batches."""
    whole = stream(sampler, 0)
    assert len(whole) == 18
    assert whole[10:] != whole[:8]
    for first in (1, 4, 5, 7):
        assert stream(sampler, first) == whole[2 * first :]


def test_epochs_begin_at_the_right_batch(tmp_path):
    """Of the epochs' loop: what is read after a resume in mid-epoch, in this process."""
    config = Config.fromfile(pretraining(tmp_path, checkpoint=dict(interval=1)))
    config.default_hooks.checkpoint.update(by_epoch=False, interval=7, max_keep_ckpts=-1)
    config.train_dataloader.dataset.type = Reads
    reads = []
    for resume in (False, True):
        config.update(work_dir=str(tmp_path / 'work'), resume=resume)
        if resume:
            config.load_from = str(tmp_path / 'work/iter_7.pth')
        runner = build_runner(config)
        runner.train_dataloader.dataset.read.clear()
        runner.train()
        reads.append(runner.train_dataloader.dataset.read)
    assert len(reads[0]) == 15 * 4
    assert reads[1] == reads[0][7 * 4 :]


CASES = {
    'epochs': (pretraining, {}, [2, 5, 8, 9, 13]),
    'epochs, accumulated, workers': (pretraining, dict(workers=2, accumulate=2), [4, 6, 10, 12]),
    'epochs, saved within': (
        pretraining,
        dict(workers=1, checkpoint=dict(by_epoch=False, interval=3)),
        [4, 7, 9, 13],
    ),
    'iterations without end': (
        pretraining,
        dict(by_epoch=False, sampler='InfiniteSampler', workers=2, accumulate=3, checkpoint=dict(interval=4)),
        [0, 3, 6, 9, 14],
    ),
    'iterations over passes': (
        pretraining,
        dict(by_epoch=False, workers=1, checkpoint=dict(interval=5)),
        [4, 7, 11, 13],
    ),
    'fine-tuning': (finetuning, dict(workers=2), [3, 7, 8]),
    'fine-tuning as others do': (of_others, dict(workers=1), [3, 7, 10]),
}


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_killed_anywhere(lab, tmp_path, case):
    """One run that is killed again and again, before and after iterations, and resumed each time."""
    make, settings, places = CASES[case]
    config = make(tmp_path, **settings)
    assert lab.train(config, tmp_path / 'whole') == 0
    assert last_state(tmp_path / 'whole')[1]['meta']['iter'] >= 12
    for number, place in enumerate(places):
        when = ('before_train_iter', 'after_train_iter')[number % 2]
        assert lab.train(config, tmp_path / 'killed', '--resume', at=f'KILL {when} {place}') == -9
    assert (tmp_path / 'killed/last_checkpoint').exists(), 'the last time it does not begin anew'
    assert lab.train(config, tmp_path / 'killed', '--resume') == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'killed')


@pytest.mark.slow
def test_killed_anywhere_with_two_processes(lab, tmp_path):
    config = changed(
        pretraining(tmp_path, workers=1, accumulate=2), tmp_path, 'recipe', param_scheduler=USUAL_RECIPE
    )
    assert lab.train(config, tmp_path / 'whole', processes=2) == [0, 0]
    for place in (1, 3, 4, 5):  # an epoch has two iterations here
        codes = lab.train(
            config, tmp_path / 'killed', '--resume', at=f'KILL after_train_iter {place}', processes=2
        )
        assert codes[0] == -9 and codes[1] in (
            -9,
            1,
        )  # the second may see the connection close before it is killed
        if place == 1:
            assert not (tmp_path / 'killed/last_checkpoint').exists()
    assert lab.train(config, tmp_path / 'killed', '--resume', processes=2) == [0, 0]
    assert_same_run(tmp_path / 'whole', tmp_path / 'killed')
    # in one process it goes on, too, and says that this is another run
    other = load_checkpoint_file(tmp_path / 'killed/epoch_3.pth')
    assert other['run_state']['facts']['processes'] == 2
    longer = ['--cfg-options', 'train_cfg.max_epochs=4', 'log_level=INFO']
    assert lab.train(config, tmp_path / 'killed', '--resume', *longer) == 0
    text = (tmp_path / 'killed.log').read_text()
    assert 'processes 2 -> 1' in text and 'iterations_per_epoch 2 -> 5' in text
    assert last_state(tmp_path / 'killed')[1]['meta']['iter'] == 20


@pytest.mark.slow
def test_killed_in_validation(lab, tmp_path):
    """The validation is made up for, and the best checkpoint is that of the whole run."""
    config = finetuning(tmp_path)
    assert lab.train(config, tmp_path / 'whole') == 0
    for place in ('before_val_epoch 4', 'after_val_iter 8', 'before_train_iter 9'):
        assert lab.train(config, tmp_path / 'killed', '--resume', at=f'KILL {place}') == -9
    assert lab.train(config, tmp_path / 'killed', '--resume') == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'killed')


@pytest.mark.slow
def test_early_stopping_goes_on_counting(lab, tmp_path):
    """It ends the killed run where it ends the whole one, and ended it stays."""
    stopper = dict(type='EarlyStoppingHook', monitor='frame/AUC', rule='greater', min_delta=1.0, patience=2)
    config = finetuning(tmp_path, **{'custom_hooks': [stopper], 'train_cfg.max_epochs': 5})
    assert lab.train(config, tmp_path / 'whole') == 0
    assert (
        last_state(tmp_path / 'whole')[1]['meta']['epoch'] == 3
    )  # the first AUC beats none, and no later one is larger by 1
    for place in (f'before_train_iter {n}' for n in (5, 9)):
        assert lab.train(config, tmp_path / 'killed', '--resume', at=f'KILL {place}') == -9
    for _ in range(2):
        assert lab.train(config, tmp_path / 'killed', '--resume') == 0
        assert_same_run(tmp_path / 'whole', tmp_path / 'killed')


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_finished_run_is_made_longer(lab, tmp_path, by_epoch):
    """Learning rate and momentum follow the longer schedules of the new config from the first iteration on."""
    config = pretraining(tmp_path, by_epoch, checkpoint=None if by_epoch else dict(interval=5))
    length = ('max_epochs', 3, 5) if by_epoch else ('max_iters', 15, 25)
    assert lab.train(config, tmp_path / 'work') == 0
    options = [f'train_cfg.{length[0]}={length[2]}', f'param_scheduler.total={length[2]}']
    assert lab.train(config, tmp_path / 'work', '--resume', '--cfg-options', *options) == 0
    warmup = 5 if by_epoch else 1
    steps = []
    for key, entry in logged(tmp_path / 'work').items():
        done = key[0] - 1
        total = 15 if done < 15 else 25
        assert entry['lr'] == pytest.approx(warmup_cosine(done, total, warmup, 1e-3), rel=1e-12)
        steps.append(done)
        assert entry['momentum'] == pytest.approx(momentum_cosine(done, total, 0.996), abs=1e-12)
    assert max(steps) >= 23


def test_what_cannot_be_resumed_says_so(tmp_path):
    config = Config.fromfile(pretraining(tmp_path))
    config.update(work_dir=str(tmp_path / 'work'), resume=True)
    runner = build_runner(config)
    torch.save(
        {'state_dict': runner.model.state_dict(), 'meta': {}, 'message_hub': {}}, tmp_path / 'weights.pth'
    )
    runner._load_from, runner._resume = str(tmp_path / 'weights.pth'), True
    with pytest.raises(StoppedError, match=r'holds weights only.*load_from=FILE'):
        runner.train()


def test_a_sampler_keeps_the_seed_that_the_config_gives_it(lab, tmp_path):
    """Where the run's seed is drawn, a resumed run has it from the checkpoint, the sampler its own from the config."""
    config = pretraining(tmp_path)
    own = {'train_dataloader.sampler.seed': 7}
    first = changed(config, tmp_path, 'first', **own)  # the run's seed is 0
    drawn = changed(config, tmp_path, 'drawn', **own, **{'randomness.seed': None})
    assert lab.train(first, tmp_path / 'whole') == 0
    assert lab.train(first, tmp_path / 'killed', at='KILL before_train_iter 7') == -9
    assert lab.train(drawn, tmp_path / 'killed', '--resume') == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'killed')


def changed(config, folder, name, **settings):
    """Another config file in the folder."""
    config = Config.fromfile(config)
    config.merge_from_dict(settings)
    config.dump(folder / f'{name}.py')
    return folder / f'{name}.py'


def test_a_checkpoint_of_another_run_is_refused(lab, tmp_path):
    """Of the same tensors in other shapes (mmengine logs them, the optimiser crashes), of another kind, too long."""
    config = pretraining(tmp_path)
    assert lab.train(config, tmp_path / 'work') == 0
    (tmp_path / 'other').mkdir()
    wider = changed(
        config, tmp_path, 'wider', **{'model.projector.hidden_dim': 128, 'model.predictor.hidden_dim': 128}
    )
    shorter = changed(config, tmp_path, 'shorter', **{'train_cfg.max_epochs': 2})
    last = ['--resume', str(tmp_path / 'work/epoch_3.pth')]
    for other, words in (
        (wider, r'another model than this config.s \(\d+ of another shape, e\.g\. '),
        (
            finetuning(tmp_path / 'other'),
            r'another model than this config.s \(\d+ missing, e\.g\. .* not in this model',
        ),
        (shorter, r'has 3 epochs behind it, but train_cfg.max_epochs is 2: '),
    ):
        assert lab.train(other, tmp_path / other.stem, *last) == 1, other
        text = (tmp_path / f'{other.stem}.log').read_text()
        assert 'Traceback' not in text
        assert re.match(f'train.py: the checkpoint to resume .*{words}', text.splitlines()[-1])


def test_loops_of_others_are_left_alone(tmp_path):
    assert exact_loop(dict(by_epoch=False, max_iters=3)) == dict(type='ExactIterLoop', max_iters=3)
    assert exact_loop(dict(type='EpochBasedTrainLoop', max_epochs=2)) == dict(
        type='ExactEpochLoop', max_epochs=2
    )
    assert exact_loop(dict(max_epochs=2)) == dict(type='ExactEpochLoop', max_epochs=2)
    assert exact_loop(dict(type='MyLoop')) is None
