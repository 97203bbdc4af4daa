"""Every pretraining config builds; sizes, strategies and losses change in one line.

Fine-tuning configs: test_downstream_configs.py.
"""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, MODELS

from fsfm_mm.datasets.transforms import masking
from fsfm_mm.models.losses import similarity
from fsfm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for folder in ('fsfm', 'mae') for path in (ROOT / 'configs' / folder).glob('*.py'))
NAMES = [path.stem for path in CONFIGS]

#: Parameters of the online network (method as published, S/B/L) in millions, and of the other configs.
ONLINE_PARAMETERS = {
    'fsvfm_vit-s_vggface2_600e': 56.24,
    'fsfm_vit-s_own-faces': 56.24,
    'fsvfm_vit-b_vggface2_600e': 133.73,
    'fsvfm_vit-l_vggface2_600e': 364.40,
    'mae_vit-b_vggface2_400e': 111.91,
    'fsfm_demo': 1.00,
}


def build_on_meta(config):
    with torch.device('meta'):
        return MODELS.build(config.model)


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_config_builds(path):
    config = Config.fromfile(path)
    assert config.default_scope == 'mmpretrain'
    if path.stem == 'fsfm_vit-s_own-faces':
        assert config.model.data_preprocessor.stats == 'data/my_faces/mean_std.json'
        config.model.data_preprocessor.stats = 'imagenet'  # that file is the user's
    model = build_on_meta(config)
    online = sum(p.numel() for name, p in model.named_parameters() if not name.startswith('target.'))
    assert online / 1e6 == pytest.approx(ONLINE_PARAMETERS.get(path.stem, 133.73), abs=0.005)
    hooks = {hook['type'] for hook in config.default_hooks.values()}
    assert {'MomentumUpdateHook', 'NonFiniteGuardHook', 'IntervalRuntimeInfoHook'} <= hooks
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.get(config.optim_wrapper.pop('constructor'))(config.optim_wrapper)(
        model
    )
    assert len(wrapper.optimizer.param_groups) == 2
    assert wrapper.optimizer.defaults['fused']


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_docstring_tells_how_to_run_it(path):
    text = path.read_text()
    docstring = text.split('"""')[1]
    assert str(path.relative_to(ROOT)) in docstring, 'the docstring shows the command'
    assert 'Time' in docstring or 'time' in docstring


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_published_arithmetic(path):
    """Warm-up and peak learning rate follow from the schedule: 1.5e-4 * 4096 / 256 = 2.4e-3."""
    config = Config.fromfile(path)
    if path.stem in ('fsfm_demo', 'fsfm_vit-s_own-faces'):  # not published ones
        return
    assert config.optim_wrapper.optimizer.lr == pytest.approx(2.4e-3)
    assert config.param_scheduler.total == config.train_cfg.max_epochs
    assert config.param_scheduler.warmup == 40
    gpus = 4
    effective = gpus * config.train_dataloader.batch_size * config.optim_wrapper.accumulative_counts
    assert effective == config.auto_scale_lr.base_batch_size == 4096


