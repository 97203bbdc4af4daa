"""Every setting acts or is refused: variables of config files, names that nothing takes, what is taken away."""

import copy
import inspect
import re

import mmpretrain.registry  # noqa: F401
import pytest
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

import fsfm_mm.components  # noqa: F401
from fsfm_mm.settings.config_files import config_names, find_config
from fsfm_mm.settings.data import changes, flat
from fsfm_mm.settings.names import accepted
from fsfm_mm.settings.reading import read_config, typed_settings
from fsfm_mm.settings.variables import READ, variables

DEMO = 'deepfake/demo_generated'
OWN_FACES = 'fsfm_vit-s_own-faces'
FFPP = 'fsfm_vit-b_ffpp-c23_10e'
#: The other targets of a benchmark differ in names only.
FAMILIES = [name for name in config_names() if not re.search(r'_(mcio-[mci]|wcs-[wc])$', name)]
FFPP_WHOLE = 'fsvfm_vit-b_ffpp-c23_10e'


def changed(name, options):
    """What settings change in a config, its variables left out."""
    before, after = read_config(name), read_config(name, options)
    return {
        name: pair[1]
        for name, pair in changes(before.to_dict(), after.to_dict()).items()
        if name.partition('.')[0] in READ
    }


def test_what_is_read_is_known():
    arguments = {
        name for kind in (Runner, FlexibleRunner) for name in inspect.signature(kind.__init__).parameters
    }
    assert arguments - {'self', 'cfg'} <= READ


@pytest.mark.parametrize('name', FAMILIES)
def test_our_configs_read_as_mmengine_reads_them(name):
    """No variable of ours does nothing in the file that sets it, and no key is unknown to what it is given to."""
    cfg = read_config(name)
    assert cfg.to_dict() == Config.fromfile(find_config(name)).to_dict()
    assert typed_settings(cfg) == {}

    def look(node, place):
        if isinstance(node, dict):
            known, certain = accepted(node, place)
            assert not certain or set(node) <= known, f'{place} {set(node) - known}'
            for key, value in node.items():
                look(value, f'{place}.{key}' if place else key)
        elif isinstance(node, list | tuple):
            for i, value in enumerate(node):
                look(value, f'{place}.{i}')

    for key, value in cfg.items():
        if key in READ:
            look(value, key)


@pytest.mark.parametrize('name', FAMILIES)
def test_lengths_and_folders_act_in_every_config(name):
    cfg = read_config(name)
    unit = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
    assert read_config(name, {unit: 3}).train_cfg[unit] == 3
    for variable in {'data_root', 'test_root', 'num_workers'} & set(variables(cfg)):
        typed = typed_settings(read_config(name, {variable: 7 if variable == 'num_workers' else 'MINE'}))
        assert any(setting.endswith(('data_root', 'num_workers')) and '.' in setting for setting in typed)


@pytest.mark.parametrize(
    ('name', 'options', 'expected'),
    [
        (
            OWN_FACES,
            {'max_epochs': 20},
            {'train_cfg.max_epochs': 20, 'param_scheduler.total': 20, 'param_scheduler.warmup': 1},
        ),
        (
            OWN_FACES,
            {'data_root': 'my faces'},
            {
                'train_dataloader.dataset.data_root': 'my faces',
                'model.data_preprocessor.stats': 'my faces/mean_std.json',
            },
        ),
        (
            OWN_FACES,
            {'num_workers': 0},
            {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False},
        ),
        (FFPP, {'test_root': 'X'}, {'test_dataloader.dataset.data_root': 'X'}),
        (
            FFPP_WHOLE,
            {'test_pipeline.1.size': 112},
            {'test_dataloader.dataset.pipeline.1.size': 112},
        ),
        # a setting with its name wins over what follows from a variable
        (
            OWN_FACES,
            {'max_epochs': 20, 'param_scheduler.warmup': 3},
            {'train_cfg.max_epochs': 20, 'param_scheduler.total': 20, 'param_scheduler.warmup': 3},
        ),
    ],
)
def test_variables_act(name, options, expected):
    found = changed(name, options)
    found.pop('train_dataloader.num_workers', None) if 'num_workers' not in options else None
    assert found == expected


