"""Every fine-tuning config: the recipe's table, what is trained and how fast, and keys that fit together."""

import copy
import inspect
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS, DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from recipes import (
    ANTISPOOF,
    DEEPFAKE,
    DEPTH,
    DIFFUSION,
    DOMAINS,
    SPOOF_NUMBERS,
    metafiles,
    spoof_configs,
    written,
)

from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from fsfm_mm.statistics import resolve_stats

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('deepfake', 'diffusion', 'antispoof')
CONFIGS = sorted(path for folder in FOLDERS for path in (ROOT / 'configs' / folder).glob('*.py'))
NAMES = [path.stem for path in CONFIGS]

RECIPES = {**DEEPFAKE, **DIFFUSION}
#: Trained parameters; full fine-tuning of B: timm's ViT-B/16 with two classes, positions learned.
TRAINED = {
    'fsvfm_vit-s_adapter_ffpp-c23_60e': 84_578,
    'fsvfm_vit-b_adapter_ffpp-c23_50e': 335_042,
    'fsvfm_vit-l_adapter_ffpp-c23_50e': 594_178,
    'fsfm_vit-b_linear_ffpp-c23_50e': 1_538,
    'fsfm_vit-b_ffpp-c23_10e': 85_800_194,
}


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
    # plain Adam is given frozen parameters, too; they have no gradient
    given = [id(p) for group in optimizer.param_groups for p in group['params'] if p.requires_grad]
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


@pytest.mark.parametrize('path', written(), ids=lambda path: path.stem)
def test_config_is_what_its_row_writes(path):
    """Change the table in recipes.py and run it, not the config."""
    assert path.read_text(encoding='utf-8') == written()[path]


def test_every_recipe_has_a_config_and_a_place_in_the_index():
    stems = {path.stem for path in CONFIGS if path.stem.startswith('fs')}
    others = {'fsfm_vit-b_linear_ffpp-c23_50e'}
    assert stems == {path.stem for path in written()} | others
    assert len(DIFFUSION) == 8 and len(spoof_configs()) == 7 * len(ANTISPOOF)
    for path, text in metafiles().items():
        assert path.read_text(encoding='utf-8') == text


def view_of(loader):
    (step,) = [step for step in loader.dataset.pipeline if step['type'] == 'ResizeFace']
    assert (step.size, step.interpolation) == (224, 'bicubic')
    return step.get('view', 'whole')


@pytest.mark.parametrize('name', RECIPES)
def test_published_recipe(name):
    row, config = RECIPES[name], config_of(name)
    optimizer = config.optim_wrapper.optimizer
    assert optimizer.type == 'AdamW' and tuple(optimizer.betas) == (0.9, 0.999)
    assert optimizer.lr == pytest.approx(row.blr * row.batch / 256)
    assert optimizer.weight_decay == row.weight_decay
    assert config.train_dataloader.batch_size == config.auto_scale_lr.base_batch_size == row.batch
    assert config.train_dataloader.drop_last and row.batch % 2 == 0  # mixup pairs the batch with itself
    assert config.train_cfg.max_epochs == config.param_scheduler.total == row.epochs
    assert (config.param_scheduler.warmup, config.param_scheduler.final_lr) == (5, 1e-6)
    assert config.optim_wrapper.get('paramwise_cfg', {}).get('layer_decay') == row.layer_decay
    augments = config.model.train_cfg.augments
    assert dict(augments) == dict(
        type='TimmBatchAugment', erasing=0.25, mixup=0.8, cutmix=1.0, prob=1.0, switch_prob=0.5
    )
    assert BATCH_AUGMENTS.build(augments).mix.mix_prob == 1.0
    assert config.model.head.loss.label_smooth_val == 0.1
    backbone = config.model.backbone
    assert (backbone.arch, backbone.init_cfg.checkpoint) == (row.arch, row.weights)
    assert backbone.drop_path_rate == 0.1
    augment = config.train_dataloader.dataset.pipeline[1]
    assert (augment.type, augment.interpolation) == ('TimmTrainAugment', 'bilinear')
    assert augment.get('auto_augment', 'rand-m9-mstd0.5-inc1') == 'rand-m9-mstd0.5-inc1'
    assert config.model.data_preprocessor.stats == augment.stats == row.statistics
    resolve_stats(row.statistics)
    # the checkpoint is chosen in the central view, whatever view the numbers belong to
    assert view_of(config.val_dataloader) == 'centre'
    assert view_of(config.test_dataloader) == row.view
    assert config.default_hooks.checkpoint.save_best == 'loss'
    assert config.default_hooks.checkpoint.rule == 'less'
    if name in DEEPFAKE:
        # the published Celeb-DF v2 is without YouTube-real, and FS-VFM's DFD is raw
        assert (config.test_dataloader.dataset.domain, config.test_dataloader.dataset.ignore) == (
            'celebdf_v2',
            ['real_youtube'],
        )
        assert tuple(config.published_on) == row.sets
        assert set(row.sets) <= {'celebdf_v2', *config.named_sets}


def test_named_sets_are_the_published_ones():
    config = config_of('fsvfm_vit-b_ffpp-c23_10e')
    assert {'dfd_raw', 'dfd_c23', 'celebdf_pp', 'celebdf_pp_noyt'} <= set(config.named_sets)
    for name, dataset in config.named_sets.items():
        published = PUBLISHED_SETS[name]
        assert dataset.data_root == f'data/{published.part_of or name}' and dataset.split == 'test'
        assert tuple(dataset.get('ignore', ())) == published.leaves_out
        accepts(DATASETS, dataset)


