"""Every kind of checkpoint to ours and back: by name, to the last key, with the same numbers."""

import pytest
import timm
import torch
from foreign_checkpoints import (
    backbone_config,
    build_classifier,
    golden,
    reference_checkpoint,
)
from golden import build_tiny_fsfm, load_pretrain_golden, tensors
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import convert
from fsfm_mm.checkpoints.name_maps import NAME_MAPS, SOURCES

VIT = dict(img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=2)


def equal(a, b):
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)


def randomised(model):
    """Every parameter and norm drawn anew, so that no two tensors are equal by their initialisation."""
    for value in model.state_dict().values():
        value.copy_(torch.randn_like(value) * 0.2)
    return model.eval()


def timm_vit(**changes):
    return randomised(
        timm.models.vision_transformer.VisionTransformer(**{**VIT, 'class_token': True, **changes})
    )


def pretraining_states():
    arrays, _ = load_pretrain_golden()
    return tensors(arrays, 'online/', torch.float32), tensors(arrays, 'target/', torch.float32)


# the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize('pooling, out_type', [('avg', 'avg_featmap'), ('token', 'cls_token')])
def test_fine_tuned_classifier_gives_the_golden_logits(pooling, out_type):
    state, arrays, meta = golden(f'vit_cls_{pooling}')
    ours, report = convert(reference_checkpoint(state), 'fsfm-finetuned')
    model = build_classifier(meta, out_type)
    model.load_state_dict(ours, strict=True)
    logits = model(arrays['in/img'], mode='tensor')
    assert torch.allclose(logits.double(), arrays['out/logits'], rtol=0, atol=1e-5)
    assert set(report.renamed) == set(state) and set(report.renamed.values()) == set(ours)
    assert report.dropped == report.made == {}
    assert report.renamed['head.weight'] == 'head.fc.weight'


def test_adapter_gives_the_golden_logits():
    state, arrays, meta = golden('fs_adapter')
    ours, report = convert(reference_checkpoint(state), 'fs-adapter')
    head = dict(type='AdapterHead', num_classes=2, in_channels=meta['embed_dim'], reduction=4)
    model = build_classifier(meta, head=head)
    model.load_state_dict(ours, strict=True)
    logits = model(arrays['in/img'], mode='tensor')
    assert torch.allclose(logits.double(), arrays['out/logits'], rtol=0, atol=1e-5)
    assert len(report.renamed) == len(state)


ANTISPOOF = {
    'fsfm-fas': ('fas_full', 'AntiSpoofHead', 'pooled_tokens'),
    'fs-adapter-fas': ('fas_adapter', 'AntiSpoofAdapterHead', 'avg_featmap'),
}


@pytest.mark.parametrize('kind', ANTISPOOF)
def test_antispoof_gives_the_golden_logits(kind):
    """A class bias that is not zero, a bottleneck stored twice, and the ViT's own head, which nothing reads."""
    file, head, out_type = ANTISPOOF[kind]
    state, arrays, meta = golden(file)
    ours, report = convert({'state_dict': state, 'epoch': 3}, kind)
    model = build_classifier(meta, out_type, dict(type=head, num_classes=2, in_channels=48, hidden_dim=512))
    model.load_state_dict(ours, strict=True)
    logits = model(arrays['in/img'], mode='tensor')
    assert torch.allclose(logits.double(), arrays['out/logits'], rtol=0, atol=1e-5)
    assert ours['head.spoof.fc.bias'].all()
    assert set(report.renamed) | set(report.dropped) == set(state)
    unused = [key for key in state if key.startswith(('embedder.bottleneck_layer.0.', 'backbone.vit.head.'))]
    assert sorted(report.dropped) == sorted(unused) and not report.made


def test_antispoof_contradictions():
    state = golden('fas_full')[0]
    other = {**state, 'embedder.bottleneck_layer.0.bias': torch.zeros(512)}
    with pytest.raises(ValueError, match=r'embedder\.bottleneck_layer\.0\.bias .* their values differ'):
        convert(other, 'fsfm-fas')
    odd = {**state, 'classifier.classifier_layer.weight': torch.zeros(512, 2)}
    with pytest.raises(ValueError, match=r'must be \(classes, 512\), found \(512, 2\)'):
        convert(odd, 'fsfm-fas')


