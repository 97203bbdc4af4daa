"""Settings changed on a resume: the same ones are honoured whatever the schedule is, and the log names them."""

import copy

import pytest
from mmengine.config import Config
from tiny_run import tiny_config

from fsfm_mm.engine.launch import build_runner
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.settings.changed import ABSENT, another_run, changed_settings
from fsfm_mm.settings.data import settings_of_text
from fsfm_mm.settings.reading import read_config

STOPPED, LONG = 4, 8
#: Kinds of schedules over 8 iterations.
SCHEDULES = {
    'ours': dict(type='WarmupCosineLR', warmup=2, total=LONG, by_epoch=False),
    'none': [],
    'cosine': dict(type='CosineAnnealingLR', T_max=LONG, by_epoch=False),
    'chained': [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=3, by_epoch=False),
        dict(type='MultiStepLR', milestones=[5, 7], gamma=0.5, by_epoch=False),
    ],
    'poly': dict(type='PolyLR', power=0.9, end=LONG, by_epoch=False),
}


def run(work_dir, schedule, resume=False, **settings):
    """Learning rate of every iteration, and the runner."""
    config = tiny_config(
        work_dir,
        max_iters=LONG,
        hooks=dict(
            exact_resume=dict(type='ExactResumeHook'),
            checkpoint=dict(type='SafeCheckpointHook', interval=STOPPED, by_epoch=False),
        ),
    )
    config.param_scheduler = copy.deepcopy(schedule)
    config.launcher = 'none'
    config.merge_from_dict(settings)
    config.resume = resume
    runner = build_runner(config)
    rates = {}

    original = runner.call_hook

    def call(name, **kwargs):
        original(name, **kwargs)
        if name == 'before_train_iter':
            rates[runner.iter] = runner.optim_wrapper.param_groups[0]['lr']

    runner.call_hook = call
    runner.train()
    return rates, runner


def stopped(work_dir, schedule):
    """Learning rates of a whole run, of which the second half is then forgotten."""
    rates, _ = run(work_dir, schedule)
    (work_dir / f'iter_{LONG}.pth').unlink()
    (work_dir / 'last_checkpoint').write_text(str(work_dir / f'iter_{STOPPED}.pth'))
    return rates


@pytest.mark.parametrize('kind', SCHEDULES)
def test_what_is_honoured_is_the_same_for_all_schedules(tmp_path, kind):
    whole = stopped(tmp_path, SCHEDULES[kind])
    changed = {'optim_wrapper.optimizer.lr': 1e-4, 'optim_wrapper.optimizer.weight_decay': 0.5}
    fresh, _ = run(tmp_path / 'fresh', SCHEDULES[kind], **changed)
    assert fresh != whole
    rates, runner = run(tmp_path, SCHEDULES[kind], resume=True, **changed)
    assert rates == pytest.approx({i: rate for i, rate in fresh.items() if i >= STOPPED}, rel=1e-12)
    groups = runner.optim_wrapper.param_groups
    assert {group['weight_decay'] for group in groups} == {0.5, 0.0}
    log = next(tmp_path.glob('*/*.log')).parent.parent
    said = ''.join(path.read_text() for path in sorted(log.glob('*/*.log')))
    assert 'no longer the same run: ' in said
    assert 'optim_wrapper.optimizer.lr 0.001 -> 0.0001 (honoured)' in said
    assert 'optim_wrapper.optimizer.weight_decay 0.05 -> 0.5 (honoured)' in said


@pytest.mark.parametrize('kind', SCHEDULES)
def test_nothing_changed_is_the_same_run(tmp_path, kind):
    whole = stopped(tmp_path, SCHEDULES[kind])
    rates, _ = run(tmp_path, SCHEDULES[kind], resume=True)
    assert rates == {i: rate for i, rate in whole.items() if i >= STOPPED}
    assert 'no longer the same run' not in ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))


