"""Every fine-tuning config: the recipe's table, what is trained and how fast, and keys that fit together."""

import copy
import inspect
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS, DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

from fsfm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from fsfm_mm.statistics import resolve_stats

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('deepfake', 'diffusion', 'antispoof')
CONFIGS = sorted(path for folder in FOLDERS for path in (ROOT / 'configs' / folder).glob('*.py'))
NAMES = [path.stem for path in CONFIGS]
FAS = [path for path in CONFIGS if path.parent.name == 'antispoof' and not path.stem.startswith('demo')]

#: The recipe's table: batch, epochs, blr, layer decay, weight decay; None: no layer-wise decay.
RECIPES = {
    'fsfm_vit-b_ffpp-c23_10e': (64, 10, 2.5e-4, 0.65, 0.05),
    'fsvfm_vit-s_ffpp-c23_10e': (64, 10, 2e-4, 0.65, 0.03),
    'fsvfm_vit-b_ffpp-c23_10e': (64, 10, 2e-4, 0.60, 0.03),
    'fsvfm_vit-l_ffpp-c23_10e': (64, 10, 5e-5, 0.90, 0.01),
    'fsvfm_vit-s_adapter_ffpp-c23_60e': (512, 60, 1e-3, None, 0.0),
    'fsvfm_vit-b_adapter_ffpp-c23_50e': (256, 50, 5e-3, None, 0.0),
    'fsvfm_vit-l_adapter_ffpp-c23_50e': (256, 50, 1e-2, None, 0.0),
    'fsfm_vit-b_ffpp-df-c23_50e': (256, 50, 5e-4, 0.65, 0.05),
}
#: Trained parameters; full fine-tuning of B: timm's ViT-B/16 with two classes, positions learned.
TRAINED = {
    'fsvfm_vit-s_adapter_ffpp-c23_60e': 84_578,
    'fsvfm_vit-b_adapter_ffpp-c23_50e': 335_042,
    'fsvfm_vit-l_adapter_ffpp-c23_50e': 594_178,
    'fsfm_vit-b_linear_ffpp-c23_50e': 1_538,
    'fsfm_vit-b_ffpp-c23_10e': 85_800_194,
}
CONTRAST = {'s': 0.01, 'b': 0.01, 'l': 0.1}
DEPTH = {'s': 12, 'b': 12, 'l': 24}


@pytest.fixture(autouse=True)
def scope():
    """What a Runner sets from ``default_scope``; some of mmengine's own components build others by it."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def config_of(name):
    return Config.fromfile(next(path for path in CONFIGS if path.stem == name))


def build_model(config):
    """The config's model on the meta device, without reading pretrained weights."""
    with torch.device('meta'):
        return MODELS.build(copy.deepcopy(config.model))


def build_optimizer(config, model):
    wrapper = copy.deepcopy(config.optim_wrapper)
    constructor = wrapper.pop('constructor', 'DefaultOptimWrapperConstructor')
    paramwise = wrapper.pop('paramwise_cfg', None)
    return OPTIM_WRAPPER_CONSTRUCTORS.get(constructor)(wrapper, paramwise)(model).optimizer


