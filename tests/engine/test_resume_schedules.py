"""Any schedule goes on as if nothing had happened, and where the config was changed, as the new one says.

What is right after a change: the rates of a run that began with the new config, at the same place.
"""

import pytest
from linear_run import run
from resume_cases import assert_equal

CONVERTED = dict(by_epoch=True, convert_to_iter_based=True)
ITERATIONS = dict(by_epoch=False)
#: Arguments of mmengine's schedules over 4 epochs, and over their 20 iterations.
KINDS = {
    'Constant': (dict(factor=0.5, end=2), dict(factor=0.5, begin=3, end=13)),
    'CosineAnnealing': (dict(eta_min=1e-3), dict(eta_min_ratio=0.1, begin=6)),
    'CosineRestart': (
        dict(periods=[2, 4], restart_weights=[1, 0.5], eta_min=1e-3),
        dict(periods=[8, 22], restart_weights=[1, 0.5], eta_min=1e-3),
    ),
    'Exponential': (dict(gamma=0.9), dict(gamma=0.97, begin=9)),
    'Linear': (dict(start_factor=0.1, end=3), dict(start_factor=0.1, begin=2, end=13)),
    'MultiStep': (dict(milestones=[1, 3], gamma=0.5), dict(milestones=[4, 9, 17], gamma=0.5, begin=1)),
    'Poly': (dict(power=0.9, eta_min=1e-3), dict(power=0.9, begin=4)),
    'Step': (dict(step_size=1, gamma=0.7), dict(step_size=4, gamma=0.7, begin=5)),
}


def schedules_of_mmengine():
    found = {}
    for kind, (epochs, iterations) in KINDS.items():
        rate, momentum = dict(type=f'{kind}LR'), dict(type=f'{kind}Momentum')
        found[f'{kind} 1'] = [{**rate, **epochs, 'by_epoch': True}, {**momentum, **epochs, **CONVERTED}]
        found[f'{kind} 2'] = [{**rate, **epochs, **CONVERTED}, {**momentum, **iterations, **ITERATIONS}]
        found[f'{kind} 3'] = [{**rate, **iterations, **ITERATIONS}]
    return found


SCHEDULES = {
    **schedules_of_mmengine(),
    'one cycle': [dict(type='OneCycleLR', eta_max=0.2, three_phase=True, **CONVERTED)],
    'usual recipe': [
        dict(type='LinearLR', start_factor=0.01, end=1, **CONVERTED),
        dict(type='CosineAnnealingLR', eta_min=1e-5, begin=1, **CONVERTED),
    ],
    'three of them': [
        dict(type='LinearLR', start_factor=0.2, end=6, by_epoch=False),
        dict(type='StepLR', step_size=3, gamma=0.8, begin=6, by_epoch=False),
        dict(type='ExponentialLR', gamma=0.5, begin=2),
    ],
    'ours, later': [
        dict(type='ConstantLR', factor=0.3, end=10, by_epoch=False),
        dict(type='WarmupCosineLR', warmup=2, total=18, begin=10, by_epoch=False),
    ],
}
#: What is changed, and where a checkpoint after 14 iterations is then.
CHANGES = {
    'longer': ({'train_cfg.max_epochs': 6, 'optim_wrapper.optimizer.lr': 0.05}, 14),
    'other epochs': ({'train_dataloader.batch_size': 1}, 28),
}


def rates(seen, first):
    return {i: values[:-1] for i, values in seen.items() if i >= first}


@pytest.mark.parametrize('name', SCHEDULES)
def test_unchanged_and_changed(tmp_path, name):
    schedule = SCHEDULES[name]
    seen, log, end = run(tmp_path / 'whole', schedule)
    for place in (7, 14):
        found = run(tmp_path / f'{place}', schedule, tmp_path / f'whole/iter_{place}.pth')
        assert found[0] == {i: values for i, values in seen.items() if i >= place}
        assert found[1] == {key: entry for key, entry in log.items() if key[0] > place}
        assert_equal(found[2], end)
    changes, place = CHANGES['longer' if ord(name[-1]) % 2 else 'other epochs']
    fresh, _, _ = run(tmp_path / 'fresh', schedule, **changes)
    found, _, _ = run(tmp_path / 'changed', schedule, tmp_path / 'whole/iter_14.pth', **changes)
    assert rates(found, 0) == rates(fresh, place)


def test_in_a_run_by_iterations(tmp_path):
    """With epochs of another length the iteration stays; what was converted from epochs ends elsewhere."""
    schedule = SCHEDULES['usual recipe'][:1] + [dict(type='PolyLR', begin=3, by_epoch=False)]
    by_iterations = {
        'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=20),
        'log_processor': dict(by_epoch=False),
    }
    seen, log, end = run(tmp_path / 'whole', schedule, **by_iterations)
    found = run(tmp_path / 'same', schedule, tmp_path / 'whole/iter_7.pth', **by_iterations)
    assert found[0] == {i: values for i, values in seen.items() if i >= 7}
    assert found[1] == {key: entry for key, entry in log.items() if key[0] > 7}
    assert_equal(found[2], end)
    by_iterations['train_dataloader.batch_size'] = 5
    by_iterations['train_cfg'].update(max_iters=25)
    fresh, _, _ = run(tmp_path / 'fresh', schedule, **by_iterations)
    found, _, _ = run(tmp_path / 'changed', schedule, tmp_path / 'whole/iter_14.pth', **by_iterations)
    assert rates(found, 0) == rates(fresh, 14)


def test_a_run_by_iterations_goes_on_by_epochs(tmp_path):
    by_iterations = {
        'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=20),
        'log_processor': dict(by_epoch=False),
    }
    schedule = [dict(type='StepLR', step_size=1, gamma=0.7)]
    run(tmp_path / 'whole', schedule, **by_iterations)
    fresh, _, _ = run(tmp_path / 'fresh', schedule)
    found, _, _ = run(tmp_path / 'changed', schedule, tmp_path / 'whole/iter_14.pth')
    assert rates(found, 0) == rates(fresh, 14)


def test_without_states_of_schedules(tmp_path):
    """mmengine would begin them at the start of the run."""
    schedule = SCHEDULES['usual recipe']
    seen, _, end = run(
        tmp_path / 'whole', schedule, **{'default_hooks.checkpoint.save_param_scheduler': False}
    )
    found = run(tmp_path / 'found', schedule, tmp_path / 'whole/iter_7.pth')
    assert found[0] == {i: values for i, values in seen.items() if i >= 7}
    assert_equal(found[2], end)


def test_momentum_of_adam(tmp_path):
    """It is the first of its betas, which a schedule drives; the second is a setting."""
    schedule = [dict(type='LinearMomentum', start_factor=0.5, end=3, **CONVERTED)]
    adam = dict(_delete_=True, type='AdamW', lr=0.01, betas=(0.8, 0.99))
    seen, _, end = run(tmp_path / 'whole', schedule, **{'optim_wrapper.optimizer': adam})
    found = run(
        tmp_path / 'same', schedule, tmp_path / 'whole/iter_7.pth', **{'optim_wrapper.optimizer': adam}
    )
    assert found[0] == {i: values for i, values in seen.items() if i >= 7}
    assert_equal(found[2], end)
    adam['betas'] = (0.6, 0.9)
    fresh, _, _ = run(tmp_path / 'fresh', schedule, **{'optim_wrapper.optimizer': adam})
    found, _, _ = run(
        tmp_path / 'new', schedule, tmp_path / 'whole/iter_7.pth', **{'optim_wrapper.optimizer': adam}
    )
    assert rates(found, 0) == rates(fresh, 7)
