"""What a training shows on the console: what matters at its start, progress at sensible times, all else in the file."""

import io
import logging
import sys
import time

import pytest
from tiny_run import tiny_config, tiny_runner

from fsfm_mm.engine.hooks import progress
from fsfm_mm.engine.launch import build_runner


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when an iteration is done."""
    now = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


class Slow:
    """Iterations that take so many seconds each."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def __call__(self, runner, batch_idx, data_batch=None):
        self.clock[0] += self.seconds[min(runner.iter, len(self.seconds) - 1)]


def run(tmp_path, clock, seconds, capsys, max_iters=8, **changes):
    config = tiny_config(
        tmp_path,
        max_iters=max_iters,
        hooks=dict(progress=dict(type='ProgressHook')),
        log_level='INFO',
        **changes,
    )
    runner = build_runner(config)
    hook = next(hook for hook in runner.hooks if isinstance(hook, progress.ProgressHook))
    hook.before_train_iter = Slow(clock, seconds)
    runner.train()
    return runner, capsys.readouterr().out


def shown(said):
    """Iterations that a line was written after."""
    return [int(line.split()[1]) for line in said.splitlines() if 'pictures/s' in line]


def test_start_is_short_and_the_file_has_everything(tmp_path, clock, capsys):
    runner, said = run(tmp_path, clock, [0.1], capsys, max_iters=2)
    start = said[: said.index('2 of 2 iterations')].splitlines()
    assert len(start) <= 25
    for title in ('data', 'model', 'device', 'batch', 'learning rate', 'length', 'goes to', 'log'):
        assert any(line.startswith(f'  {title} ') for line in start), title
    assert '16 samples' in said and 'FSFM with FusedAttentionViT' in said and 'CPU, float32' in said
    assert f'{tmp_path}' in said and 'Effective batch: 4 x 1' in said
    assert (
        'System environment' not in said and 'IterTimerHook' not in said and 'train_dataloader = ' not in said
    )
    with open(runner.logger.log_file, encoding='utf-8') as file:
        text = file.read()
    for kept in (
        'System environment',
        'IterTimerHook',
        'train_dataloader = ',
        'The run:',
        'Iter(train) [2/2]',
    ):
        assert kept in text, kept
    assert 'pictures/s' not in text  # progress is for the console


@pytest.mark.parametrize(
    ('seconds', 'lines'),
    [
        ([0.1], [8]),  # done before there is anything to tell but the end
        ([4.0], [2, 4, 8]),  # at 8 s: the next would come after 10
        (
            [20.0],
            [1, 2, 3, 4, 8],
        ),  # every iteration is slow: the first is told at once, then ever more rarely
        ([3.0, 30.0, 3.0], [2, 5, 8]),
    ],
)
def test_lines_come_at_growing_distances(tmp_path, clock, capsys, seconds, lines):
    _, said = run(tmp_path, clock, seconds, capsys)
    assert shown(said) == lines


def test_a_line_says_rate_loss_and_time_left(tmp_path, clock, capsys):
    _, said = run(tmp_path, clock, [4.0], capsys)
    second = next(line for line in said.splitlines() if ' 4 of 8 iterations' in line)
    assert '1.0 pictures/s' in second and 'loss ' in second and 'lr ' in second and '00:16 left' in second


def test_a_rate_of_zero_is_explained(tmp_path, clock, capsys):
    _, said = run(tmp_path, clock, [20.0], capsys)
    assert 'lr 0 (the warm-up begins at 0)' in said
    assert 'It rises from 0 (the first iteration changes nothing) over 1 iterations' in said


def test_a_terminal_has_a_bar_that_lines_leave_whole(tmp_path, clock, capsys, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, 'stdout', terminal)
    run(tmp_path, clock, [4.0], capsys)
    said = terminal.getvalue()
    assert ('8/8' in said and 'loss ' in said and 's/it' in said) or 'it/s' in said
    assert 'pictures/s' not in said


def test_warnings_and_other_lines_stay_on_the_console(tmp_path, capsys):
    runner = tiny_runner(tmp_path, log_level='INFO')
    runner.logger.warning('look here')
    runner.logger.info('and here')
    said = capsys.readouterr().out
    assert 'warning: look here' in said and 'and here' in said
    assert time.strftime('%H:') in said


def test_a_quiet_log_level_is_quiet(tmp_path, capsys):
    config = tiny_config(tmp_path, hooks=dict(progress=dict(type='ProgressHook')))
    build_runner(config).train()
    assert 'iterations' not in capsys.readouterr().out
    assert logging.getLogger().level == logging.WARNING
