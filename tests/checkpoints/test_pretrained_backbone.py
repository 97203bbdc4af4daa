"""From pretraining to the classifier: the final norm stays behind, all else arrives or is named."""

import pytest
import torch
from foreign_checkpoints import backbone_config, build_classifier, golden, reference_checkpoint
from golden import build_tiny_fsfm, load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import (
    load_pretrained_backbone,
    pretrained,
    pretrained_backbone,
    save_checkpoint_file,
    zoo,
)


@pytest.fixture
def meta():
    return load_pretrain_golden()[1]


@pytest.fixture
def saved(tmp_path):
    model = build_tiny_fsfm()
    for value in model.state_dict().values():
        value.copy_(torch.randn_like(value))
    card = {'mean': [0.5] * 3, 'std': [0.2] * 3}
    save_checkpoint_file({'state_dict': model.state_dict(), 'card': card}, tmp_path / 'p.pth')
    return model, tmp_path / 'p.pth'


def test_final_norm_is_left_behind_and_fc_norm_starts_fresh(saved, meta):
    model, path = saved
    backbone = build_classifier(meta).backbone
    card = load_pretrained_backbone(backbone, path)
    assert card.mean == (0.5,) * 3
    loaded, source = backbone.state_dict(), model.backbone.state_dict()
    assert torch.equal(loaded['fc_norm.weight'], torch.ones_like(loaded['fc_norm.weight']))
    assert torch.equal(loaded['fc_norm.bias'], torch.zeros_like(loaded['fc_norm.bias']))
    common = set(loaded) - {'fc_norm.weight', 'fc_norm.bias'}
    assert common == set(source) - {'norm.weight', 'norm.bias'}
    assert all(torch.equal(loaded[key], source[key]) for key in common)


def test_a_class_token_classifier_goes_on_with_the_final_norm(saved, meta):
    model, path = saved
    backbone = build_classifier(meta, 'cls_token').backbone
    load_pretrained_backbone(backbone, path)
    source = model.backbone.state_dict()
    assert all(torch.equal(value, source[key]) for key, value in backbone.state_dict().items())


def test_state_dict_of_the_backbone(saved):
    model, _ = saved
    state = pretrained_backbone({'state_dict': model.state_dict()})
    assert set(state) == {key for key in model.backbone.state_dict() if not key.startswith('norm.')}
    assert set(pretrained_backbone(model.state_dict(), keep_norm=True)) == set(model.backbone.state_dict())
    with pytest.raises(ValueError, match=r"no 'backbone\.\*' keys .*fsfm-mm convert"):
        pretrained_backbone(golden('vit_cls_avg')[0])


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    'change, sentence',
    [
        (lambda s: s.pop('backbone.blocks.0.norm1.bias'), r'1 missing: blocks\.0\.norm1\.bias'),
        (lambda s: s.update({'backbone.blocks.9.x': torch.zeros(1)}), r'1 unexpected: blocks\.9\.x'),
        (
            lambda s: s.update({'backbone.patch_embed.proj.bias': torch.zeros(3)}),
            r'1 of another shape: patch_embed\.proj\.bias \(3,\) instead of \(\d+,\)',
        ),
        (
            lambda s: s.update({'backbone.pos_embed': s['backbone.pos_embed'][:, :-1]}),
            r'1 of another shape: pos_embed',
        ),
    ],
)
def test_what_does_not_match_is_named_and_changes_nothing(tmp_path, meta, change, sentence):
    state = dict(build_tiny_fsfm().state_dict())
    change(state)
    save_checkpoint_file({'state_dict': state}, tmp_path / 'p.pth')
    backbone = build_classifier(meta).backbone
    before = snapshot(backbone)
    with pytest.raises(ValueError, match=f'does not fit this backbone: {sentence}'):
        load_pretrained_backbone(backbone, tmp_path / 'p.pth')
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_another_size_is_refused(saved, meta):
    backbone = build_classifier({**meta, 'depth': meta['depth'] + 1}).backbone
    with pytest.raises(ValueError, match=rf'12 missing: blocks\.{meta["depth"]}\.'):
        load_pretrained_backbone(backbone, saved[1])


