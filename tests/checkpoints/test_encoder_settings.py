"""A config that starts from an encoder becomes what the encoder needs, or the contradiction is named."""

import copy
import json
import warnings
from pathlib import Path

import pytest
from golden import build_tiny_fsfm, fsfm_config, load_pretrain_golden
from mmengine.config import Config
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import ModelCard, save_checkpoint_file
from fsfm_mm.checkpoints.encoder_settings import keep_statistics, settings_from_encoder
from fsfm_mm.checkpoints.model_settings import plain_settings, settings_facts
from fsfm_mm.settings.data import flat
from fsfm_mm.statistics import PUBLISHED, resolve_stats

ROOT = Path(__file__).resolve().parents[2]
MEAN, STD = (0.61, 0.52, 0.43), (0.31, 0.22, 0.13)
OWN = ROOT / 'configs/deepfake/vit-t_own-faces.py'
ADAPTER = ROOT / 'configs/deepfake/fsvfm_vit-b_adapter_ffpp-c23_50e.py'
CONFIGS = [
    p for folder in ('deepfake', 'diffusion', 'antispoof') for p in (ROOT / 'configs' / folder).glob('fs*.py')
]


@pytest.fixture
def encoder(tmp_path):
    """A pretraining's checkpoint of 4 heads, 32 pixels, own statistics: the work directory, as it is named."""
    _, meta = load_pretrain_golden()
    settings = fsfm_config(meta)
    settings['data_preprocessor'] = dict(type='FaceDataPreprocessor', mean=list(MEAN), std=list(STD))
    card = ModelCard(
        mean=MEAN, std=STD, num_heads=meta['num_heads'], model=plain_settings(settings), task='pretrain'
    )
    state = build_tiny_fsfm().state_dict()
    save_checkpoint_file({'state_dict': state, 'card': card.to_dict()}, tmp_path / 'my_faces' / 'iter_2.pth')
    return tmp_path / 'my_faces'


def config_from(encoder, source=OWN, **typed):
    """A config with the encoder and other settings typed, and what was typed."""
    typed = {'model.backbone.init_cfg.checkpoint': str(encoder), **typed}
    cfg = Config.fromfile(source)
    cfg.merge_from_dict(typed)
    return cfg, typed


def facts(cfg):
    return settings_facts(cfg.model)


def test_everything_that_belongs_to_the_weights_is_the_encoders(encoder):
    cfg, typed = config_from(encoder)
    settings_from_encoder(cfg, typed)
    _, meta = load_pretrain_golden()
    found = facts(cfg)
    assert (found['mean'], found['std']) == (pytest.approx(MEAN), pytest.approx(STD))
    assert (found['input_size'], found['patch_size'], found['num_heads']) == (32, 8, meta['num_heads'])
    assert (found['embed_dim'], found['depth']) == (meta['embed_dim'], meta['depth'])
    assert cfg.model.head.in_channels == meta['embed_dim']
    assert cfg.model.backbone.out_type == 'avg_featmap' and cfg.model.backbone.drop_path_rate == 0.1
    assert cfg.model.backbone.init_cfg.checkpoint == str(encoder / 'iter_2.pth')
    train, test = cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    assert train[1].size == test[1].size == 32
    assert resolve_stats(train[1].stats) == (pytest.approx(MEAN), pytest.approx(STD))
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert model.backbone.num_heads == meta['num_heads']
    once = copy.deepcopy(cfg.to_dict())
    settings_from_encoder(cfg, typed)
    assert cfg.to_dict() == once


def test_what_was_typed_stays_or_is_refused_with_both_values(encoder):
    cfg, typed = config_from(encoder, **{'model.backbone.img_size': 64})
    settings_from_encoder(cfg, typed)
    assert facts(cfg)['input_size'] == (64, 64) or facts(cfg)['input_size'] == 64
    assert MODELS.build(cfg.model).backbone.pos_embed.shape[1] == 65
    cfg, typed = config_from(encoder, **{'model.data_preprocessor.stats': 'imagenet'})
    with pytest.raises(
        ValueError, match=r"stats='imagenet' means mean \(0.485.*iter_2.pth says mean \(0.61.*override"
    ):
        settings_from_encoder(copy.deepcopy(cfg), typed)
    settings_from_encoder(cfg, typed, override=True)
    assert facts(cfg)['mean'] == pytest.approx(PUBLISHED['imagenet'][0])
    assert cfg.model.backbone.init_cfg.differing == ('mean', 'std')
    cfg, typed = config_from(encoder)
    settings_from_encoder(cfg, typed, override=True)  # nothing typed that it could override
    assert facts(cfg)['mean'] == pytest.approx(MEAN)
    cfg, typed = config_from(encoder, **{'model.backbone.arch': 'tiny'})
    with pytest.raises(
        ValueError,
        match=r"arch='tiny' means embed_dim 192, depth 12, but the card of .* says embed_dim 48, depth 2",
    ):
        settings_from_encoder(cfg, typed)
    cfg, typed = config_from(encoder, **{'model.head.in_channels': 192})
    with pytest.raises(ValueError, match='in_channels=192 was set, but the encoder has width'):
        settings_from_encoder(cfg, typed)


