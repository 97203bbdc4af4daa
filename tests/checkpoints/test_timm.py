"""Ours in timm and timm's here: the same features under attention as trained networks have it, or a refusal."""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from foreign_checkpoints import build_classifier, sharpened
from mmpretrain.registry import MODELS
from PIL import Image
from timm.models import save_for_hf

import fsfm_mm.components  # noqa: F401  # registers our sizes in timm
from fsfm_mm.checkpoints import (
    ModelCard,
    convert,
    convert_file,
    load_checkpoint_file,
    read_card,
    save_checkpoint_file,
    timm_files,
)
from fsfm_mm.checkpoints.convert_files import card_of
from fsfm_mm.checkpoints.timm_models import TIMM_NAMES
from fsfm_mm.commands import convert as command
from fsfm_mm.datasets.transforms import ResizeFace
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS

STATISTICS = dict(mean=[0.5, 0.4, 0.3], std=[0.3, 0.2, 0.1])
FORMS = ['vit.pth', 'vit.safetensors', 'vit']
#: Two blocks of FS-VFM's width S under both numbers of heads.
SMALL = dict(img_size=32, patch_size=16, embed_dim=384, depth=2, num_heads=12)


def images(side=32):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def outputs(model, x):
    """(features, logits) of our classifier or a ViT of timm."""
    if hasattr(model, 'extract_feat'):
        features = model.extract_feat(x)[-1]
        return features, model(x, mode='tensor') if model.with_head else features
    features = model.eval().forward_head(model.forward_features(x), pre_logits=True)
    return features, model(x)


def assert_equal_outputs(a, b, x):
    for one, other in zip(outputs(a, x), outputs(b, x)):
        assert torch.allclose(one, other, rtol=0, atol=1e-5), (one - other).abs().max()


def without_head(model):
    model.head = None
    return model


def classifier(sizes, out_type, has_head=True):
    """A classifier whose features have a scale of one, as trained ones have it."""
    model = sharpened(build_classifier(sizes, out_type))
    return model if has_head else without_head(model)


def saved(model, path, heads, /, **card):
    save_checkpoint_file(
        {'state_dict': model.state_dict(), 'card': {**STATISTICS, 'num_heads': heads, **card}}, path
    )
    return path


def in_timm(out, name, **arguments):
    """An export as a user of timm loads it."""
    if out.suffix == '':
        return timm.create_model(f'local-dir:{out}', pretrained=True)
    return timm.create_model(name, checkpoint_path=out, pretrained_cfg_overlay=STATISTICS, **arguments)


def test_every_size_is_known_to_timm():
    assert timm.list_models('fsfm_*') == sorted(TIMM_NAMES.values()) and set(TIMM_NAMES) == set(ARCHS)
    for arch, name in TIMM_NAMES.items():
        with torch.device('meta'):
            model = timm.create_model(name)
        assert (model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads) == ARCHS[arch]
        assert model.patch_embed.patch_size == ((14, 14) if arch == 'huge' else (16, 16))
        assert model.patch_embed.img_size == (224, 224)


@pytest.mark.parametrize('arch', ARCHS)
def test_every_width_out_and_in_again(arch, tmp_path):
    """One block of each size: its heads, patches and names; the depth is timm's argument."""
    width, _, heads = ARCHS[arch]
    patch = 14 if arch == 'huge' else 16
    sizes = dict(img_size=2 * patch, patch_size=patch, embed_dim=width, depth=1, num_heads=heads)
    model = sharpened(build_classifier(sizes, mlp_ratio=1.0))
    src, out = saved(model, tmp_path / 'ours.pth', heads, input_size=2 * patch), tmp_path / 'vit.safetensors'
    convert_file(src, out, 'fsfm_mm', 'timm')
    theirs = in_timm(out, TIMM_NAMES[arch], depth=1, img_size=2 * patch, mlp_ratio=1.0)
    assert_equal_outputs(model, theirs, images(2 * patch))
    card, _ = convert_file(out, tmp_path / 'again.pth', 'timm')
    assert (card.num_heads, card.patch_size, card.input_size) == (heads, patch, 2 * patch)
    again = build_classifier(sizes, mlp_ratio=1.0)
    again.load_state_dict(load_checkpoint_file(tmp_path / 'again.pth')['state_dict'], strict=True)
    assert_equal_outputs(model, again, images(2 * patch))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('has_head', [True, False])