@pytest.mark.parametrize(
    ('name', 'options', 'sentence'),
    [
        ('fsfm_demo', {'max_epochs': 3}, 'it goes by iters (train_cfg.max_iters): use --iters'),
        ('fsfm_demo', {'max_iters': 0}, 'expected a whole number from 1'),
        ('fsfm_demo', {'data_root': 'x'}, "has no setting 'data_root', so it would have no effect"),
        (DEMO, {'neck.type': 'GlobalAveragePooling'}, 'no setting'),
        (DEMO, {'lr': 1}, 'so it would have no effect (use --lr)'),
        (DEMO, {'loss_weight': 1}, 'has no setting'),
        (DEMO, {'train_dataloader.batchsize': 4}, "takes no 'batchsize' (did you mean batch_size?)"),
        (DEMO, {'optim_wrapper.lr': 1}, "takes no 'lr' (did you mean optim_wrapper.optimizer.lr?)"),
        (
            DEMO,
            {'model.backbon.arch': 'large'},
            "model (ImageClassifier) takes no 'backbon' (did you mean backbone?)",
        ),
        (DEMO, {'model.backbon': {'arch': 'large'}}, '(did you mean backbone?)'),
        (DEMO, {'default_hooks.loger.interval': 2}, 'and it is given no type (did you mean logger?)'),
        (DEMO, {'default_hooks.checkpoint.intervall': 2}, '(did you mean interval?)'),
        (DEMO, {'auto_scale_lr.enabel': True}, '(did you mean enable?)'),
        (DEMO, {'randomness.sed': 1}, '(did you mean seed?)'),
        (DEMO, {'train_cfg.max_epoch': 1}, '(did you mean max_epochs?)'),
        (DEMO, {'env_cfg.cudnn_benchmrk': True}, '(did you mean cudnn_benchmark?)'),
        (
            DEMO,
            {'train_dataloader.dataset.pipeline.1.probability': 1},
            "pipeline.1 (RandomFaceFlip) takes no 'probability'",
        ),
        (DEMO, {'optim_wrapper.optimizer.momentum': 1}, "optimizer (AdamW) takes no 'momentum'"),
        (DEMO, {'model': 3, 'model.head.in_channels': 4}, 'sets model, and model.head.in_channels in it'),
    ],
)
def test_what_nothing_takes_is_one_sentence(name, options, sentence):
    with pytest.raises(ValueError) as refused:
        read_config(name, options)
    assert sentence in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize(
    'options',
    [
        {'model.loss_sim.type': 'SimCLRLoss', 'model.loss_sim.temperature': 0.1},
        {'default_hooks.ema.type': 'EMAHook', 'default_hooks.ema.momentum': 0.1},
        {'default_hooks.nonfinite.priority': 'LOW'},
        {'optim_wrapper.paramwise_cfg.layer_decay': 0.5},
        {'param_scheduler.convert_to_iter_based': False},
        {'model.init_cfg': None},
        {'load_from': 'x.pth', 'custom_hooks': [{'type': 'EMAHook'}]},
    ],
)
def test_what_is_taken_is_not_refused(options):
    cfg = read_config('fsfm_demo', options)
    assert set(flat(options[next(iter(options))], next(iter(options)))) <= set(typed_settings(cfg)) | {
        'custom_hooks'
    }


def write(folder, text):
    (folder / 'mine.py').write_text(text, encoding='utf-8')
    return folder / 'mine.py'


@pytest.mark.parametrize(
    ('base', 'text', 'names'),
    [
        (OWN_FACES, 'max_epochs = 3', 'param_scheduler.total, train_cfg.max_epochs'),
        (OWN_FACES, "data_root = 'MINE'", 'data_root'),
        (
            FFPP,
            "data_root = 'MINE'\ntrain_dataloader = dict(dataset=dict(data_root=data_root))",
            'val_dataloader',
        ),
        (FFPP_WHOLE, 'test_pipeline = []', 'test_dataloader.dataset.pipeline'),
        ('fsfm_demo', 'max_iters = 5\ntrain_cfg = dict(max_iters=max_iters)', 'param_scheduler.total'),
    ],
)
def test_a_variable_that_comes_too_late_is_refused(tmp_path, base, text, names):
    path = write(tmp_path, f"_base_ = '{find_config(base)}'\n{text}\n")
    with pytest.raises(ValueError) as refused:
        read_config(path)
    assert f'{path} sets {text.partition(" ")[0]} = ' in str(refused.value)
    assert all(name in str(refused.value) for name in names.split(', '))