@pytest.mark.parametrize('name', [name for name, row in RECIPES.items() if row.layer_decay])
def test_layer_wise_learning_rates(name):
    """d ** (depth + 1 - layer); vectors, class token and positions are not decayed."""
    row, config = RECIPES[name], config_of(name)
    model = build_model(config)
    depth = model.backbone.depth
    assert depth == DEPTH[row.arch]
    of = {id(p): g for g in build_optimizer(config, model).param_groups for p in g['params']}
    base = row.blr * row.batch / 256
    for parameter_name, parameter in model.named_parameters():
        parts = parameter_name.split('.')
        layer = depth + 1
        if parts[1] in ('cls_token', 'pos_embed', 'patch_embed'):
            layer = 0
        elif parts[1] == 'blocks':
            layer = int(parts[2]) + 1
        group = of[id(parameter)]
        assert group['lr'] == pytest.approx(base * row.layer_decay ** (depth + 1 - layer))
        free = parameter.ndim == 1 or parts[-1] in ('cls_token', 'pos_embed')
        assert group['weight_decay'] == (0.0 if free else row.weight_decay), parameter_name
    assert len({id(group) for group in of.values()}) <= 2 * (depth + 2)


@pytest.mark.parametrize('name', [name for name in NAMES if 'adapter' in name or 'linear' in name])
def test_frozen_backbones_are_frozen_whole(name):
    config = config_of(name)
    model = build_model(config).train()
    assert model.backbone.frozen_stages == model.backbone.depth
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert not model.backbone.fc_norm.training and not any(block.training for block in model.backbone.blocks)
    # the published adapters were trained with stochastic depth active in the frozen blocks
    active = [
        block.drop_path.training for block in model.backbone.blocks if hasattr(block.drop_path, 'drop_prob')
    ]
    assert (any(active) and all(active)) == (name in RECIPES and 'adapter' in name)
    if 'adapter' in name:
        row = RECIPES.get(name) or spoof_configs()[name][0]
        contrast = model.head.contrast
        assert (contrast.loss_weight, contrast.temperature) == (row.contrast, 0.07)
        assert contrast.group_size == getattr(row, 'group', None)
        assert model.head.real_label == 1


@pytest.mark.parametrize('name', spoof_configs())
def test_antispoof_protocol(name):
    row, root, letter = spoof_configs()[name]
    config = config_of(name)
    domains = {domain for domain, _ in DOMAINS[root].values()}
    train, val, test = (config[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test'))
    assert test.domains == [config.target] == [DOMAINS[root][letter][0]]
    assert set(train.domains) == set(val.domains) == set(config.sources) == domains - {config.target}
    assert (train.split, val.split, test.split) == ('train', 'test', 'test')
    assert {train.data_root, val.data_root, test.data_root} == {f'data/{root.upper()}'}
    assert list(train.extra_domains) == ['celeb']  # in both benchmarks
    assert 'extra_domains' not in val and 'extra_domains' not in test
    groups = 2 * (len(train.domains) + 1)
    assert config.train_dataloader.sampler.per_group == row.per_group
    assert config.train_dataloader.batch_size == row.per_group * groups
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('Adam', row.lr, row.weight_decay)
    assert config.optim_wrapper.dtype == 'float32'
    assert config.published_seeds == list(range(3 if 'adapter' in name else 5))
    assert not config.param_scheduler
    assert (config.train_cfg.max_iters, config.train_cfg.val_interval) == (4000, 100)
    flip, saturation = train.pipeline[2:4]
    assert (flip.type, flip.prob) == ('RandomFaceFlip', 0.5)
    assert (saturation.type, saturation.prob, tuple(saturation.scale)) == (
        'RandomSaturation',
        0.5,
        (0.8, 1.2),
    )
    assert view_of(config.val_dataloader) == view_of(config.test_dataloader) == 'whole'
    assert (config.published_checkpoint, config.published_ties) == ('HTER@target-EER', 'last')
    backbone, head = config.model.backbone, config.model.head
    assert (backbone.arch, backbone.init_cfg.checkpoint) == (row.arch, row.weights)
    if row.contrast is None:
        assert (head.type, backbone.out_type) == ('AntiSpoofHead', 'pooled_tokens')
    else:
        assert (head.type, backbone.out_type) == ('AntiSpoofAdapterHead', 'avg_featmap')
    assert head.get('form', 'published') == 'published'
    model = build_model(config)
    groups = build_optimizer(config, model).param_groups
    assert {(group['lr'], group['weight_decay']) for group in groups} == {(row.lr, row.weight_decay)}
    for number in SPOOF_NUMBERS.get(name, ()):
        assert f'{number:.2f} %' in config.text


def test_diffusion_trains_on_deepfakes_only():
    for name, row in DIFFUSION.items():
        config = config_of(name)
        for split in ('train', 'val'):
            dataset = config[f'{split}_dataloader'].dataset
            expected = ('LabelledFaces', 'data/ffpp_df', split)
            assert (dataset.type, dataset.data_root, dataset.split) == expected
        assert 'ffpp FaceForensics++ data/ffpp_df --manipulations Deepfakes' in config.text
        for subset, dataset in config.test_sets.items():
            kept = {'T2I', 'I2I', 'FS', 'FE'} - {folder.removeprefix('fake_') for folder in dataset.ignore}
            assert (kept, dataset.domain, dataset.data_root) == ({subset}, subset, 'data/diff')
        assert config.test_dataloader.dataset.domain == 'T2I'
        assert tuple(config.test_evaluator.level) == ('frame',)
        # only FSFM's own run chose on DiFF's validation images
        assert config.get('published_checkpoint') == ('loss' if row.statistics == 'imagenet' else None)


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
