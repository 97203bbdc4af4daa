"""docs/custom_backbone.md: its example keeps the contract, trains in FSFM and has a target that follows."""

import re
from pathlib import Path

import pytest
import torch

from fsfm_mm.checkpoints.facts import model_facts
from fsfm_mm.ops.patches import patchify, split_mask
from fsfm_mm.registry import MODELS

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'custom_backbone.md'


@pytest.fixture
def example():
    code, config = re.findall(r'^```python\n(.*?)^```', PAGE.read_text(encoding='utf-8'), flags=re.M | re.S)
    scope = {'__name__': 'my_backbone'}
    try:
        exec(code, scope)
        exec(config, scope)
        backbone = dict(scope['model']['backbone'])
        del backbone['_delete_']
        yield backbone
    finally:  # the registry is shared by all tests
        MODELS.module_dict.pop('TorchViT', None)


@pytest.fixture
def masks():
    mask = torch.zeros(2, 144, dtype=torch.bool)
    mask[:, ::4] = True
    return mask


def test_the_example_pretrains(example, masks):
    torch.manual_seed(0)
    small = dict(embed_dim=32, depth=1, num_heads=2)
    model = MODELS.build(
        dict(
            type='FSFM',
            backbone={**example, 'depth': 2},
            pixel_decoder=dict(type='MAEPixelDecoder', **small),
            rep_decoder=dict(type='SiameseRepDecoder', depth=1, num_heads=2),
            projector=dict(type='ProjectionMLP', hidden_dim=16, out_dim=8),
            predictor=dict(type='ProjectionMLP', hidden_dim=16),
            target=dict(type='MomentumTarget'),
            loss_sim=dict(type='SimSiamLoss'),
        )
    )
    losses = model(torch.randn(2, 3, 96, 96), mask=masks, mode='loss')
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(p.grad is not None for p in model.backbone.parameters() if p.requires_grad)
    before = model.target.backbone.patch_embed.weight.clone()
    with torch.no_grad():
        model.backbone.patch_embed.weight += 1
    model.target.update(0.75)
    torch.testing.assert_close(model.target.backbone.patch_embed.weight, before + 0.25)
    facts = model_facts(model)
    assert facts['input_size'] == 96 and facts['patch_size'] == 8


def test_the_example_keeps_the_contract(example, masks):
    backbone = MODELS.build(example)
    images = torch.randn(2, 3, 96, 96)
    split = split_mask(masks)
    patches = patchify(images, backbone.patch_size)
    changed = torch.where(masks.unsqueeze(-1), torch.zeros(()), patches)
    seen = backbone.encode(patches, split)
    assert seen.shape == (2, 1 + 108, backbone.embed_dims)
    torch.testing.assert_close(seen, backbone.encode(changed, split), rtol=0, atol=0)
    assert backbone.encode(patches).shape == (2, 145, backbone.embed_dims)
    torch.testing.assert_close(backbone(images)[-1], backbone.encode(patches)[:, 0])
    depths = [
        backbone.get_layer_depth(f'backbone.{name}', 'backbone.')[0]
        for name, _ in backbone.named_parameters()
    ]
    assert set(depths) == set(range(backbone.depth + 2)) and depths == sorted(depths)
