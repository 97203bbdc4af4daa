"""The sentences about batch, learning rate and updates, against arithmetic by hand."""

from fractions import Fraction
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from tiny_run import tiny_config, tiny_runner
from torch.utils.data import DataLoader

from fsfm_mm.engine.hooks import report
from fsfm_mm.engine.hooks.report import describe_batch, early_end_of_schedule
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.engine.loops import check_sampler


def trained(tmp_path, **changes):
    runner = build_runner(tiny_config(tmp_path, **changes))
    runner.train()
    return describe_batch(runner)


def test_scaled_learning_rate(tmp_path):
    """16 samples, batch 3: 5 iterations and one sample left; lr 1e-3 at 64 -> 1e-3 * 3 * 2 / 64."""
    text = trained(
        tmp_path,
        batch_size=3,
        optim=dict(accumulative_counts=2),
        auto_scale_lr=dict(enable=True, base_batch_size=64),
    )
    assert text == (
        'Effective batch: 3 x 1 process(es) x 2 accumulated = 6. '
        f'Peak learning rate 0.001 for 64 scaled to {float(Fraction(6, 64_000)):.4g}. '
        '16 samples = 5 iterations an epoch, 1 left out of each. 4 iterations = 2 updates.'
    )


def test_learning_rate_that_should_have_been_scaled(tmp_path):
    text = trained(tmp_path, auto_scale_lr=dict(base_batch_size=64))
    assert (
        'Peak learning rate 0.001, meant for a batch of 64 and not scaled (--auto-scale-lr would make it 6.25e-05).'
        in text
    )


@pytest.mark.parametrize(
    'scaling, expected',
    [
        ({}, 'Peak learning rate 0.001.'),
        (dict(base_batch_size=4), 'Peak learning rate 0.001, meant for this'),
    ],
)
def test_nothing_to_scale(tmp_path, scaling, expected):
    text = trained(tmp_path, auto_scale_lr=scaling)
    assert expected in text
    assert '16 samples = 4 iterations an epoch. 4 iterations = 4 updates.' in text


def test_endless_sampler(monkeypatch, tmp_path):
    """Four iterations of 4 pictures in each of 3 processes, out of 16: three times each."""
    config = tiny_config(tmp_path)
    config.train_dataloader.sampler = dict(type='InfiniteSampler')
    runner = build_runner(config)
    runner.train()
    monkeypatch.setattr(report, 'get_world_size', lambda: 3)
    assert '16 samples, each seen 3 times on average. 4 iterations = 4 updates.' in describe_batch(runner)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DomainBalancedSampler'])
def test_no_epochs_without_an_end(tmp_path, sampler):
    config = tiny_config(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=2))
    loop = dict(type='ExactEpochLoop')
    if sampler == 'InfiniteSampler':
        config.train_dataloader.sampler = dict(type=sampler)
        with pytest.raises(ValueError, match='InfiniteSampler have no end: set train_cfg'):
            build_runner(config)
    check_sampler(loop, SimpleNamespace(infinite=False))
    check_sampler(dict(type='ExactIterLoop'), SimpleNamespace(infinite=True))
    with pytest.raises(ValueError, match='have no end'):
        check_sampler(loop, SimpleNamespace(infinite=True))


def test_a_learning_rate_that_ends_too_early(tmp_path):
    runner = tiny_runner(tmp_path)
    runner.train()
    assert early_end_of_schedule(runner) is None
    runner.param_schedulers[0].total = 3.0
    assert 'ends after 3 of 4 iterations and stays at 0 from there on' in early_end_of_schedule(runner)


def test_published_run_on_four_gpus(monkeypatch):
    """FSFM: 4 x 256 x 4 = 4096; the last update of a run may have fewer batches."""
    monkeypatch.setattr(report, 'get_world_size', lambda: 4)
    sampler = range(750_000)  # of this process
    loader = DataLoader(range(3_000_000), batch_size=256, sampler=sampler, drop_last=True)
    optimizer = SimpleNamespace(param_groups=[dict(lr=0.0, initial_lr=2.4e-3), dict(lr=0.0, initial_lr=1e-3)])
    runner = SimpleNamespace(
        train_dataloader=loader,
        optim_wrapper=SimpleNamespace(_accumulative_counts=4, optimizer=optimizer),
        cfg=Config(dict(auto_scale_lr=dict(base_batch_size=4096))),
        max_iters=2929 * 3,
    )
    assert describe_batch(runner) == (
        'Effective batch: 256 x 4 process(es) x 4 accumulated = 4096. Peak learning rate 0.0024, meant for this batch. '
        '3000000 samples = 2929 iterations an epoch, 704 left out of each. 8787 iterations = 2197 updates.'
    )