def test_positions_of_another_grid_are_interpolated(saved, meta):
    backbone = build_classifier({**meta, 'img_size': 2 * meta['img_size']}).backbone
    load_pretrained_backbone(backbone, saved[1])
    source = saved[0].backbone.pos_embed
    assert backbone.pos_embed.shape[1] == 4 * (source.shape[1] - 1) + 1
    assert torch.equal(backbone.pos_embed[:, 0], source[:, 0])


def test_a_reference_file_in_passing(tmp_path, meta):
    arrays, _ = load_pretrain_golden()
    online = tensors(arrays, 'online/', torch.float32)
    torch.save(reference_checkpoint(online), tmp_path / 'checkpoint-400.pth')
    (tmp_path / 'pretrain_ds_mean_std.txt').write_text(
        '{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}\n\n'
    )
    backbone = build_classifier(meta).backbone
    card = load_pretrained_backbone(backbone, tmp_path / 'checkpoint-400.pth', source='fsfm-pretrain')
    assert card.mean == (0.1, 0.2, 0.3) and card.task == 'pretrain'
    assert torch.equal(backbone.pos_embed, online['pos_embed'])
    with pytest.raises(ValueError, match=r'under .state_dict.'):
        load_pretrained_backbone(backbone, tmp_path / 'checkpoint-400.pth')


def classifier(meta, **init_cfg):
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=backbone_config(meta, init_cfg=init_cfg),
            head=dict(type='LinearClsHead', num_classes=2, in_channels=meta['embed_dim']),
        )
    )


@pytest.mark.parametrize('kind', ['PretrainedBackbone', 'Pretrained'])
def test_by_init_cfg(saved, meta, kind):
    extra = dict(prefix='backbone.') if kind == 'Pretrained' else {}
    model = classifier(meta, type=kind, checkpoint=str(saved[1]), **extra)
    model.init_weights()
    source = saved[0].backbone.state_dict()
    for key, value in model.backbone.state_dict().items():
        if not key.startswith('fc_norm.'):
            assert torch.equal(value, source[key]), key
    assert model.backbone.fc_norm.weight.eq(1).all()


def test_the_strict_init_stops_where_mmengine_s_goes_on(tmp_path, meta):
    state = {k: v for k, v in build_tiny_fsfm().state_dict().items() if 'blocks.1' not in k}
    save_checkpoint_file({'state_dict': state}, tmp_path / 'p.pth')
    with pytest.raises(ValueError, match=r'12 missing: blocks\.1\.norm1\.weight'):
        classifier(meta, type='PretrainedBackbone', checkpoint=str(tmp_path / 'p.pth')).init_weights()


def test_by_name_of_the_zoo(tmp_path, meta, monkeypatch):
    arrays, _ = load_pretrain_golden()
    online = tensors(arrays, 'online/', torch.float32)
    torch.save(reference_checkpoint(online), tmp_path / 'x.pth')
    monkeypatch.setattr(pretrained, 'fetch', lambda name: tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='12 attention heads, but the backbone has 3'):
        load_pretrained_backbone(build_classifier(meta).backbone, 'fsfm-vit-base-vggface2')
    entry = {**zoo.zoo_entry('fsfm-vit-base-vggface2'), 'num_heads': meta['num_heads']}
    monkeypatch.setattr(pretrained, 'zoo_entry', lambda name: entry)
    backbone = build_classifier(meta).backbone
    card = load_pretrained_backbone(backbone, 'fsfm-vit-base-vggface2')
    assert torch.equal(backbone.cls_token, online['cls_token'])
    assert card.mean[0] == 0.5482207536697388 and 'fsfm-vit-base-vggface2' in card.source