@pytest.mark.parametrize('with_target', [True, False])
def test_pretraining_loads_into_fsfm(with_target):
    online, target = pretraining_states()
    second = reference_checkpoint(target) if with_target else None
    ours, report = convert(reference_checkpoint(online), 'fsfm-pretrain', target_network=second)
    model = build_tiny_fsfm()
    model.load_state_dict(ours, strict=True)
    assert torch.equal(model.backbone.blocks[0].attn.qkv.weight, online['blocks.0.attn.qkv.weight'])
    source = target if with_target else online
    assert torch.equal(model.state_dict()['target.backbone.norm.weight'], source['norm.weight'])
    assert {key for key in report.renamed if not key.startswith('target file: ')} == set(online)
    of_target = {key for key in (*report.renamed, *report.dropped) if key.startswith('target file: ')}
    assert of_target == ({f'target file: {key}' for key in target} if with_target else set())
    made = {key for key in ours if key.startswith('target.')} if not with_target else set()
    assert set(report.made) == made


def test_a_target_file_is_no_online_file_and_the_other_way_round():
    online, target = pretraining_states()
    with pytest.raises(ValueError, match=r"'fsfm-pretrain' checkpoint: \d+ missing: .*decoder_pos_embed"):
        convert(target, 'fsfm-pretrain')
    with pytest.raises(ValueError, match=r'the target network .*: \d+ unexpected: .*decoder_pos_embed'):
        convert(online, 'fsfm-pretrain', target_network=online)
    with pytest.raises(ValueError, match="only 'fsfm-pretrain' has a second file"):
        convert(golden('vit_cls_avg')[0], 'fsfm-finetuned', target_network=target)


@pytest.mark.parametrize('arch, tensors', [('small', 152), ('base', 152), ('large', 296)])
def test_a_fine_tuned_file_has_as_many_tensors_as_published(arch, tensors):
    with torch.device('meta'):
        head = dict(
            type='LinearClsHead', num_classes=2, in_channels=dict(small=384, base=768, large=1024)[arch]
        )
        backbone = dict(type='FusedAttentionViT', arch=arch, out_type='avg_featmap')
        model = MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=head))
    theirs, _ = convert(model.state_dict(), 'fsfm_mm', 'timm')
    assert len(theirs) == tensors
    assert set(convert(theirs, 'fsfm-finetuned')[0]) == set(model.state_dict())


# MAE ------------------------------------------------------------------------------------------------------


def mae_state():
    """Facebook's MAE in its own names: as the reference's, but the mask token has the decoder's width."""
    online, _ = pretraining_states()
    parts = ('rep_decoder', 'projector', 'predictor', 'mask_token')
    state = {key: value for key, value in online.items() if not key.startswith(parts)}
    width = state['decoder_embed.weight'].shape[0]
    return {**state, 'mask_token': torch.randn(1, 1, width)}