#: Pretraining as published: network, epochs, batch of each of four GPUs, accumulation, pixel statistics.
PUBLISHED = {
    'fsfm_vit-b_vggface2_400e': ('base', 400, 256, 4, 'vggface2'),
    'fsfm_vit-b_as-released_400e': ('base', 400, 256, 4, 'vggface2'),
    'fsfm_vit-b_ffpp-o_400e': ('base', 400, 256, 4, 'ffpp_o'),
    'fsvfm_vit-s_vggface2_600e': ('small', 600, 512, 2, 'vggface2'),
    'fsvfm_vit-b_vggface2_600e': ('base', 600, 256, 4, 'vggface2'),
    'fsvfm_vit-l_vggface2_600e': ('large', 600, 256, 4, 'vggface2'),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_pretraining(name):
    config = Config.fromfile(ROOT / f'configs/fsfm/{name}.py')
    wrapper, model = config.optim_wrapper, config.model
    found = (
        model.backbone.arch,
        config.train_cfg.max_epochs,
        config.train_dataloader.batch_size,
        wrapper.accumulative_counts,
        model.data_preprocessor.stats,
    )
    assert found == PUBLISHED[name]
    optimizer = wrapper.optimizer
    assert (optimizer.type, tuple(optimizer.betas), optimizer.weight_decay) == ('AdamW', (0.9, 0.95), 0.05)
    assert wrapper.clip_grad.max_norm == 1.0 and config.param_scheduler.get('final_lr', 0.0) == 0.0
    assert [model[f'loss_{part}'].loss_weight for part in ('rec', 'region', 'sim')] == [1.0, 0.007, 0.1]
    steps = config.train_dataloader.dataset.pipeline
    assert [step.type for step in steps] == ['LoadFace', 'ResizeFace', 'BuildPatchLabels', 'PackFaces']
    assert (steps[1].size, steps[1].interpolation, steps[1].get('view', 'whole')) == (224, 'bicubic', 'whole')
    if name == 'fsfm_vit-b_ffpp-o_400e':  # training and validation videos, 128 frames of each
        assert 'ffpp FaceForensics++ data/ffpp_c23 --splits train val ' in config.text
        assert 'data/ffpp_c23/train/real_youtube data/ffpp_c23/val/real_youtube ' in config.text


MASKS = {
    'random': 'RandomMask',
    'fasking': 'FaskingMask',
    'frp': 'FRPMask',
    'crfr-r': 'CRFRRMask',
}
LOSSES = {
    'byol': 'BYOLLoss',
    'infonce': 'InfoNCELoss',
    'mocov3': 'MoCoV3SimilarityLoss',
    'simclr': 'SimCLRLoss',
}


@pytest.mark.parametrize(('name', 'kind'), MASKS.items())
def test_mask_ablations_change_the_mask_only(name, kind):
    base = Config.fromfile(ROOT / 'configs/fsfm/fsfm_vit-b_vggface2_400e.py')
    variant = Config.fromfile(ROOT / f'configs/fsfm/ablation_mask-{name}_vit-b_400e.py')
    assert issubclass(getattr(masking, kind), masking.PatchMask)
    assert variant.train_dataloader.dataset.mask.type == kind
    variant.train_dataloader.dataset.mask.type = base.train_dataloader.dataset.mask.type
    assert variant.to_dict() == base.to_dict()


@pytest.mark.parametrize(('name', 'kind'), LOSSES.items())
def test_similarity_ablations_change_the_loss_only(name, kind):
    base = Config.fromfile(ROOT / 'configs/fsfm/fsfm_vit-b_vggface2_400e.py')
    variant = Config.fromfile(ROOT / f'configs/fsfm/ablation_sim-{name}_vit-b_400e.py')
    assert isinstance(build_on_meta(variant).loss_sim, getattr(similarity, kind))
    variant.model.loss_sim.type = base.model.loss_sim.type
    variant.model.loss_sim.pop('gather', None)
    assert variant.to_dict() == base.to_dict()


def test_as_released_differs_where_it_says():
    model = build_on_meta(Config.fromfile(ROOT / 'configs/fsfm/fsfm_vit-b_as-released_400e.py'))
    assert model.target.momentum(0, 10) is None
    assert model.target.start == 'random'
    with torch.device('cpu'):
        config = Config.fromfile(ROOT / 'configs/fsfm/fsfm_vit-b_as-released_400e.py').model
        config.backbone.update(arch=dict(embed_dim=16, depth=1, num_heads=1))
        config.pixel_decoder.update(embed_dim=16, depth=1)
        small = MODELS.build(config)
    assert not small.rep_decoder.pos_embed.any()
    assert not small.target.rep_decoder.pos_embed.any()


@pytest.mark.parametrize('arch', ['tiny', 'small', 'large', 'huge'])
def test_size_is_one_setting(arch):
    config = Config.fromfile(ROOT / 'configs/fsfm/fsfm_vit-b_vggface2_400e.py')
    config.merge_from_dict({'model.backbone.arch': arch})
    model = build_on_meta(config)
    assert (
        model.backbone.embed_dims
        == model.rep_decoder.embed.in_features
        == model.pixel_decoder.embed.in_features
    )


def test_strategy_is_one_setting_of_the_command_line():
    config = Config.fromfile(ROOT / 'configs/fsfm/fsfm_demo.py')
    config.merge_from_dict({'train_dataloader.dataset.mask.type': 'FRPMask'})
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert [type(step).__name__ for step in dataset.pipeline.transforms] == [
        'BuildPatchLabels',
        'FRPMask',
        'PackFaces',
    ]
    sample = dataset[0]
    assert sample['mask'].sum() == 144 - 36
    assert not sample['region_mask'].any()


def test_every_config_is_tested_here_or_as_a_downstream_one():
    folders = {path.name for path in (ROOT / 'configs').iterdir()}
    assert folders == {'_base_', 'fsfm', 'mae', 'deepfake', 'diffusion', 'antispoof'}


def test_classifier_config_builds():
    config = Config.fromfile(ROOT / 'configs/_base_/models/vit_classifier.py')
    config.model.backbone.init_cfg = None
    model = build_on_meta(config)
    images = torch.empty(2, 3, 224, 224, device='meta')
    assert model.head(model.extract_feat(images)).shape == (2, 2)
