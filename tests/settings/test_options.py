"""Short options: what each sets in which config, and that documentation and help say it."""

import os
from pathlib import Path

import pytest

from fsfm_mm.commands import leave_one_out, test, train
from fsfm_mm.commands.arguments import short_options
from fsfm_mm.engine.device import choose_device
from fsfm_mm.engine.optim.schedulers import outlasts
from fsfm_mm.settings.data import changes
from fsfm_mm.settings.options import OPTIONS, option_table
from fsfm_mm.settings.reading import read_config
from fsfm_mm.settings.variables import READ

ROOT = Path(__file__).resolve().parents[2]
OWN_FACES = 'fsfm_vit-s_own-faces'
FFPP = 'fsfm_vit-b_ffpp-c23_10e'
INIT = 'model.backbone.init_cfg'


def changed(name, short, part='train'):
    before, after = read_config(name), read_config(name, None, short, part)
    found = changes(before.to_dict(), after.to_dict())
    return {name: pair[1] for name, pair in found.items() if name.partition('.')[0] in READ}


CASES = [
    (
        OWN_FACES,
        {'data': 'my photos'},
        {
            'train_dataloader.dataset.data_root': 'my photos',
            'model.data_preprocessor.stats': 'my photos/mean_std.json',
        },
    ),
    # test and validation are of the same folder, or of another one
    (
        'vit-t_own-faces',
        {'data': 'X'},
        {f'{part}_dataloader.dataset.data_root': 'X' for part in ('train', 'val', 'test')},
    ),
    (FFPP, {'data': 'X'}, {f'{part}_dataloader.dataset.data_root': 'X' for part in ('train', 'val')}),
    ('fsfm_vit-b_vggface2_400e', {'data': 'X'}, {'train_dataloader.dataset.data_root': 'X'}),
    (FFPP, {'init': 'a b.pth'}, {f'{INIT}.checkpoint': 'a b.pth'}),
    (OWN_FACES, {'init': 'x'}, {f'{INIT}.type': 'PretrainedBackbone', f'{INIT}.checkpoint': 'x'}),
    (
        OWN_FACES,
        {'epochs': 10},
        {'train_cfg.max_epochs': 10, 'param_scheduler.total': 10, 'param_scheduler.warmup': 1},
    ),
    (
        'fsfm_vit-b_vggface2_400e',
        {'epochs': 800},
        {'train_cfg.max_epochs': 800, 'param_scheduler.total': 800, 'param_scheduler.warmup': 80},
    ),
    (
        'deepfake/demo_generated',
        {'epochs': 1},
        {
            'train_cfg.max_epochs': 1,
            'train_cfg.val_interval': 1,
            'param_scheduler.total': 1,
            'param_scheduler.warmup': 0.1,
        },
    ),
    (
        'fsfm_demo',
        {'iters': 1},
        {'train_cfg.max_iters': 1, 'param_scheduler.total': 1, 'param_scheduler.warmup': 0},
    ),
    ('fsfm_vit-b_mcio-o', {'iters': 50}, {'train_cfg.max_iters': 50, 'train_cfg.val_interval': 50}),
    (
        'fsfm_vit-b_mcio-o',
        {'batch-size': 32},
        {'train_dataloader.batch_size': 32, 'train_dataloader.sampler.per_group': 4},
    ),
    (
        FFPP,
        {'batch-size': 8, 'lr': 0.5},
        {'train_dataloader.batch_size': 8, 'optim_wrapper.optimizer.lr': 0.5},
    ),
    (OWN_FACES, {'arch': 'tiny'}, {'model.backbone.arch': 'tiny'}),
    (FFPP, {'arch': 'large'}, {'model.backbone.arch': 'large', 'model.head.in_channels': 1024}),
    (
        'fsvfm_vit-b_adapter_ffpp-c23_50e',
        {'arch': 'large'},
        {'model.backbone.arch': 'large', 'model.head.in_channels': 1024, 'model.backbone.frozen_stages': 24},
    ),
    (
        'fsfm_demo',
        {'workers': 0, 'seed': 3},
        {
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'randomness.seed': 3,
        },
    ),
]


@pytest.mark.parametrize(('name', 'short', 'expected'), CASES)
def test_options_set_what_they_say(name, short, expected):
    assert changed(name, short) == expected


def test_options_of_a_test_are_about_the_test_set():
    assert changed(FFPP, {'data': 'X', 'batch-size': 3}, 'test') == {
        'test_dataloader.dataset.data_root': 'X',
        'test_dataloader.batch_size': 3,
    }
    assert set(changed('fsfm_vit-b_ffpp-df-c23_50e', {'data': 'X'}, 'test')) == {
        'test_dataloader.dataset.data_root',
        *(
            f'{kind}.{part}.data_root'
            for kind in ('test_sets', 'published_sets')
            for part in ('T2I', 'I2I', 'FS', 'FE')
        ),
    }


def test_none_starts_from_scratch():
    assert read_config(FFPP, None, {'init': 'none'}).model.backbone.init_cfg is None