@pytest.mark.parametrize('out_type', ['avg_featmap', 'cls_token'])
def test_every_form_and_head(form, has_head, out_type, tmp_path):
    model = classifier(SMALL, out_type, has_head)
    src, out = (
        saved(model, tmp_path / 'ours.pth', 12, classes=['fake', 'real'], input_size=32),
        tmp_path / form,
    )
    card, report = convert_file(src, out, 'fsfm_mm', 'timm')
    theirs = in_timm(out, 'fsfm_vit_small_patch16_224', img_size=32, depth=2)
    assert theirs.num_classes == (2 if has_head else 0)
    assert theirs.global_pool == ('avg' if out_type == 'avg_featmap' else 'token')
    assert_equal_outputs(model, theirs, images())
    data = timm.data.resolve_model_data_config(theirs)
    assert list(data['mean']) == STATISTICS['mean'] and list(data['std']) == STATISTICS['std']
    # a picture that is no square, as our pipelines resize it and as timm does for this model
    picture = Image.fromarray(np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8))
    made = timm.data.create_transform(
        **{**data, 'input_size': (3, 32, 32), 'mean': (0,) * 3, 'std': (1,) * 3}
    )
    ours = ResizeFace(32).transform(dict(img=np.asarray(picture)))['img'].astype(int)
    assert np.abs(255 * made(picture).permute(1, 2, 0).numpy() - ours).max() <= 2
    if form == 'vit':
        assert tuple(data['input_size']) == (3, 32, 32)
        labels = json.loads((out / 'config.json').read_text()).get('label_names')
        assert labels == (['fake', 'real'] if has_head else None)
        # what no key tells
        wrong = timm.create_model(f'local-dir:{out}', pretrained=True, num_heads=6)
        features = [outputs(network, images())[0] for network in (model, wrong)]
        assert torch.nn.functional.cosine_similarity(*features).max() < 0.9
    read, _ = convert_file(out, tmp_path / 'again.pth', 'timm') if form != 'vit' else (card, None)
    assert read.num_heads == 12 and read.mean == tuple(STATISTICS['mean'])
    # the printed line makes the same network
    line = report.notes[-1].partition('  #')[0]
    assert_equal_outputs(model, eval(line, {'timm': timm}), images())


def test_the_line_for_our_small_vit_and_for_one_with_six_heads():
    with torch.device('meta'):
        state = timm.create_model('fsfm_vit_small_patch16_224').state_dict()
    cards = [ModelCard(**STATISTICS, input_size=224, num_heads=heads) for heads in (12, 6)]
    lines = [
        timm_files.create_call(timm_files.timm_config(state, card), Path('v.pth')).partition('  #')[0]
        for card in cards
    ]
    assert lines[0] == (
        "timm.create_model('fsfm_vit_small_patch16_224', checkpoint_path='v.pth', "
        'pretrained_cfg_overlay=dict(mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1)))'
    )
    assert lines[1].startswith("timm.create_model('vit_small_patch16_224', checkpoint_path='v.pth', ")
    assert 'num_heads=6' in lines[1] and "crop_mode='squash'" in lines[1]


@pytest.mark.filterwarnings('ignore:.torch.jit')
def test_our_sizes_are_scripted_and_copied_like_timm_s():
    model = timm.create_model('fsfm_vit_tiny_patch16_224', depth=1, img_size=32, scriptable=True).eval()
    assert torch.equal(torch.jit.script(model)(images()), model(images()))
    assert copy.deepcopy(model).head_is_open


def test_the_caller_of_create_model_is_kept(tmp_path):
    model = classifier(SMALL, 'avg_featmap')
    convert_file(saved(model, tmp_path / 'a.pth', 12), tmp_path / 'vit.pth', 'fsfm_mm', 'timm')
    name, sizes = 'fsfm_vit_small_patch16_224', dict(img_size=32, depth=2)
    for wrong in (dict(num_classes=5), dict(global_pool='token')):
        with pytest.raises(RuntimeError, match=r'head\.weight|fc_norm'):
            in_timm(tmp_path / 'vit.pth', name, **sizes, **wrong)
    with pytest.warns(UserWarning, match=r'pretrained_cfg_overlay=dict\(mean=\.\.\., std=\.\.\.\)'):
        timm.create_model(name, checkpoint_path=tmp_path / 'vit.pth', **sizes)