def test_schedules_and_groups_may_be_exchanged(tmp_path):
    stopped(tmp_path, SCHEDULES['ours'])
    no_decay = {'optim_wrapper.optimizer.weight_decay': 0.0}  # one group in the place of two
    fresh, _ = run(tmp_path / 'fresh', SCHEDULES['chained'], **no_decay)
    rates, runner = run(tmp_path, SCHEDULES['chained'], resume=True, **no_decay)
    assert rates == pytest.approx({i: rate for i, rate in fresh.items() if i >= STOPPED}, rel=1e-12)
    assert len(runner.optim_wrapper.param_groups) == 1
    states = runner.optim_wrapper.optimizer.state
    assert all(
        states[parameter]['exp_avg'].shape == parameter.shape and states[parameter]['step'] == LONG
        for parameter in runner.optim_wrapper.param_groups[0]['params']
    )


def test_another_optimiser_is_one_sentence(tmp_path):
    stopped(tmp_path, SCHEDULES['ours'])
    sgd = {'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1, weight_decay=0.0)}
    with pytest.raises(StoppedError, match=r'optim_wrapper.optimizer.type was AdamW .* and is SGD now'):
        run(tmp_path, SCHEDULES['ours'], resume=True, **sgd)


def test_whole_configs_are_compared():
    before = read_config('fsfm_vit-b_ffpp-c23_10e')
    now = read_config(
        'fsfm_vit-b_ffpp-c23_10e',
        {
            'train_dataloader.dataset.pipeline.1.interpolation': 'bicubic',
            'model.train_cfg.augments.mixup': 0.0,
            'model.backbone.init_cfg': None,
            'model.backbone.drop_path_rate': 0.0,
            'randomness.seed': 3,
            'default_hooks.logger.interval': 1,
            'work_dir': 'elsewhere',
            'train_dataloader.num_workers': 0,
            'custom_hooks': [dict(type='EMAHook')],
        },
    )
    changed = changed_settings(before.pretty_text, now)
    assert changed_settings(before.pretty_text, before) == {}
    assert changed['model.train_cfg.augments.mixup'] == (0.8, 0.0)
    assert changed['custom_hooks.0.type'] == (ABSENT, 'EMAHook')
    assert not [name for name in changed if 'work' in name or 'logger' in name]
    said = another_run(changed, {'processes': (2, 1)})
    assert said.startswith('no longer the same run: ')
    assert 'model.train_cfg.augments.mixup 0.8 -> 0 (honoured)' in said
    assert 'randomness.seed 0 -> 3 (not honoured: a run keeps its seed)' in said
    assert (
        "(not honoured: the weights are the checkpoint's)" in said and 'processes 2 -> 1 (honoured)' in said
    )
    assert another_run({}, {}) is None


def test_a_config_in_a_checkpoint_is_not_executed(tmp_path):
    target = tmp_path / 'written'
    text = f"model = dict(type='A', lr=1e-3, size=(2, 3), x=[dict(a=None)], y=inf, z=open({str(target)!r}, 'w'))\n"
    found = settings_of_text(text)
    assert (
        found['model']['size'] == [2, 3]
        and found['model']['x'] == [{'a': None}]
        and found['model']['y'] == 'inf'
    )
    assert not target.exists() and found['model']['z'].startswith('open(')
    assert settings_of_text('model = (') == {} and changed_settings('', Config()) == {}


def test_the_folder_that_a_run_began_with_is_no_change():
    """--init FOLDER is its last checkpoint: the same command with --resume says FOLDER again."""
    then = "model = dict(backbone=dict(init_cfg=dict(checkpoint='runs/a/epoch_3.pth', type='PretrainedBackbone')))"
    for folder, changed in (('runs/a', False), ('runs/b', True)):
        init = dict(type='PretrainedBackbone', checkpoint=folder)
        now = Config(dict(model=dict(backbone=dict(init_cfg=init))))
        assert bool(changed_settings(then, now)) is changed