def build_mae():
    _, meta = load_pretrain_golden()
    meta = {**meta, 'num_heads': meta['num_heads']}
    return MODELS.build(
        dict(
            type='FaceMAE',
            data_preprocessor=dict(type='FaceDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
            backbone=backbone_config(meta, 'cls_token'),
            pixel_decoder=dict(
                type='MAEPixelDecoder',
                embed_dim=meta['decoder_embed_dim'],
                depth=meta['decoder_depth'],
                num_heads=meta['decoder_num_heads'],
            ),
        )
    ).eval()


def test_mae_with_decoder():
    state = mae_state()
    ours, report = convert({'model': state}, 'mae')
    model = build_mae()
    model.load_state_dict(ours, strict=True)
    assert set(report.renamed) == set(state) and set(report.made) == {'mask_token'}
    embedded = model.pixel_decoder.embed(model.mask_token)
    assert torch.allclose(embedded, state['mask_token'], atol=1e-5)
    others = {key: value for key, value in state.items() if key != 'mask_token'}
    assert all(ours[report.renamed[key]] is value for key, value in others.items())


def test_mae_encoder_alone():
    state = mae_state()
    encoder = {k: v for k, v in state.items() if not k.startswith(('decoder', 'mask_token'))}
    ours, report = convert({'model': encoder}, 'mae')
    assert set(ours) == {f'backbone.{key}' for key in encoder}
    dropped, report = convert({'model': state}, 'mae', drop=('mask_token', 'decoder_'))
    assert equal(dropped, ours)
    assert set(report.dropped) == set(state) - set(encoder)


def test_mae_with_a_decoder_that_is_too_wide():
    state = mae_state()
    width = state['cls_token'].shape[-1]
    wide = width + 8
    state['decoder_embed.weight'], state['decoder_embed.bias'] = torch.randn(wide, width), torch.randn(wide)
    state['mask_token'] = torch.randn(1, 1, wide)
    with pytest.raises(ValueError, match=r'wider than the encoder.*convert the encoder alone'):
        convert(state, 'mae')


# timm and mmpretrain --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'changes, out_type',
    [
        (dict(global_pool='avg'), 'avg_featmap'),
        (dict(global_pool='token'), 'cls_token'),
        (dict(global_pool='token', qkv_bias=False), 'cls_token'),
    ],
)
def test_timm_round_trip_and_numbers(changes, out_type):
    theirs = timm_vit(**changes)
    state = theirs.state_dict()
    ours, _ = convert(state, 'timm')
    back, _ = convert({'state_dict': ours}, 'fsfm_mm', 'timm')
    assert equal(back, state)
    model = build_classifier(VIT, out_type, qkv_bias=changes.get('qkv_bias', True))
    model.load_state_dict(ours, strict=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(model(images, mode='tensor'), theirs(images), atol=1e-5)


@pytest.mark.parametrize('out_type', ['avg_featmap', 'cls_token'])
def test_ours_to_timm_and_back(out_type):
    model = randomised(build_classifier(VIT, out_type))
    state = model.state_dict()
    theirs, report = convert(state, 'fsfm_mm', 'timm')
    again, _ = convert(theirs, 'timm')
    assert equal(again, state)
    assert set(report.renamed) == set(state) and report.dropped == {}
    vit = timm_vit(global_pool='avg' if out_type == 'avg_featmap' else 'token')
    vit.load_state_dict(theirs, strict=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(vit(images), model(images, mode='tensor'), atol=1e-5)


def test_a_backbone_without_head():
    state = timm_vit(num_classes=0).state_dict()
    ours, _ = convert(state, 'timm')
    assert set(ours) == {f'backbone.{key}' for key in state}
    assert equal(convert(ours, 'fsfm_mm', 'timm')[0], state)


def test_our_pretraining_to_timm_leaves_the_rest_out():
    model = build_tiny_fsfm()
    state = model.state_dict()
    theirs, report = convert({'state_dict': state}, 'fsfm_mm', 'timm')
    assert equal(theirs, model.backbone.state_dict())
    assert set(report.renamed) | set(report.dropped) == set(state)
    assert not set(report.renamed) & set(report.dropped)


def test_the_reference_to_timm_in_one_go():
    online, _ = pretraining_states()
    theirs, report = convert(reference_checkpoint(online), 'fsfm-pretrain', 'timm')
    assert theirs['blocks.0.attn.qkv.weight'] is online['blocks.0.attn.qkv.weight']
    assert set(report.renamed) | set(report.dropped) == set(online)
    assert set(report.renamed.values()) == set(theirs)


def test_an_adapter_has_no_place_in_timm():
    ours, _ = convert(golden('fs_adapter')[0], 'fs-adapter')
    with pytest.raises(ValueError, match=r'unexpected: .*head\.adapter\.down\.weight'):
        convert(ours, 'fsfm_mm', 'timm')


@pytest.mark.parametrize(
    'head, out_type, final_norm',
    [
        ('LinearClsHead', 'avg_featmap', False),
        ('LinearClsHead', 'avg_featmap', True),
        ('LinearClsHead', 'cls_token', True),
        ('VisionTransformerClsHead', 'cls_token', True),
        (None, 'avg_featmap', False),
        (None, 'cls_token', True),
    ],
)
def test_mmpretrain(head, out_type, final_norm):
    arch = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=192)
    config = dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8, out_type=out_type)
    config = dict(type='ImageClassifier', backbone=dict(config, final_norm=final_norm))
    if head:
        config['head'] = dict(type=head, num_classes=2, in_channels=48)
    theirs = randomised(MODELS.build(config))
    state = theirs.state_dict()
    ours, report = convert({'state_dict': state, 'meta': {}}, 'mmpretrain')
    assert set(report.renamed) == set(state)
    model = build_classifier(VIT, out_type, final_norm=final_norm)
    if not head:
        model.head = None
    model.load_state_dict(ours, strict=True)
    images = torch.randn(2, 3, 32, 32)
    expected = theirs(images, mode='tensor') if head else theirs.extract_feat(images)[-1]
    found = model(images, mode='tensor') if head else model.extract_feat(images)[-1]
    assert torch.allclose(found, expected, atol=1e-4)


# every key ------------------------------------------------------------------------------------------------