def test_what_timm_would_make_up_is_asked_for(tmp_path):
    model = classifier(SMALL, 'avg_featmap')
    save_checkpoint_file({'state_dict': model.state_dict()}, tmp_path / 'bare.pth')
    out = tmp_path / 'vit.pth'
    with pytest.raises(
        ValueError, match=r'how many attention heads these weights of width 384 have.*--num-heads'
    ):
        convert_file(tmp_path / 'bare.pth', out, 'fsfm_mm', 'timm')
    with pytest.raises(
        ValueError, match=r'nothing says mean, std of these weights.* --card mean=\.\.\. std='
    ):
        convert_file(tmp_path / 'bare.pth', out, 'fsfm_mm', 'timm', facts=dict(num_heads=12))
    src = saved(model, tmp_path / 'ours.pth', 12)
    with pytest.raises(ValueError, match='says num_heads 12, but in what was given it is 6'):
        convert_file(src, out, 'fsfm_mm', 'timm', facts=dict(num_heads=6))
    with pytest.raises(SystemExit, match='says num_heads 12, but in what was given it is 6'):
        command.main([str(src), str(out), '--from', 'fsfm_mm', '--to', 'timm', '--num-heads', '6'])
    assert not out.exists()
    out_dir = tmp_path / 'run'
    out_dir.mkdir()
    (out_dir / 'epoch_1.pth').write_bytes(src.read_bytes())
    assert command.main([str(out_dir), str(tmp_path / 'of_run'), '--from', 'fsfm_mm', '--to', 'timm']) == 0
    both = build_classifier(SMALL, 'avg_featmap', final_norm=True)
    with pytest.raises(ValueError, match='this backbone has two'):
        convert_file(saved(both, src, 12), out, 'fsfm_mm', 'timm')


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(out_type='featmap'), r"out_type='featmap'"),
        (dict(out_indices=[0]), r'out_indices=\[0\]'),
    ],
)
def test_a_head_on_other_features_stays_here(change, words, tmp_path):
    model = classifier(SMALL, 'cls_token')
    settings = dict(type='ImageClassifier', backbone=dict(type='FusedAttentionViT', **change))
    src = saved(model, tmp_path / 'ours.pth', 12, model=settings)
    with pytest.raises(ValueError, match=rf'the model was trained with {words}, .*--drop head'):
        convert_file(src, tmp_path / 'vit.pth', 'fsfm_mm', 'timm')
    convert_file(src, tmp_path / 'vit.pth', 'fsfm_mm', 'timm', drop=['head.'])


# timm's files here ----------------------------------------------------------------------------------------


def test_a_small_vit_of_timm(tmp_path):
    """Six heads, without a word from the user; a config with our twelve does not get it."""
    theirs = sharpened(
        timm.create_model('vit_small_patch16_224', img_size=32, num_classes=2, global_pool='avg')
    )
    torch.save(theirs.state_dict(), tmp_path / 'vit.pth')
    card, report = convert_file(tmp_path / 'vit.pth', tmp_path / 'ours.pth', 'timm')
    assert (
        card.num_heads == 6
        and '6 attention heads, as timm has them at width 384; --num-heads' in report.summary()
    )
    ours = build_classifier({**SMALL, 'depth': 12, 'num_heads': card.num_heads})
    ours.load_state_dict(load_checkpoint_file(tmp_path / 'ours.pth')['state_dict'], strict=True)
    assert_equal_outputs(ours, theirs, images())
    wrong = build_classifier({**SMALL, 'depth': 12})
    wrong.load_state_dict(ours.state_dict(), strict=True)
    features = [outputs(model, images())[0] for model in (theirs, wrong)]
    assert torch.nn.functional.cosine_similarity(*features).max() < 0.9
    # MoCo v3's in the names of DeiT: nothing in the file contradicts
    card = card_of({}, theirs.state_dict(), 'timm', tmp_path / 'vit.pth', dict(num_heads=12))
    assert card.num_heads == 12


TINY = dict(img_size=32, patch_size=8, embed_dim=48, depth=2, num_classes=2, global_pool='avg')


def tiny(**changes):
    return sharpened(timm.create_model('vit_tiny_patch16_224', **{**TINY, 'num_heads': 4, **changes}))


def test_a_folder_of_timm(tmp_path):
    theirs = tiny()
    labels = dict(label_names=['real', 'fake'])
    save_for_hf(theirs, tmp_path / 'hub', safe_serialization=True, model_config=labels)
    card, report = convert_file(tmp_path / 'hub', tmp_path / 'ours.pth', 'timm')
    assert (
        len(report.notes) == 1 and "timm's crop_pct=0.9, crop_mode='center'; ResizeFace" in report.summary()
    )
    assert card.classes == ('real', 'fake')
    assert card.num_heads == 4 and card.mean == theirs.pretrained_cfg['mean'] and card.input_size == 32
    ours = build_classifier({**TINY, 'num_heads': 4})
    ours.load_state_dict(load_checkpoint_file(tmp_path / 'ours.pth')['state_dict'], strict=True)
    assert_equal_outputs(ours, theirs, images())
    built = MODELS.build(card.model).eval()
    built.load_state_dict(ours.state_dict(), strict=True)
    assert_equal_outputs(built, theirs, images())
    with pytest.raises(ValueError, match='says num_heads 4, but in what was given it is 3'):
        convert_file(tmp_path / 'hub', tmp_path / 'no.pth', 'timm', facts=dict(num_heads=3))
    src, out = str(tmp_path / 'hub'), str(tmp_path / 'by_command.pth')
    assert command.main([src, out, '--from', 'timm']) == 0 and read_card(out).num_heads == 4
    (tmp_path / 'hub' / 'model.safetensors').unlink()
    with pytest.raises(ValueError, match='is a folder without weights: expected one of model'):
        convert_file(tmp_path / 'hub', tmp_path / 'no.pth', 'timm')
    (tmp_path / 'hub' / 'config.json').write_text('[')
    torch.save(theirs.state_dict(), tmp_path / 'hub' / 'model.pth')
    with pytest.raises(ValueError, match=r'config\.json: cannot be read as JSON'):
        convert_file(tmp_path / 'hub', tmp_path / 'no.pth', 'timm')