@pytest.mark.parametrize(
    ('name', 'short', 'options', 'sentence'),
    [
        ('fsfm_demo', {'data': 'x'}, {}, 'GeneratedFaces) reads no folder'),
        ('fsfm_demo', {'epochs': 3}, {}, 'it goes by iters (train_cfg.max_iters): use --iters'),
        (FFPP, {'iters': 3}, {}, 'it goes by epochs (train_cfg.max_epochs): use --epochs'),
        ('fsfm_vit-b_mcio-o', {'batch-size': 50}, {}, 'a batch holds as many of each of 8 groups'),
        (FFPP, {'arch': 'bas'}, {}, "unknown architecture 'bas'"),
        (FFPP, {'lr': 0.5}, {'optim_wrapper.optimizer.lr': 1}, 'contradict each other'),
        (FFPP, {'epochs': 5}, {'max_epochs': 6}, 'contradict each other'),
    ],
)
def test_an_option_that_cannot_act_is_refused(name, short, options, sentence):
    with pytest.raises(ValueError) as refused:
        read_config(name, options, short)
    assert sentence in str(refused.value)
    assert any(f'--{name}' in str(refused.value) for name in short)


def test_schedulers_in_a_list_follow(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        'model = dict()\ntrain_cfg = dict(by_epoch=True, max_epochs=100, val_begin=50)\nparam_scheduler = [\n'
        "    dict(type='LinearLR', begin=0, end=500, by_epoch=False),\n"
        "    dict(type='CosineAnnealingLR', begin=10, end=100, T_max=90),\n"
        "    dict(type='MultiStepLR', milestones=[60, 90]),\n]\n"
    )
    cfg = read_config(path, None, {'epochs': 20})
    first, second, third = cfg.param_scheduler
    assert (first.begin, first.end, second.begin, second.end, second.T_max) == (0, 100, 2, 20, 18)
    assert third.milestones == [12, 18] and cfg.train_cfg.val_begin == 10


def test_documentation_has_the_table():
    text = (ROOT / 'docs' / 'training.md').read_text(encoding='utf-8')
    assert '\n'.join(option_table()) in text


def test_every_command_has_the_same_names():
    given = [
        '--data',
        'my photos',
        '--batch-size',
        '4',
        '--arch',
        'small',
        '--workers',
        '0',
        '--device',
        'cpu',
    ]
    more = ['--init', 'none', '--epochs', '2', '--iters', '3', '--lr', '1e-3']
    for args in (
        test.parse_args(['config.py', 'a.pth', *given]),
        leave_one_out.parse_args(['config.py', *given, *more]),
        train.parse_args(['config.py', *given, *more, '--seed', '1']),
    ):
        found = short_options(args)
        assert found['data'] == 'my photos' and found['workers'] == 0
    assert set(found) == set(OPTIONS)


@pytest.mark.parametrize(
    'arguments',
    [['--epochs', '0'], ['--lr', 'fast'], ['--lr', '0'], ['--workers', '-1'], ['--device', 'gpu']],
)
def test_a_wrong_value_is_a_sentence_of_the_parser(arguments, capsys):
    with pytest.raises(SystemExit):
        train.parse_args(['config.py', *arguments])
    assert f'argument {arguments[0]}' in capsys.readouterr().err


def test_device(monkeypatch):
    torch = pytest.importorskip('torch')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    from mmengine.device import get_device, utils

    monkeypatch.setattr(utils, 'DEVICE', 'cuda')
    choose_device(None)
    assert get_device() == 'cuda'
    choose_device('cpu')
    assert get_device() == 'cpu' and not os.environ['CUDA_VISIBLE_DEVICES']
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=r'--device cuda: torch .* finds no CUDA device'):
        choose_device('cuda')


def test_leave_one_out_hands_options_on(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(leave_one_out, 'run_command', lambda *words: commands.append(words))
    given = ['--iters', '50', '--data', 'my photos', '--workers', '0', '--init', 'none']
    args = leave_one_out.parse_args(['fsfm_vit-b_mcio-o', '--out', str(tmp_path), *given])
    leave_one_out.one_run('fsfm_vit-b_mcio-o', 3, args)
    training, testing = commands
    training, testing = train.parse_args(training[1:]), test.parse_args(['a', 'a.pth', *testing[2:]])
    assert short_options(training) == {'iters': 50, 'data': 'my photos', 'workers': 0, 'init': 'none'}
    assert short_options(testing) == {'data': 'my photos', 'workers': 0}
    assert training.cfg_options == testing.cfg_options == {'randomness.seed': 3}


def test_a_packed_folder_is_read_as_what_it_is(tmp_path):
    kind = 'train_dataloader.dataset.type'
    (tmp_path / 'archive').mkdir()
    (tmp_path / 'archive' / 'archive.json').write_text('{}')
    assert changed(OWN_FACES, {'data': str(tmp_path)})[kind] == 'ArchivedFaces'
    (tmp_path / 'images').mkdir()
    assert kind not in changed(OWN_FACES, {'data': str(tmp_path)})


def test_a_schedule_that_outlasts_the_run_is_told():
    def told(settings, name='fsfm_demo', **short):
        cfg = read_config(name, settings, short)
        return outlasts(cfg.train_cfg, cfg.param_scheduler)

    assert 'ends after 7 iters' in told({'train_cfg.max_iters': 7}) and 'peak' in told(
        {'train_cfg.max_iters': 7}
    )
    assert 'come to its end. --epochs 50 makes' in told({'train_cfg.max_epochs': 50}, OWN_FACES)
    assert (
        told({}, iters=7) is None
        and told({}, 'fsfm_vit-b_mcio-o', iters=7) is None
        and told({}, FFPP) is None
    )