def test_a_variable_that_is_used_is_not_refused(tmp_path):
    text = f"_base_ = '{find_config(OWN_FACES)}'\nmax_epochs = 3\nmine = 4\ntrain_cfg = dict(max_epochs=max_epochs)\n"
    path = write(tmp_path, text + 'param_scheduler = dict(total=max_epochs, warmup=1)\n')
    assert read_config(path).param_scheduler.total == 3
    assert read_config(path, {'max_epochs': 6}).param_scheduler.warmup == 2
    with pytest.raises(ValueError, match=r"nothing in .* is made of 'mine'"):
        read_config(path, {'mine': 5})
    # code of one's own may read it
    path = write(
        tmp_path,
        path.read_text(encoding='utf-8') + "custom_imports = dict(imports=['fsfm_mm.components', 'json'])\n",
    )
    assert read_config(path, {'mine': 5}).mine == 5


def test_a_dumped_config_has_lengths_too(tmp_path):
    read_config(OWN_FACES).dump(tmp_path / 'dumped.py')
    cfg = read_config(tmp_path / 'dumped.py', {'max_epochs': 10})
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler.total, cfg.param_scheduler.warmup) == (10, 10, 1)
    with pytest.raises(ValueError, match=r'set train_dataloader\.num_workers'):
        read_config(tmp_path / 'dumped.py', {'num_workers': 99})


def test_a_dict_over_none_and_none_over_a_dict(tmp_path):
    pooling = {'type': 'GlobalAveragePooling'}
    assert read_config(FFPP, {'model.neck': dict(pooling)}).model.neck == pooling
    assert read_config(FFPP, {'model.neck.type': 'GlobalAveragePooling'}).model.neck == pooling
    arch = dict(embed_dim=32, depth=1, num_heads=2)
    assert read_config(FFPP, {'model.backbone.arch': dict(arch)}).model.backbone.arch == arch
    assert read_config(FFPP, {'model.head.init_cfg': None}).model.head.init_cfg is None
    cfg = read_config(FFPP, {'val_dataloader': None})
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    backends = [dict(type='LocalVisBackend')]
    assert read_config(FFPP, {'visualizer.vis_backends': list(backends)}).visualizer.vis_backends == backends
    path = write(
        tmp_path,
        f"_base_ = '{find_config('fsfm_vit-b_mcio-o')}'\n"
        "model = dict(neck=dict(_delete_=True, type='GlobalAveragePooling'))\n"
        "param_scheduler = dict(type='WarmupCosineLR', warmup=1, total=4000, by_epoch=False)\n",
    )
    cfg = read_config(path)
    assert cfg.model.neck == pooling and cfg.param_scheduler.warmup == 1
    path = write(tmp_path, f"_base_ = '{find_config(FFPP)}'\ntest_pipeline = dict(size=3)\n")
    with pytest.raises(ValueError, match=r'cannot be read .*test_pipeline'):
        read_config(path)


def test_typed_settings_stay_with_copies_and_out_of_files():
    cfg = read_config(FFPP, {'model.head.init_cfg': None}, {'arch': 'small', 'lr': 1e-3})
    expected = {
        'model.backbone.arch',
        'model.head.in_channels',
        'model.head.init_cfg',
        'optim_wrapper.optimizer.lr',
    }
    assert expected <= set(typed_settings(cfg))
    assert typed_settings(copy.deepcopy(cfg)) == typed_settings(cfg)
    assert 'typed' not in cfg.pretty_text
    # also where the value is the one that was there
    assert 'model.backbone.arch' in typed_settings(read_config(FFPP, None, {'arch': 'base'}))
