"""Weights as other programs leave them: wrapped names, averaged weights beside raw ones."""

import pytest
import torch
from foreign_checkpoints import build_classifier, golden, reference_checkpoint
from golden import build_tiny_fsfm, load_pretrain_golden
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage

import fsfm_mm
from fsfm_mm.checkpoints import ModelCard, convert, load_pretrained_backbone, save_checkpoint_file
from fsfm_mm.checkpoints.model_settings import plain_settings
from fsfm_mm.commands import convert as command
from fsfm_mm.files.checkpoint_weights import PREFIXES, bare_names

STACKS = [
    *(f'{prefix}.' for prefix in PREFIXES),
    'module._orig_mod.',
    '_orig_mod.module.',
    'module.model.backbone.',
    'model.encoder.',
]


def wrapped(state, stack):
    return {stack + key: value for key, value in state.items()}


@pytest.mark.parametrize('stack', STACKS)
def test_prefixes_are_taken_off_and_named(stack):
    state = golden('vit_cls_avg')[0]
    plain, _ = convert(state, 'timm')
    found, report = convert({'state_dict': wrapped(state, stack)}, 'timm')
    assert found.keys() == plain.keys() and all(found[key] is plain[key] for key in plain)
    said = report.summary()
    assert f'taken off {len(state)} of {len(state)} names' in said
    assert all(f'{word}.' in said for word in stack.split('.')[:-1])


@pytest.mark.parametrize('stack', ['module.', 'model.', '_orig_mod.module.'])
def test_names_that_begin_with_such_a_word_themselves_keep_it(stack):
    ours = build_tiny_fsfm().state_dict()
    assert (
        convert(wrapped(ours, stack), 'fsfm_mm', 'timm')[0].keys()
        == convert(ours, 'fsfm_mm', 'timm')[0].keys()
    )
    spoof = {'backbone.vit.cls_token': 0, 'backbone.vit.blocks.0.x': 1}
    assert bare_names(wrapped(spoof, stack), spoof.__contains__)[0] == spoof
    assert bare_names(spoof, spoof.__contains__) == (spoof, None)
    assert bare_names({'encoder.x': 0}, spoof.__contains__) == ({'encoder.x': 0}, None)  # of something else


def test_wrappers_within_a_name_are_taken_off():
    names = ['backbone._orig_mod.blocks.0._checkpoint_wrapped_module.norm1.weight', 'head.fc.weight']
    bare, note = bare_names(dict.fromkeys(names, 0), lambda name: name.startswith(('backbone.', 'head.')))
    assert list(bare) == ['backbone.blocks.0.norm1.weight', 'head.fc.weight']
    assert note == "'_orig_mod.' and '_checkpoint_wrapped_module.' taken off 1 of 2 names"


def test_a_file_with_two_networks_is_refused_until_one_is_left_out():
    state = {key: value for key, value in golden('vit_cls_avg')[0].items() if not key.startswith('head')}
    both = {**wrapped(state, 'encoder.'), **wrapped(state, 'model.')}
    with pytest.raises(ValueError, match=r"several networks, under 'encoder\.', 'model\.': .*--drop"):
        convert(both, 'timm')
    found, report = convert(both, 'timm', drop=['model.'])
    assert len(found) == len(state) and len(report.dropped) == len(state)


def test_parts_beside_the_prefix_are_still_named():
    state = golden('vit_cls_avg')[0]
    mixed = {**wrapped(state, 'backbone.'), 'projector.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'1 unexpected: projector\.weight'):
        convert(mixed, 'timm')
    assert convert(mixed, 'timm', drop=['projector.'])[0].keys() == convert(state, 'timm')[0].keys()


@pytest.mark.parametrize('stack', ['module.', '_orig_mod.', 'module.model.'])
def test_ours_load_with_prefixes(tmp_path, stack):
    meta = load_pretrain_golden()[1]
    model = build_tiny_fsfm()
    save_checkpoint_file({'state_dict': wrapped(model.state_dict(), stack)}, tmp_path / 'p.pth')
    backbone = build_classifier(meta).backbone
    load_pretrained_backbone(backbone, tmp_path / 'p.pth')
    assert torch.equal(backbone.pos_embed, model.backbone.pos_embed)
    state, _, meta = golden('vit_cls_avg')
    torch.save({'model': wrapped(state, stack)}, tmp_path / 'theirs.pth')
    backbone = build_classifier(meta).backbone
    load_pretrained_backbone(backbone, tmp_path / 'theirs.pth', source='timm', num_heads=meta['num_heads'])
    assert torch.equal(backbone.fc_norm.weight, state['fc_norm.weight'].float())


def test_a_checkpoint_of_a_wrapped_model_is_loaded(tmp_path):
    meta = load_pretrain_golden()[1]
    model = build_classifier(meta)
    settings = dict(
        type='ImageClassifier',
        backbone=dict(
            type='FusedAttentionViT',
            arch={key: meta[key] for key in ('embed_dim', 'depth', 'num_heads')},
            img_size=meta['img_size'],
            patch_size=meta['patch_size'],
            out_type='avg_featmap',
        ),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=meta['embed_dim']),
    )
    card = ModelCard(model=plain_settings(settings)).to_dict()
    save_checkpoint_file(
        {'state_dict': wrapped(model.state_dict(), 'module.'), 'card': card}, tmp_path / 'd.pth'
    )
    loaded, _ = fsfm_mm.load(tmp_path / 'd.pth', device='cpu')
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())


