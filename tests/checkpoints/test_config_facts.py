"""The config that mmengine puts into a checkpoint is believed, without being run."""

import pytest
import torch
from foreign_checkpoints import build_classifier, sharpened
from mmengine.config import Config
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import convert_file, load_checkpoint_file

ARCH = dict(embed_dims=48, num_layers=2, num_heads=4, feedforward_channels=192)
SIZES = dict(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=4)


def settings(**changes):
    backbone = dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='cls_token')
    head = dict(type='VisionTransformerClsHead', num_classes=2, in_channels=48)
    model = dict(type='ImageClassifier', backbone={**backbone, **changes}, head=head)
    preprocessor = dict(mean=[127.5, 102.0, 76.5], std=[51.0] * 3, to_rgb=True)
    return Config(dict(model=model, data_preprocessor=preprocessor, work_dir='x'))


def saved(config, path, **changes):
    model = sharpened(MODELS.build(config.model))
    torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': config.pretty_text, **changes}}, path)
    return model


def test_heads_and_statistics_of_mmpretrain(tmp_path):
    theirs = saved(settings(), tmp_path / 'epoch_1.pth')
    card, report = convert_file(tmp_path / 'epoch_1.pth', tmp_path / 'ours.pth', 'mmpretrain')
    assert card.num_heads == 4 and report.notes == []
    assert card.mean == pytest.approx((0.5, 0.4, 0.3)) and card.std == pytest.approx((0.2,) * 3)
    ours = build_classifier(SIZES, 'cls_token')
    ours.load_state_dict(load_checkpoint_file(tmp_path / 'ours.pth')['state_dict'], strict=True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(theirs(images, mode='tensor'), ours(images, mode='tensor'), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match='says num_heads 4, but in what was given it is 3'):
        convert_file(tmp_path / 'epoch_1.pth', tmp_path / 'no.pth', 'mmpretrain', facts=dict(num_heads=3))


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(norm_cfg=dict(type='LN', eps=1e-5)), 'its LayerNorm has eps 1e-05, ours 1e-06'),
        (dict(layer_cfgs=dict(act_cfg=dict(type='ReLU'))), 'its activation is ReLU, ours GELU'),
        (dict(out_indices=[0, 1]), r'was trained with out_indices=\[0, 1\]'),
    ],
)
def test_what_no_key_shows_is_refused(change, words, tmp_path):
    saved(settings(**change), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=words):
        convert_file(tmp_path / 'a.pth', tmp_path / 'ours.pth', 'mmpretrain')


def test_networks_of_bgr_are_refused(tmp_path):
    cfg = settings()
    cfg.data_preprocessor.to_rgb = False
    saved(cfg, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='it sees BGR'):
        convert_file(tmp_path / 'a.pth', tmp_path / 'ours.pth', 'mmpretrain')


def test_without_a_word_the_number_is_asked_for(tmp_path):
    saved(settings(), tmp_path / 'a.pth', cfg='model = dict(type=')
    with pytest.raises(ValueError, match='how many attention heads these weights of width 48 have'):
        convert_file(tmp_path / 'a.pth', tmp_path / 'ours.pth', 'mmpretrain')


def test_an_old_checkpoint_of_ours(tmp_path):
    """Its card has no number of heads, but the config that it was trained with."""
    arch = dict(embed_dim=48, depth=2, num_heads=3)
    backbone = dict(type='FusedAttentionViT', arch=arch, img_size=32, patch_size=8)
    text = Config(dict(model=dict(type='ImageClassifier', backbone=backbone))).pretty_text
    state = {f'backbone.{key}': value for key, value in MODELS.build(backbone).state_dict().items()}
    card = dict(mean=[0.5] * 3, std=[0.2] * 3, config=text)
    torch.save({'state_dict': state, 'card': card}, tmp_path / 'a.pth')
    card, _ = convert_file(tmp_path / 'a.pth', tmp_path / 'vit', 'fsfm_mm', 'timm')
    assert card.num_heads == 3
