"""Asked to stop, a run ends its update, saves, says so by its exit code, and goes on later as if nothing was."""

import signal
from types import SimpleNamespace

import pytest
from resume_cases import assert_same_run, pretraining

from fsfm_mm.commands import train
from fsfm_mm.engine.hooks import StopSignalHook


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False])
def test_signals_save_and_stop(lab, tmp_path, by_epoch):
    """Each kind, at places within an accumulation, at its end, and on the last iteration of an epoch."""
    settings = dict(sampler='InfiniteSampler', checkpoint=dict(interval=6)) if not by_epoch else {}
    config = pretraining(tmp_path, by_epoch, accumulate=2, workers=2, **settings)
    assert lab.train(config, tmp_path / 'whole') == 0
    stopped = tmp_path / 'stopped'
    for name, iteration, end in [('TERM', 2, 4), ('USR1', 5, 6), ('INT', 8, 10), ('TERM', 9, None)]:
        code = lab.train(config, stopped, '--resume', at=f'{name} before_train_iter {iteration}')
        if end is None:  # that iteration was over
            assert code == 0
            break
        assert code == (130 if name == 'INT' else 75)
        last = (tmp_path / 'stopped.log').read_text().splitlines()[-1]
        assert last == (
            f'train.py: stopped by SIG{name} after iteration {end}; the state is saved as {stopped}/stopped.pth: '
            'go on with --resume.'
        )
        assert (stopped / 'last_checkpoint').read_text() == str(stopped / 'stopped.pth')
    assert not (stopped / 'stopped.pth').exists()
    assert_same_run(tmp_path / 'whole', stopped)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(lab, tmp_path):
    config = pretraining(tmp_path)
    assert lab.train(config, tmp_path / 'whole', processes=2) == [0, 0]
    stopped = tmp_path / 'stopped'
    assert lab.train(config, stopped, at='TERM before_train_iter 2', processes=2) == [75, 75]
    assert (stopped / 'stopped.pth').exists()
    assert lab.train(config, stopped, '--resume', processes=2) == [0, 0]
    assert_same_run(tmp_path / 'whole', stopped)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['TERM', 'USR1', 'INT'])
def test_a_signal_to_the_whole_group_leaves_the_workers_alone(lab, tmp_path, name):
    config = pretraining(tmp_path, workers=2)
    code = lab.train(config, tmp_path / 'run', at=f'{name}+ before_train_iter 2')
    assert code == (130 if name == 'INT' else 75), (tmp_path / 'run.log').read_text()
    assert (tmp_path / 'run/stopped.pth').exists()


@pytest.mark.parametrize('name', ['TERM', 'USR1'])
def test_a_signal_before_the_training(tmp_path, monkeypatch, capsys, name):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(
        'fsfm_mm.engine.launch.build_runner', lambda cfg: signal.raise_signal(getattr(signal, f'SIG{name}'))
    )
    monkeypatch.setattr('fsfm_mm.engine.third_party.load_safely', lambda: None)
    with pytest.raises(SystemExit) as stop:
        train.main([str(pretraining(tmp_path)), '--work-dir', str(tmp_path / 'run')])
    assert stop.value.code == 75
    assert capsys.readouterr().err == (
        f'fsfm-mm train: stopped by SIG{name} while it was not training: start it again with --resume.\n'
    )
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == before


class Run:
    """As much of a runner as the hook asks."""

    optim_wrapper = SimpleNamespace(should_update=lambda: False)

    def train(self, hook, body):
        hook.before_train(self)
        body()
        hook.after_run(self)


def test_ctrl_c_twice_stops_at_once(capfd):
    before = signal.getsignal(signal.SIGTERM)
    hook, run = StopSignalHook(), Run()

    def body():
        signal.raise_signal(signal.SIGINT)
        hook.after_train_iter(run, 0)  # gradients are being accumulated: not yet
        assert 'Ctrl-C again' in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    run.train(hook, body)
    assert signal.getsignal(signal.SIGTERM) is before


def test_after_a_failed_run_ctrl_c_interrupts(capfd):
    """In a notebook, say: no hook hears of an exception, and nothing saves any more."""
    before = signal.getsignal(signal.SIGTERM)
    run = Run()
    with pytest.raises(ZeroDivisionError):
        run.train(StopSignalHook(), lambda: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == ''
    assert signal.getsignal(signal.SIGTERM) is before