def raw_and_ema(key='state_dict_ema', raw='state_dict'):
    state = golden('vit_cls_avg')[0]
    return state, {raw: state, key: wrapped({k: v + 1 for k, v in state.items()}, 'module.')}


@pytest.mark.parametrize('key', ['state_dict_ema', 'model_ema', 'ema_state_dict'])
def test_averaged_weights_are_named_and_chosen(key):
    state, checkpoint = raw_and_ema(key)
    for weights, added in (('ema', 1), ('raw', 0), (None, 1)):  # timm loads the averaged ones
        found, report = convert(checkpoint, 'timm', weights=weights)
        assert torch.equal(found['backbone.cls_token'], state['cls_token'] + added)
        assert ('averaged (EMA)' in report.summary()) and key in report.summary()
    state, checkpoint = raw_and_ema(key, 'model')
    found, report = convert(checkpoint, 'fsfm-finetuned')  # the reference loads the raw ones
    assert torch.equal(found['backbone.cls_token'], state['cls_token'])
    assert f'the averaged (EMA) ones ({key}) are left; --weights ema' in report.summary()


def test_what_is_not_there_cannot_be_chosen():
    state, checkpoint = raw_and_ema()
    with pytest.raises(
        ValueError, match="weights='ema' were asked for, but the file has no averaged weights"
    ):
        convert({'model': state}, 'timm', weights='ema')
    with pytest.raises(ValueError, match="'ema' or 'raw', found 'best'"):
        convert(checkpoint, 'timm', weights='best')
    del checkpoint['state_dict']
    with pytest.raises(ValueError, match='no raw weights'):
        convert(checkpoint, 'timm', weights='raw')
    assert 'the file has no raw ones' in convert(checkpoint, 'timm')[1].summary()


def test_files_of_mmengines_hook_have_them_swapped(tmp_path):
    model = build_tiny_fsfm()
    averaged = ExponentialMovingAverage(model)
    for value in averaged.parameters():
        value.data.add_(1)
    hook = EMAHook()
    hook.ema_model = averaged
    checkpoint = {'state_dict': dict(model.state_dict())}
    hook.before_save_checkpoint(None, checkpoint)  # as its training writes it
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    meta = load_pretrain_golden()[1]
    for weights, added in (('ema', 1), ('raw', 0), (None, 1)):
        backbone = build_classifier(meta).backbone
        load_pretrained_backbone(backbone, tmp_path / 'epoch_1.pth', weights=weights)
        torch.testing.assert_close(backbone.cls_token, model.backbone.cls_token + added)


def test_the_command_and_the_setting(tmp_path, capsys):
    state, checkpoint = raw_and_ema('model_ema', 'model')
    torch.save(reference_checkpoint(state) | checkpoint, tmp_path / 'c.pth')
    arguments = [
        str(tmp_path / 'c.pth'),
        str(tmp_path / 'o.pth'),
        '--from',
        'fsfm-finetuned',
        '--num-heads',
        '3',
    ]
    command.main([*arguments, '--weights', 'ema'])
    assert 'the averaged (EMA) weights (model_ema) are taken' in capsys.readouterr().out
    saved = fsfm_mm.checkpoints.load_checkpoint_file(tmp_path / 'o.pth')['state_dict']
    assert torch.equal(saved['backbone.cls_token'], state['cls_token'] + 1)
    meta = golden('vit_cls_avg')[2]
    init = dict(
        type='PretrainedBackbone',
        checkpoint=str(tmp_path / 'c.pth'),
        source='fsfm-finetuned',
        num_heads=meta['num_heads'],
        weights='ema',
    )
    model = build_classifier(meta, init_cfg=init)
    model.init_weights()
    assert torch.equal(model.backbone.cls_token, (state['cls_token'] + 1).float())
