"""What others keep in a checkpoint is theirs: optimisers, hooks, averages, scalers, schedules that wait."""

from types import SimpleNamespace

import pytest
import torch
from linear_run import run
from mmengine.hooks import EarlyStoppingHook, Hook
from test_resume_schedules import rates

from fsfm_mm.checkpoints import load_checkpoint_file
from fsfm_mm.engine.honoured_settings import _honour_groups, as_built
from fsfm_mm.engine.resume import early_stopping_facts, restore_early_stopping
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.registry import OPTIMIZERS

LAST = 'whole/iter_14.pth'


class Validations(Hook):
    """Metrics as a validation after each epoch would give them: no one is better than the first."""

    def after_train_epoch(self, runner):
        for scheduler in runner.param_schedulers:
            if getattr(scheduler, 'need_val_args', False):
                scheduler.step(dict(error=1.0 + runner.epoch, other=1.0 + runner.epoch))


def plateau(**settings):
    waiting = dict(monitor='error', patience=0, **{'factor': 0.5, **settings})
    return [
        dict(type='LinearLR', start_factor=0.1, end=3, convert_to_iter_based=True),
        dict(type='ReduceOnPlateauLR', **waiting),
        dict(type='ReduceOnPlateauMomentum', **waiting),
    ]


@pytest.fixture(scope='module')
def waited(tmp_path_factory):
    folder = tmp_path_factory.mktemp('waited')
    return folder, run(folder / 'whole', plateau(), hooks=[Validations()])[0]


def resumed(waited, tmp_path, schedule, **changes):
    return run(tmp_path, schedule, waited[0] / LAST, hooks=[Validations()], **changes)[0]


def test_what_waits_for_a_metric_goes_on(waited, tmp_path):
    """Unchanged, and with another rate, which is what a whole run with it has."""
    whole = waited[1]
    assert (
        whole[4][0]['momentum'] == 0.9
        and whole[12][0]['momentum'] == 0.45
        and whole[19][0]['momentum'] == 0.225
    )
    assert resumed(waited, tmp_path, plateau()) == {i: seen for i, seen in whole.items() if i >= 14}
    lower = {'optim_wrapper.optimizer.lr': 0.03}
    fresh, _, _ = run(tmp_path / 'fresh', plateau(), hooks=[Validations()], **lower)
    found = resumed(waited, tmp_path / 'lower', plateau(), **lower)
    for i, groups in rates(fresh, 14).items():
        for name in ('lr', 'momentum', 'initial_lr'):
            expected = [group[name] for group in groups]
            assert [group[name] for group in found[i][:-1]] == pytest.approx(expected, rel=1e-12)


def test_what_it_took_stays_a_factor(waited, tmp_path):
    """Of a longer warm-up: half of what that has; the factor that it takes from now on is the new one."""
    schedule = plateau(factor=0.1)
    schedule[0]['end'] = 4
    found = resumed(waited, tmp_path, schedule)
    warm = [0.1 + 0.9 * i / 19 for i in range(20)]
    assert found[14][0]['lr'] == pytest.approx(0.1 * warm[14] / 2, rel=1e-12)
    assert found[19][0]['lr'] == pytest.approx(0.1 * warm[19] / 20, rel=1e-12)
    patient = resumed(
        waited,
        tmp_path / 'patient',
        [{**one, 'patience': 9} if 'patience' in one else one for one in plateau()],
    )
    assert patient[19][0]['momentum'] == 0.45


def test_it_begins_to_count_anew_with_another_metric(waited, tmp_path):
    other = [{**one, 'monitor': 'other'} if 'patience' in one else one for one in plateau()]
    assert resumed(waited, tmp_path, other)[19][0]['momentum'] == 0.45  # the first of its metric is the best
    removed = resumed(waited, tmp_path / 'removed', plateau()[:1])
    assert removed[19][0]['lr'] == pytest.approx(0.1, rel=1e-12) and removed[19][0]['momentum'] == 0.9


def test_what_cannot_be_told_is_refused(waited, tmp_path):
    with pytest.raises(
        StoppedError, match=r'param_scheduler was LinearLR, .* and is StepLR, Red.* cannot be told'
    ):
        resumed(waited, tmp_path, [dict(type='StepLR', step_size=1), *plateau()[1:]])
    checkpoint = load_checkpoint_file(waited[0] / LAST)
    del checkpoint['run_state']['built']
    torch.save(checkpoint, tmp_path / 'older.pth')
    unchanged, _, _ = run(tmp_path / 'same', plateau(), tmp_path / 'older.pth', hooks=[Validations()])
    assert unchanged == {i: seen for i, seen in waited[1].items() if i >= 14}
    with pytest.raises(StoppedError, match='does not say what its schedules began with'):
        run(tmp_path / 'lower', plateau(), tmp_path / 'older.pth', **{'optim_wrapper.optimizer.lr': 0.03})