def examples():
    """A state dict of every kind."""
    online, _ = pretraining_states()
    config = dict(
        type='VisionTransformer',
        arch=dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=192),
        img_size=32,
        patch_size=8,
    )
    head = dict(type='LinearClsHead', num_classes=2, in_channels=48)
    mm = MODELS.build(dict(type='ImageClassifier', backbone=config, head=head)).state_dict()
    return {
        'fsfm-pretrain': online,
        'fsfm-finetuned': golden('vit_cls_avg')[0],
        'fsfm-fas': golden('fas_full')[0],
        'fs-adapter-fas': golden('fas_adapter')[0],
        'fs-adapter': golden('fs_adapter')[0],
        'mae': mae_state(),
        'timm': timm_vit().state_dict(),
        'mmpretrain': mm,
    }


def test_every_kind_has_an_example():
    assert set(examples()) == set(SOURCES) == set(NAME_MAPS) - {'fsfm-target'}


@pytest.mark.parametrize('kind', SOURCES)
def test_one_key_more_or_less_fails_and_is_named(kind):
    state = examples()[kind]
    before = list(state)
    assert convert(state, kind)[0]
    for key in ('extra.weight', 'blocks.x.weight', 'module.cls_token'):
        with pytest.raises(ValueError, match=rf'unexpected: {key}'):
            convert({**state, key: torch.zeros(1)}, kind)
    for key in state:
        less = {k: v for k, v in state.items() if k != key}
        with pytest.raises(ValueError, match=rf'missing: {key}\b'):
            convert(less, kind)
    assert list(state) == before


def test_all_offending_keys_are_listed():
    state = dict(golden('vit_cls_avg')[0])
    del state['blocks.1.norm1.weight'], state['cls_token']
    with pytest.raises(
        ValueError, match=r'2 unexpected: a, b; 2 missing: cls_token, blocks\.1\.norm1\.weight\.'
    ):
        convert({**state, 'a': torch.zeros(1), 'b': torch.zeros(1)}, 'fsfm-finetuned')


def test_a_missing_block_is_noticed():
    state = {k: v for k, v in golden('vit_cls_avg')[0].items() if not k.startswith('blocks.1.')}
    with pytest.raises(ValueError, match=r'12 missing: blocks\.1\.norm1\.weight'):
        convert(state, 'fsfm-finetuned')


@pytest.mark.parametrize('kind', ['fsfm-finetuned', 'fs-adapter', 'fsfm-fas', 'fs-adapter-fas'])
def test_a_head_needs_its_norm(kind):
    state = {key: value for key, value in examples()[kind].items() if 'fc_norm' not in key}
    with pytest.raises(ValueError, match='norm or fc_norm after the blocks, found neither'):
        convert(state, kind)


@pytest.mark.parametrize('kind', SOURCES)
def test_a_wrong_name_for_the_source_fails(kind):
    state = examples()[kind]
    overlapping = {'timm': 'fsfm-finetuned', 'fsfm-finetuned': 'timm'}  # the same names
    for other in SOURCES:
        if other != kind and overlapping.get(kind) != other:
            with pytest.raises(ValueError, match='the keys are not those of'):
                convert(state, other)


def test_wrong_arguments():
    state = golden('vit_cls_avg')[0]
    for source, target in (('guess', 'fsfm_mm'), ('timm', 'mae'), ('fsfm_mm', 'fsfm_mm'), ('timm', 'timm')):
        with pytest.raises(ValueError, match='cannot convert from'):
            convert(state, source, target)
    with pytest.raises(ValueError, match="no key starts with 'foo'"):
        convert(state, 'timm', drop=['foo'])
    with pytest.raises(ValueError, match=r"by themselves or under 'model'; found entries .* state_dict"):
        convert({'state_dict': state}, 'fsfm-finetuned')
    with pytest.raises(ValueError, match='found none'):
        convert({'model': {}}, 'fsfm-finetuned')


def test_two_names_for_the_same_fail():
    state = examples()['mmpretrain']
    both = {
        **state,
        'head.layers.head.weight': state['head.fc.weight'],
        'head.layers.head.bias': state['head.fc.bias'],
    }
    with pytest.raises(ValueError, match=r'several stand for the same: .*head\.fc\.weight'):
        convert(both, 'mmpretrain')


def test_summary_says_what_became_of_the_keys():
    online, _ = pretraining_states()
    _, report = convert(online, 'fsfm-pretrain')
    lines = report.summary().splitlines()
    assert lines[0] == f'fsfm-pretrain -> fsfm_mm: {len(online)} tensors renamed'
    assert 'made: target.' in lines[1] and 'no target file' in lines[1] and 'more' in lines[1]
