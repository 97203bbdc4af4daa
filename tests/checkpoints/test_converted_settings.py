"""The card of a converted file builds its network; what it cannot know, it does not make up."""

import dataclasses

import pytest
import torch
from foreign_checkpoints import golden
from golden import load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import ModelCard, convert
from fsfm_mm.checkpoints.converted_settings import converted_settings

CARD = ModelCard(mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1), input_size=32, num_heads=3)


@pytest.mark.parametrize(
    'name, kind',
    [
        ('vit_cls_avg', 'fsfm-finetuned'),
        ('vit_cls_token', 'timm'),
        ('fs_adapter', 'fs-adapter'),
        ('fas_full', 'fsfm-fas'),
        ('fas_adapter', 'fs-adapter-fas'),
    ],
)
def test_golden_logits(name, kind):
    state, arrays, meta = golden(name)
    ours, _ = convert(state, kind)
    card = dataclasses.replace(CARD, num_heads=meta['num_heads'], input_size=meta['img_size'])
    model = MODELS.build(converted_settings(ours, card)).eval()
    model.load_state_dict(ours, strict=True)
    logits = model(arrays['in/img'], mode='tensor')
    assert torch.allclose(logits.double(), arrays['out/logits'], rtol=0, atol=1e-5)


def test_shapes_that_are_not_the_usual_ones():
    backbone = dict(
        type='FusedAttentionViT',
        arch=dict(embed_dim=48, depth=2, num_heads=4),
        img_size=(32, 16),
        patch_size=8,
    )
    backbone.update(in_channels=1, mlp_ratio=2.5, qkv_bias=False, out_type='avg_featmap', final_norm=True)
    model = MODELS.build(dict(type='ImageClassifier', backbone=backbone))
    settings = converted_settings(
        model.state_dict(), dataclasses.replace(CARD, input_size=(32, 16), num_heads=4)
    )
    assert settings['backbone'] == {**backbone, 'img_size': [32, 16]} and 'head' not in settings
    MODELS.build(settings).load_state_dict(model.state_dict(), strict=True)


def test_what_is_not_known_is_left_open():
    state, _ = convert(golden('vit_cls_avg')[0], 'timm')
    for field in ('num_heads', 'input_size'):
        assert converted_settings(state, dataclasses.replace(CARD, **{field: None})) is None
    assert converted_settings(state, dataclasses.replace(CARD, mean=None, std=None)) is None
    pretraining, _ = convert(tensors(load_pretrain_golden()[0], 'online/', torch.float32), 'fsfm-pretrain')
    assert converted_settings(pretraining, CARD) is None