def test_a_frozen_backbone_stays_frozen_whole(encoder):
    cfg, typed = config_from(encoder, ADAPTER)
    settings_from_encoder(cfg, typed)
    assert cfg.model.backbone.frozen_stages == load_pretrain_golden()[1]['depth']
    model = MODELS.build(cfg.model)
    assert not any(p.requires_grad for p in model.backbone.parameters())


def test_a_file_without_a_card_asks_for_statistics_and_heads(tmp_path):
    _, meta = load_pretrain_golden()
    save_checkpoint_file({'state_dict': build_tiny_fsfm().state_dict()}, tmp_path / 'bare.pth')
    cfg, typed = config_from(tmp_path / 'bare.pth')
    with pytest.raises(
        ValueError, match=r'bare.pth: .*number|bare.pth: nothing says how many attention heads'
    ):
        settings_from_encoder(cfg, typed)
    heads = {'model.backbone.init_cfg.num_heads': meta['num_heads']}
    cfg, typed = config_from(tmp_path / 'bare.pth', **heads)
    with pytest.raises(
        ValueError, match=r'bare.pth does not say the statistics .*model.data_preprocessor.stats'
    ):
        settings_from_encoder(cfg, typed)
    cfg, typed = config_from(tmp_path / 'bare.pth', **heads, **{'model.data_preprocessor.stats': 'ffpp_o'})
    settings_from_encoder(cfg, typed)
    found = facts(cfg)
    assert (found['embed_dim'], found['num_heads']) == (meta['embed_dim'], meta['num_heads'])
    assert (found['input_size'], found['patch_size']) == (meta['img_size'], meta['patch_size'])
    assert cfg.model.data_preprocessor.stats == 'ffpp_o' and cfg.model.head.in_channels == meta['embed_dim']
    MODELS.build(cfg.model).init_weights()


def test_a_folder_that_is_not_there_is_named():
    cfg = Config.fromfile(OWN)
    cfg.model.backbone.init_cfg.checkpoint = '/nowhere/my_faces'
    with pytest.raises(ValueError, match='/nowhere/my_faces cannot be read'):
        settings_from_encoder(cfg)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_published_recipes_stay_as_they_are(path):
    """Zoo encoders are not fetched for this; the one recipe with other statistics says so itself."""
    cfg = Config.fromfile(path)
    before = flat(cfg.to_dict())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        settings_from_encoder(cfg)
    assert flat(cfg.to_dict()) == before


def test_other_published_weights_bring_their_statistics():
    cfg, typed = config_from('fsfm-vit-base-ffpp-o', ROOT / 'configs/deepfake/fsfm_vit-b_ffpp-c23_10e.py')
    settings_from_encoder(cfg, typed)
    assert facts(cfg)['mean'] == pytest.approx(PUBLISHED['ffpp_o'][0])
    cfg, typed = config_from('fs-vfm-vit-large-vggface2', OWN)
    settings_from_encoder(cfg, typed)
    assert cfg.model.head.in_channels == 1024 and facts(cfg)['num_heads'] == 16


def test_a_resumed_run_asks_its_own_checkpoint(encoder, tmp_path):
    """The encoder may be gone by then."""
    cfg, typed = config_from(encoder)
    settings_from_encoder(cfg, typed)
    model = MODELS.build(cfg.model)
    # the card's own numbers are those of float32 buffers: going on to the last bit takes its settings
    mean, std = (tuple(value + 1e-5 for value in values) for values in (MEAN, STD))
    card = ModelCard(mean=mean, std=std, model=plain_settings(cfg.model))
    save_checkpoint_file({'state_dict': model.state_dict(), 'card': card.to_dict()}, tmp_path / 'epoch_1.pth')
    (encoder / 'iter_2.pth').unlink()
    again, typed = config_from(encoder)
    again.resume, again.load_from = True, str(tmp_path / 'epoch_1.pth')
    settings_from_encoder(again, typed)
    assert facts(again) == facts(cfg) and again.model.backbone.init_cfg is None
    for name in ('mean', 'std'):
        assert again.model.data_preprocessor[name] == cfg.model.data_preprocessor[name]
    assert again.model.head.in_channels == cfg.model.head.in_channels


def test_a_file_of_statistics_becomes_numbers(tmp_path):
    file = tmp_path / 'mean_std.json'
    file.write_text(json.dumps({'mean': MEAN, 'std': STD}))
    cfg = Config.fromfile(OWN)
    cfg.model.data_preprocessor.stats = cfg.train_dataloader.dataset.pipeline[1].stats = str(file)
    keep_statistics(cfg)
    assert cfg.model.data_preprocessor.mean == [255 * value for value in MEAN]
    assert cfg.train_dataloader.dataset.pipeline[1].stats == {'mean': list(MEAN), 'std': list(STD)}
    assert str(file) not in cfg.pretty_text
    named = Config.fromfile(OWN)
    keep_statistics(named)
    assert named.model.data_preprocessor.stats == 'vggface2'  # a name is easier to read, and found anywhere