def trained(model, **args):
    """What timm's training script saves."""
    sizes = {key: value for key, value in TINY.items() if key not in ('num_classes', 'global_pool')}
    kwargs = {**sizes, 'num_heads': 4, 'num_classes': 2, 'global_pool': 'avg', **args}
    namespace = argparse.Namespace(
        model='vit_tiny_patch16_224', model_kwargs=kwargs, mean=[0.5] * 3, std=[0.25] * 3
    )
    return {'arch': 'vit_tiny_patch16_224', 'args': namespace, 'state_dict': model.state_dict(), 'epoch': 1}


def test_a_checkpoint_of_timm_s_training(tmp_path):
    theirs, averaged = tiny(), sharpened(tiny(), seed=5)
    content = {**trained(theirs), 'state_dict_ema': averaged.state_dict()}
    torch.save(content, tmp_path / 'last.pth')
    card, _ = convert_file(tmp_path / 'last.pth', tmp_path / 'ours.pth', 'timm')
    assert (card.num_heads, card.mean, card.std) == (4, (0.5,) * 3, (0.25,) * 3)
    # timm loads the averaged weights where there are any
    kept = load_checkpoint_file(tmp_path / 'ours.pth')['state_dict']['backbone.cls_token']
    assert torch.equal(kept, averaged.cls_token)


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(act_layer='quick_gelu'), 'its activation is QuickGELU'),
        (dict(fc_norm=False), "its head stands on global_pool='avg' of tokens with norm"),
        (
            dict(global_pool='token', fc_norm=True),
            "its head stands on global_pool='token' of tokens without norm",
        ),
        (dict(pool_include_prefix=True), "its head stands on global_pool='avg'"),
    ],
)
def test_what_no_key_shows_is_refused_where_the_file_says_it(change, words, tmp_path):
    theirs = tiny(**change)
    torch.save(trained(theirs, **change), tmp_path / 'last.pth')
    with pytest.raises(ValueError, match=f'would give other features here: {words}'):
        convert_file(tmp_path / 'last.pth', tmp_path / 'ours.pth', 'timm')
    assert not (tmp_path / 'ours.pth').exists()


def test_another_epsilon_is_found():
    model = tiny()
    model.blocks[1].norm2.eps = 1e-5
    assert timm_files._differences(model, has_head=True) == ['its LayerNorm has eps 1e-05, ours 1e-06']


def test_arguments_of_another_network_are_refused(tmp_path):
    torch.save(trained(tiny(depth=1)), tmp_path / 'last.pth')
    with pytest.raises(
        ValueError, match=r'of width 48 and 2 blocks, but its weights have width 48 and 1 blocks'
    ):
        convert_file(tmp_path / 'last.pth', tmp_path / 'ours.pth', 'timm')


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(no_embed_class=True), 'has 16 places, a square grid without one for the class token'),
        (dict(reg_tokens=4), r'unexpected: .*reg_token'),
        (dict(pre_norm=True), r'unexpected: .*norm_pre'),
        (dict(class_token=False), r'missing: .*cls_token'),
        (dict(init_values=0.1), r'unexpected: .*ls1\.gamma'),
        (dict(qk_norm=True), r'unexpected: .*q_norm'),
        (dict(proj_bias=False), r'missing: .*proj\.bias'),
    ],
)
def test_another_network_is_refused_by_its_keys(change, words):
    with pytest.raises(ValueError, match=words):
        convert(tiny(**change).state_dict(), 'timm')


def test_patches_that_are_a_linear_layer_or_no_square_are_refused():
    state = tiny().state_dict()
    for patches in (state['patch_embed.proj.weight'].flatten(1), torch.zeros(48, 3, 8, 4)):
        with pytest.raises(ValueError, match=r'must be \(width, channels, side, side\), found \(48'):
            convert({**state, 'patch_embed.proj.weight': patches}, 'timm')
