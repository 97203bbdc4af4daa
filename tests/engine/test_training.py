"""Training through mmengine's Runner: momentum, accumulation, logging, the non-finite guard, pictures."""

import json
import logging

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_config, tiny_runner

from fsfm_mm.engine.launch import build_runner
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import HOOKS
from fsfm_mm.schedules import momentum_cosine
from fsfm_mm.visualization import read_scalars


@HOOKS.register_module(force=True)
class Recorder(Hook):
    """Remembers weights and losses after every iteration (lowest priority: after the momentum update)."""

    priority = 'LOWEST'

    def __init__(self):
        self.online, self.target, self.losses = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.online.append(runner.model.backbone.norm.bias.detach().clone())
        self.target.append(runner.model.target.backbone.norm.bias.detach().clone())
        self.losses.append({k: v.item() for k, v in outputs.items()})


def recorded(runner):
    runner.train()
    return next(hook for hook in runner.hooks if isinstance(hook, Recorder))


def test_target_follows_after_each_step(tmp_path):
    runner = tiny_runner(tmp_path, max_iters=4, custom_hooks=[dict(type='Recorder')])
    expected = runner.model.target.backbone.norm.bias.clone()
    record = recorded(runner)
    for i in range(4):
        m = momentum_cosine(i, 4)
        expected = m * expected + (1 - m) * record.online[i]
        torch.testing.assert_close(record.target[i], expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(record.target[3], record.online[3])


def test_target_waits_for_the_step_under_accumulation(tmp_path):
    """Five iterations with two accumulated are three updates, the last of one batch only."""
    runner = tiny_runner(
        tmp_path, max_iters=5, optim=dict(accumulative_counts=2), custom_hooks=[dict(type='Recorder')]
    )
    start = runner.model.target.backbone.norm.bias.clone()
    record = recorded(runner)
    assert torch.equal(record.target[0], start)
    expected = start
    for update, iteration in enumerate((1, 3, 4)):
        m = momentum_cosine(update, 3)
        expected = m * expected + (1 - m) * record.online[iteration]
        torch.testing.assert_close(record.target[iteration], expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(record.target[2], record.target[1])


def test_target_may_follow_every_iteration_of_an_accumulation(tmp_path):
    """As the reference's path for one GPU: between the steps it goes on towards the weights that there are."""
    runner = tiny_runner(
        tmp_path,
        max_iters=4,
        optim=dict(accumulative_counts=2),
        hooks=dict(momentum=dict(type='MomentumUpdateHook', per='iteration')),
        custom_hooks=[dict(type='Recorder')],
    )
    expected = runner.model.target.backbone.norm.bias.clone()
    record = recorded(runner)
    for i in range(4):
        m = momentum_cosine(i, 4)
        expected = m * expected + (1 - m) * record.online[i]
        torch.testing.assert_close(record.target[i], expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="per must be 'update' or 'iteration', found 'epoch'"):
        HOOKS.build(dict(type='MomentumUpdateHook', per='epoch'))


def test_frozen_random_target_stays(tmp_path):
    target = dict(type='MomentumTarget', base_momentum=None, start='random')
    runner = tiny_runner(tmp_path, model=dict(target=target))
    before = {k: v.clone() for k, v in runner.model.target.state_dict().items()}
    assert not torch.equal(
        before['backbone.blocks.0.mlp.fc1.weight'], runner.model.backbone.blocks[0].mlp.fc1.weight
    )
    runner.train()
    for key, value in runner.model.target.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('interval', [2, 3])
def test_logged_losses_are_means_since_the_last_line(tmp_path, interval):
    """An epoch has four iterations: with three a line, its end falls between two lines."""
    hooks = dict(logger=dict(type='LoggerHook', interval=interval))
    record = recorded(tiny_runner(tmp_path, max_iters=6, hooks=hooks, custom_hooks=[dict(type='Recorder')]))
    scalars = read_scalars(tmp_path)
    assert [entry['step'] for entry in scalars] == list(range(interval, 7, interval))
    for entry in scalars:
        part = record.losses[entry['step'] - interval : entry['step']]
        for key in ('loss', 'loss_rec', 'loss_region', 'loss_sim'):
            assert entry[key] == pytest.approx(np.mean([losses[key] for losses in part]), rel=1e-5)
        assert entry['grad_norm'] > 0
    total = {k: v for k, v in record.losses[0].items() if k != 'loss'}
    assert record.losses[0]['loss'] == pytest.approx(sum(total.values()), rel=1e-5)


@HOOKS.register_module(force=True)
class PoisonHook(Hook):
    """Makes the loss of some iterations NaN by putting NaN into the normalisation."""

    def __init__(self, iterations):
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        bad = runner.iter in self.iterations
        runner.model.data_preprocessor.mean.fill_(float('nan') if bad else 0.0)


@pytest.mark.parametrize('fused', [True, False])
def test_single_non_finite_losses_are_skipped(tmp_path, fused, caplog):
    optim = dict(optimizer=dict(type='AdamW', lr=1e-3, fused=fused))
    config = tiny_config(
        tmp_path, max_iters=4, custom_hooks=[dict(type='PoisonHook', iterations=[1]), dict(type='Recorder')]
    )
    config.optim_wrapper.optimizer = optim['optimizer']
    record = recorded(build_runner(config))
    assert torch.equal(record.online[1], record.online[0])
    assert not torch.equal(record.online[2], record.online[1])
    assert all(torch.isfinite(weights).all() for weights in record.online + record.target)


def test_non_finite_losses_in_a_row_stop_the_run(tmp_path):
    runner = tiny_runner(
        tmp_path,
        max_iters=8,
        custom_hooks=[dict(type='PoisonHook', iterations=[2, 3, 4, 5, 6, 7]), dict(type='Recorder')],
    )
    with pytest.raises(
        StoppedError, match=r'iteration 5: 3 updates in a row.*failed_step\.pth.*--amp float32'
    ):
        runner.train()
    state = torch.load(tmp_path / 'failed_step.pth', weights_only=False)['state_dict']
    assert all(torch.isfinite(value).all() for value in state.values())
    record = next(hook for hook in runner.hooks if isinstance(hook, Recorder))
    assert torch.equal(state['backbone.norm.bias'], record.online[1])


def test_pictures_and_loss_curve(tmp_path):
    hooks = dict(
        pictures=dict(type='ReconstructionPictureHook', interval=2, num_faces=3),
        curve=dict(type='LossCurveHook'),
    )
    tiny_runner(tmp_path, max_iters=4, hooks=hooks).train()
    names = sorted(path.name for path in (tmp_path / 'reconstructions').iterdir())
    assert names == ['iter_0000002.png', 'iter_0000004.png']
    first, last = (cv2.imread(str(tmp_path / 'reconstructions' / name)) for name in names)
    side, gap = 32, 4
    left = 2 * side  # at most, for the names of the rows
    height = (
        4 * (side + gap) - gap
    )  # original, masked, given (norm_pix), reconstructed; and the caption below
    assert first.shape[0] > height and first.shape[1:] == (left + 3 * (side + gap) - gap, 3)
    original, rebuilt = slice(0, side), slice(3 * (side + gap), height)
    np.testing.assert_array_equal(first[original], last[original])  # the same faces every time
    assert not np.array_equal(first[rebuilt, left:], last[rebuilt, left:])
    assert cv2.imread(str(tmp_path / 'loss_curve.png')) is not None


def test_resume_goes_on_with_the_curve(tmp_path):
    tiny_runner(tmp_path, max_iters=4, train_cfg=dict(by_epoch=False, max_iters=2)).train()
    runner = tiny_runner(tmp_path, max_iters=4, resume=True)
    runner.train()
    assert runner.iter == 4
    assert [entry['step'] for entry in read_scalars(tmp_path)] == [2, 4]


def test_report_and_empty_epoch(tmp_path, caplog):
    config = tiny_config(tmp_path, batch_size=17, train_cfg=dict(by_epoch=True, max_epochs=1))
    with pytest.raises(ValueError, match='16 samples, fewer than one batch of 17'):
        build_runner(config)


def test_report_names_the_arithmetic_and_files(tmp_path):
    runner = tiny_runner(tmp_path, optim=dict(accumulative_counts=2), log_level='INFO')
    lines = []
    runner.logger.handlers.append(handler := logging.Handler())
    handler.emit = lambda record: lines.append(record.getMessage())
    runner.train()
    text = '\n'.join(lines)
    assert 'Effective batch: 4 x 1 process(es) x 2 accumulated = 8' in text
    assert '4 iterations = 2 updates' in text
    assert 'The run left:' in text
    assert str(tmp_path / 'iter_4.pth') in text
    assert 'FileClient' not in text


def test_only_training_scalars_are_read(tmp_path):
    folder = tmp_path / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    lines = [dict(step=2, loss=1.0), dict(step=2, val=3.0), dict(step=4, loss=0.5)]
    (folder / 'scalars.json').write_text('\n'.join(json.dumps(line) for line in lines))
    assert [entry['loss'] for entry in read_scalars(tmp_path)] == [1.0, 0.5]