def num_trained(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_model_and_optimiser_build(path):
    config = Config.fromfile(path)
    model = build_model(config).train()
    assert config.default_scope == 'mmpretrain'
    if path.stem in TRAINED:
        assert num_trained(model) == TRAINED[path.stem]
    size = model.backbone.img_size[0]
    feats = model.extract_feat(torch.empty(2, 3, size, size, device='meta'))
    assert model.head(feats).shape == (2, 2)
    optimizer = build_optimizer(config, model)
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    given = [id(p) for group in optimizer.param_groups for p in group['params']]
    assert len(given) == len(set(given)) and set(given) == trained


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_docstring_tells_how_to_run_it(path):
    text = path.read_text()
    docstring = text.split('"""')[1]
    assert f'python tools/train.py {path.relative_to(ROOT)}' in docstring
    assert 'ardware' in docstring and 'ime' in docstring
    if path.stem.startswith(('fsfm', 'fsvfm')):  # a benchmark: what the papers report, or that they do not
        assert 'not yet measured here' in docstring and 'ublished' in docstring
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_names_and_arguments_exist(path):
    """Components are registered and take the arguments they are given: a data set is not needed to say so."""
    config = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        assert (loader is None) == (config[f'{split}_cfg'] is None)
        if loader is None:  # without validation there is no best checkpoint
            assert (
                split == 'val' and config.val_evaluator is config.default_hooks.checkpoint.save_best is None
            )
            continue
        assert loader.collate_fn.type == 'default_collate'
        accepts(DATA_SAMPLERS, loader.sampler)
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            accepts(DATASETS, dataset)
            assert tuple(dataset.get('classes', ('fake', 'real'))) == ('fake', 'real')
            assert dataset.pipeline[-1].type == 'PackInputs'
            wanted = {'img_path', 'video_id', 'domain', 'class_name', 'sample_idx'}
            assert set(dataset.pipeline[-1].meta_keys) == wanted
            for step in dataset.pipeline:
                TRANSFORMS.build(step)
    for evaluator in filter(None, (config.val_evaluator, config.test_evaluator)):
        METRICS.build(evaluator)
    for hook in config.default_hooks.values():
        HOOKS.build(hook)


def accepts(registry, settings):
    """Like building, without opening files: every argument is one of the class or of its bases."""
    component = registry.get(settings['type'])
    assert component is not None, f'{settings["type"]} is not registered'
    known = {name for cls in component.__mro__ for name in inspect.signature(cls.__init__).parameters}
    assert set(settings) - {'type'} <= known


@pytest.mark.parametrize('name', RECIPES)
def test_published_recipe(name):
    batch, epochs, blr, layer_decay, weight_decay = RECIPES[name]
    config = config_of(name)
    optimizer = config.optim_wrapper.optimizer
    assert optimizer.type == 'AdamW' and tuple(optimizer.betas) == (0.9, 0.999)
    assert optimizer.lr == pytest.approx(blr * batch / 256)
    assert optimizer.weight_decay == weight_decay
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == batch
    assert config.train_dataloader.drop_last and batch % 2 == 0  # mixup pairs the batch with itself
    assert config.train_cfg.max_epochs == config.param_scheduler.total == epochs
    assert (config.param_scheduler.warmup, config.param_scheduler.final_lr) == (5, 1e-6)
    paramwise = config.optim_wrapper.get('paramwise_cfg', {})
    assert paramwise.get('layer_decay') == layer_decay
    augments = config.model.train_cfg.augments
    assert dict(augments) == dict(
        type='TimmBatchAugment', erasing=0.25, mixup=0.8, cutmix=1.0, prob=1.0, switch_prob=0.5
    )
    assert BATCH_AUGMENTS.build(augments).mix.mix_prob == 1.0
    assert config.model.head.loss.label_smooth_val == 0.1
    assert config.model.backbone.drop_path_rate == (0.1 if layer_decay else 0.0)
    assert config.train_dataloader.dataset.pipeline[1].type == 'TimmTrainAugment'
    stats = config.model.data_preprocessor.stats
    assert config.train_dataloader.dataset.pipeline[1].stats == stats
    resolve_stats(stats)
    assert config.default_hooks.checkpoint.save_best == 'loss'
    assert config.default_hooks.checkpoint.rule == 'less'


@pytest.mark.parametrize('name', [name for name, recipe in RECIPES.items() if recipe[3]])
def test_layer_wise_learning_rates(name):
    """d ** (depth + 1 - layer); vectors, class token and positions are not decayed."""
    batch, _, blr, decay, weight_decay = RECIPES[name]
    config = config_of(name)
    model = build_model(config)
    depth = model.backbone.depth
    of = {id(p): g for g in build_optimizer(config, model).param_groups for p in g['params']}
    base = blr * batch / 256
    for parameter_name, parameter in model.named_parameters():
        parts = parameter_name.split('.')
        layer = depth + 1
        if parts[1] in ('cls_token', 'pos_embed', 'patch_embed'):
            layer = 0
        elif parts[1] == 'blocks':
            layer = int(parts[2]) + 1
        group = of[id(parameter)]
        assert group['lr'] == pytest.approx(base * decay ** (depth + 1 - layer))
        free = parameter.ndim == 1 or parts[-1] in ('cls_token', 'pos_embed')
        assert group['weight_decay'] == (0.0 if free else weight_decay), parameter_name
    assert len({id(group) for group in of.values()}) <= 2 * (depth + 2)


@pytest.mark.parametrize('name', [name for name in TRAINED if 'adapter' in name or 'linear' in name])
def test_frozen_backbones_are_frozen_whole(name):
    config = config_of(name)
    model = build_model(config).train()
    size = name.split('vit-')[1][0]
    assert model.backbone.frozen_stages == model.backbone.depth == DEPTH[size]
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert not model.backbone.fc_norm.training and not any(block.training for block in model.backbone.blocks)
    if 'adapter' in name:
        assert model.head.contrast.loss_weight == CONTRAST[size]
        assert model.head.contrast.temperature == 0.07
        assert model.head.real_label == 1


@pytest.mark.parametrize('path', FAS, ids=[path.stem for path in FAS])
def test_antispoof_protocol(path):
    config = Config.fromfile(path)
    family, benchmark = path.stem.split('_')[0], path.stem.split('_')[2]
    root, letter = benchmark.split('-')
    domains = {
        'mcio': dict(m='msu', c='casia', i='replay', o='oulu'),
        'wcs': dict(w='wmca', c='cefa', s='surf'),
    }[root]
    train, val, test = (config[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test'))
    assert test.domains == [config.target] == [domains[letter]]
    assert (
        set(train.domains)
        == set(val.domains)
        == set(config.sources)
        == set(domains.values()) - {config.target}
    )
    assert (train.split, val.split, test.split) == ('train', 'test', 'test')
    assert {train.data_root, val.data_root, test.data_root} == {f'data/{root.upper()}'}
    assert list(train.extra_domains) == (['celeb'] if root == 'mcio' else [])
    assert 'extra_domains' not in val and 'extra_domains' not in test
    groups = 2 * (len(train.domains) + len(train.extra_domains))
    assert config.train_dataloader.sampler.per_group == 12
    assert config.train_dataloader.batch_size == 12 * groups
    lr = {'fsfm': 1e-4, 'fsvfm': {'s': 2.5e-5, 'b': 2.5e-5, 'l': 1e-5}.get(path.stem.split('vit-')[1][0])}[
        family
    ]
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', lr, 1e-6)
    assert not config.param_scheduler
    assert (config.train_cfg.max_iters, config.train_cfg.val_interval) == (4000, 100)
    jitter = config.train_dataloader.dataset.pipeline[3]
    assert (jitter.type, tuple(jitter.saturation)) == ('ColorJitter', (0.8, 1.2))
    groups = build_optimizer(config, build_model(config)).param_groups
    assert {(group['lr'], group['weight_decay']) for group in groups} == {(lr, 1e-6)}


def test_every_target_has_a_config():
    stems = {path.stem for path in FAS}
    assert {f'fsfm_vit-b_mcio-{t}' for t in 'mcio'} | {f'fsfm_vit-b_wcs-{t}' for t in 'wcs'} <= stems
    assert {f'fsvfm_vit-{size}_mcio-o' for size in 'sbl'} <= stems


def test_diffusion_trains_on_deepfakes_only():
    config = config_of('fsfm_vit-b_ffpp-df-c23_50e')
    for split in ('train', 'val'):
        dataset = config[f'{split}_dataloader'].dataset
        assert (dataset.type, dataset.data_root, dataset.split) == ('LabelledFaces', 'data/ffpp_df', split)
    assert 'ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes' in config.text
    for subset, dataset in config.test_sets.items():
        kept = {'T2I', 'I2I', 'FS', 'FE'} - {folder.removeprefix('fake_') for folder in dataset.ignore}
        assert (kept, dataset.domain, dataset.data_root) == ({subset}, subset, 'data/diff')
    assert config.test_dataloader.dataset.domain == 'T2I'
    assert config.model.data_preprocessor.stats == 'imagenet'
    assert tuple(config.test_evaluator.level) == ('frame',)


@pytest.mark.parametrize('name', ['deepfake', 'antispoof'])
def test_demo_data_and_model_meet(name):
    """One batch of the demo goes through preprocessor, model and loss, and the splits share no video."""
    config = Config.fromfile(ROOT / f'configs/{name}/demo_generated.py')
    model = MODELS.build(config.model).train()
    seen = []
    for split in ('train', 'val', 'test'):
        dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
        samples = [dataset[i] for i in (0, 1, len(dataset) - 2, len(dataset) - 1)]
        seen.append({(s['data_samples'].domain, s['data_samples'].video_id) for s in samples})
    assert not seen[0] & seen[1] and not (seen[0] | seen[1]) & seen[2]
    batch = dict(
        inputs=torch.stack([s['inputs'] for s in samples]), data_samples=[s['data_samples'] for s in samples]
    )
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss'].isfinite()