@OPTIMIZERS.register_module(force=True)
class Adapting(torch.optim.SGD):
    """As D-Adaptation and Prodigy do, it keeps what it has learned in its groups."""

    def __init__(self, params, **kwargs):
        super().__init__(params, **kwargs)
        for group in self.param_groups:
            group['d'] = 1.0

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            group['d'] += 1.0


class Halving(Hook):
    """A schedule of a user's own: in the third epoch everything is slower."""

    def before_train_epoch(self, runner):
        if runner.epoch == 2 and runner.iter == 10:
            for group in runner.optim_wrapper.optimizer.param_groups:
                group['lr'] /= 2


def test_states_in_groups_and_rates_of_hooks_stay(tmp_path):
    own = {'optim_wrapper.optimizer.type': 'Adapting'}
    whole, _, _ = run(tmp_path / 'whole', [], hooks=[Halving()], **own)
    assert whole[14][0]['lr'] == 0.05 and whole[14][0]['d'] == 15.0
    for name, changes in (('same', {}), ('decay', {'optim_wrapper.optimizer.weight_decay': 0.1})):
        found, _, _ = run(tmp_path / name, [], tmp_path / LAST, hooks=[Halving()], **own, **changes)
        expected = rates(whole, 14)
        for groups in expected.values() if changes else ():
            groups[:] = [{**group, 'weight_decay': 0.1} for group in groups]
        assert rates(found, 14) == expected


def test_a_schedule_that_is_gone_leaves_the_config_s_rate(tmp_path):
    run(tmp_path / 'whole', [dict(type='StepLR', step_size=1), dict(type='StepMomentum', step_size=1)])
    found, _, _ = run(tmp_path / 'gone', [], tmp_path / LAST)
    assert {group['lr'] for group in found[14][:-1]} == {0.1, 0.2} and found[14][0]['momentum'] == 0.9


def test_average(tmp_path):
    """It goes on; and without its hook the run goes on from the weights that were trained."""
    hook = dict(custom_hooks=[dict(type='EMAHook', momentum=0.3)])
    whole, _, _ = run(tmp_path / 'whole', [], **hook)
    found, _, _ = run(tmp_path / 'found', [], tmp_path / 'whole/iter_7.pth', **hook)
    assert found == {i: seen for i, seen in whole.items() if i >= 7}
    ends = [load_checkpoint_file(tmp_path / name / 'iter_14.pth') for name in ('whole', 'found')]
    for part in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(value, ends[1][part][key]) for key, value in ends[0][part].items())
    without, _, _ = run(tmp_path / 'without', [], tmp_path / LAST)
    assert without == {i: seen for i, seen in whole.items() if i >= 14}


def test_a_loss_scaler_keeps_its_scale_and_takes_new_settings():
    def wrapper(**settings):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scaler = dict(scale=65536.0, growth_factor=2.0, growth_interval=2000, _growth_tracker=0) | settings
        one = SimpleNamespace(
            optimizer=optimizer, state_dict=lambda: {**optimizer.state_dict(), 'loss_scaler': scaler}
        )
        return one, as_built(SimpleNamespace(optim_wrapper=one, param_schedulers=None))['']

    then, now = wrapper()[1], wrapper(growth_interval=100)
    state = now[0].state_dict()
    state['loss_scaler'] = dict(scale=1024.0, growth_factor=2.0, growth_interval=2000, _growth_tracker=7)
    _honour_groups(now[0], state, then, now[1], [])
    assert state['loss_scaler'] == dict(
        scale=1024.0, growth_factor=2.0, growth_interval=100, _growth_tracker=7
    )


def test_early_stopping_counts_anew_with_another_metric():
    def runner(**settings):
        return SimpleNamespace(hooks=[EarlyStoppingHook(**{'monitor': 'AUC', 'rule': 'greater', **settings})])

    before = runner()
    before.hooks[0].best_score, before.hooks[0].wait_count = 0.9, 3
    facts = early_stopping_facts(before)
    for settings, count in (({}, 3), ({'monitor': 'EER'}, 0), ({'rule': 'less'}, 0)):
        now = runner(**settings)
        restore_early_stopping(now, facts)
        assert now.hooks[0].wait_count == count
