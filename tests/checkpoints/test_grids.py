"""Positions and patches of another grid: resampled where the weights' own grid is known, refused where it is not."""

import argparse

import pytest
import timm
import torch
import torch.nn.functional as F
from foreign_checkpoints import build_classifier, sharpened
from mmengine.config import Config
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from timm.models.vision_transformer import checkpoint_filter_fn

import fsfm_mm
import fsfm_mm.components  # looks at what mmengine loads
from fsfm_mm.apis.loading import load_checked
from fsfm_mm.checkpoints import (
    ModelCard,
    convert,
    convert_file,
    load_checkpoint_file,
    load_pretrained_backbone,
    save_checkpoint_file,
)
from fsfm_mm.checkpoints.encoder_settings import settings_from_encoder
from fsfm_mm.checkpoints.grids import read_grid
from fsfm_mm.commands import convert as command

STATISTICS = dict(mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1))


def classifier(grid, patch=8, **changes):
    sizes = dict(embed_dim=32, depth=1, num_heads=2, patch_size=patch)
    return sharpened(build_classifier({**sizes, 'img_size': tuple(patch * side for side in grid)}, **changes))


def saved(network, path, **card):
    card = ModelCard(num_heads=2, **STATISTICS, **card).to_dict()
    save_checkpoint_file({'state_dict': network.state_dict(), 'card': card}, path)
    return path


def theirs(model, path):
    """The same weights as timm has them, without a word on what they are."""
    torch.save(convert(model.state_dict(), 'fsfm_mm', 'timm')[0], path)
    return path


def resampled(model, old, new):
    return resize_pos_embed(model.backbone.pos_embed, old, new, 'bicubic', 1)


CASES = [
    ((12, 12), (8, 18)),
    ((14, 10), (10, 14)),
    ((14, 10), (14, 14)),
    ((8, 18), (12, 12)),
    ((8, 18), (6, 6)),
]


@pytest.mark.parametrize(('old', 'new'), CASES)
def test_positions_follow_the_grid_that_card_or_caller_states(tmp_path, old, new):
    model = classifier(old)
    expected = resampled(model, old, new)
    size = tuple(8 * side for side in old)
    path = saved(model, tmp_path / 'card.pth', input_size=size, patch_size=8)
    target = classifier(new).backbone
    load_pretrained_backbone(target, path)
    assert torch.equal(target.pos_embed, expected)
    target = classifier(new).backbone
    load_pretrained_backbone(
        target, theirs(model, tmp_path / 'timm.pth'), 'timm', num_heads=2, grid=f'{old[0]}x{old[1]}'
    )
    assert torch.equal(target.pos_embed, expected)


@pytest.mark.parametrize(
    ('old', 'new', 'sentence'),
    [
        ((12, 12), (8, 18), 'nothing says how the 144 patches .* this model has 8x18: state rows x columns'),
        ((14, 10), (10, 14), 'nothing says how the 140 patches'),
        ((14, 10), (14, 14), r'another shape: pos_embed \(1, 141, 32\) instead of .* \(state rows x columns'),
    ],
)
def test_without_a_word_nothing_is_guessed(tmp_path, old, new, sentence):
    path = tmp_path / 'plain.pth'
    save_checkpoint_file({'state_dict': classifier(old).state_dict()}, path)
    target = classifier(new).backbone
    before = target.pos_embed.clone()
    with pytest.raises(ValueError, match=sentence) as error:
        load_pretrained_backbone(target, path)
    assert len(str(error.value).replace(str(path), 'plain.pth')) <= 300
    assert torch.equal(target.pos_embed, before)


def test_a_stated_grid_is_compared(tmp_path):
    model = classifier((14, 10))
    path = saved(model, tmp_path / 'card.pth', input_size=(112, 80), patch_size=8)
    target = classifier((14, 14)).backbone
    with pytest.raises(ValueError, match='patches of 14x10 by its card, not of 10x14'):
        load_pretrained_backbone(target, path, grid=(10, 14))
    with pytest.raises(ValueError, match='position table of 140 patches, which a grid of 12x12 is not'):
        load_pretrained_backbone(target, path, grid='12x12')
    with pytest.raises(ValueError, match='rows x columns of patches, as in 14x10'):
        read_grid('14*10')
    assert read_grid([14, 10]) == read_grid('14x10') == (14, 10) and read_grid(None) is None


def test_a_converted_file_keeps_the_grid(tmp_path, capsys):
    model = classifier((14, 10))
    source = theirs(model, tmp_path / 'timm.pth')
    arguments = [str(source), str(tmp_path / 'o.pth'), '--from', 'timm', '--num-heads', '2']
    arguments += ['--card', 'mean=[0.5,0.4,0.3]', 'std=[0.3,0.2,0.1]']
    command.main(arguments)
    assert 'how its 140 patches lie is not known: --grid' in capsys.readouterr().out
    command.main([*arguments, '--grid', '14x10', '--overwrite'])
    loaded, card = fsfm_mm.load(tmp_path / 'o.pth', device='cpu')
    assert card.input_size == (112, 80) and loaded.backbone.grid == (14, 10)
    x = torch.randn(2, 3, 112, 80)
    torch.testing.assert_close(loaded(x), model(x))
    with pytest.raises(SystemExit, match='140 patches, which a grid of 10x10 is not'):
        command.main([*arguments, '--grid', '10x10', '--overwrite'])
    with pytest.raises(SystemExit, match='140 patches, which a grid of 28x28 is not'):
        command.main([*arguments, 'input_size=[224,224]', '--overwrite'])


def test_a_square_count_may_be_another_grid_when_it_is_said(tmp_path):
    source = theirs(classifier((8, 18)), tmp_path / 'timm.pth')
    facts = dict(num_heads=2)
    assert convert_file(source, tmp_path / 'a.pth', 'timm', facts=facts)[0].input_size == 96
    card, _ = convert_file(source, tmp_path / 'b.pth', 'timm', facts=facts, grid=(8, 18))
    assert card.input_size == (64, 144)


def test_a_size_that_wins_over_the_card_does_not_scramble_positions(tmp_path):
    model = classifier((12, 12))
    settings = dict(
        type='ImageClassifier',
        backbone=dict(
            type='FusedAttentionViT',
            arch=dict(embed_dim=32, depth=1, num_heads=2),
            img_size=96,
            patch_size=8,
            out_type='avg_featmap',
        ),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=32),
    )
    path = saved(model, tmp_path / 'd.pth', input_size=96, patch_size=8, model=settings)
    loaded = load_checked(path, typed={'backbone.img_size': [64, 144]}, override=True, device='cpu').model
    assert loaded.backbone.grid == (8, 18)
    assert torch.equal(loaded.backbone.pos_embed, resampled(model, (12, 12), (8, 18)))


def test_timms_training_says_its_grid(tmp_path):
    network = timm.create_model('vit_tiny_patch16_224', depth=1, img_size=(128, 288), num_classes=0)
    kwargs = dict(depth=1, img_size=(128, 288), num_classes=0)
    args = argparse.Namespace(model='vit_tiny_patch16_224', model_kwargs=kwargs)
    torch.save(
        {'state_dict': network.state_dict(), 'arch': 'vit_tiny_patch16_224', 'args': args}, tmp_path / 'l.pth'
    )
    card, _ = convert_file(tmp_path / 'l.pth', tmp_path / 'o.pth', 'timm')
    assert card.input_size == (128, 288)
    with pytest.raises(ValueError, match=r'input_size'):
        convert_file(tmp_path / 'l.pth', tmp_path / 'o.pth', 'timm', grid=(12, 12))


@pytest.mark.parametrize(('old', 'new'), [((12, 12), (8, 18)), ((8, 18), (6, 6))])
def test_mmengines_own_way_is_refused_where_it_would_take_one_grid_for_another(tmp_path, old, new):
    path = saved(classifier(old), tmp_path / 'e.pth', input_size=tuple(8 * s for s in old), patch_size=8)
    init = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    preprocessor = dict(
        type='FaceClsDataPreprocessor', **{k: [255 * v for v in x] for k, x in STATISTICS.items()}
    )
    sizes = dict(embed_dim=32, depth=1, num_heads=2)
    model = dict(
        type='ImageClassifier',
        data_preprocessor=preprocessor,
        backbone=dict(
            type='FusedAttentionViT',
            arch=sizes,
            img_size=tuple(8 * s for s in new),
            patch_size=8,
            out_type='avg_featmap',
            init_cfg=init,
        ),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=32),
    )
    with pytest.raises(
        ValueError, match=rf'patches of {old[0]}x{old[1]} and this backbone of {new[0]}x{new[1]}'
    ):
        MODELS.build(model).init_weights()
    init['type'] = 'PretrainedBackbone'
    del init['prefix']
    MODELS.build(model).init_weights()


@pytest.mark.parametrize('side', [14, 8, 28])
def test_patches_are_resampled_on_request_as_timm_does_it(tmp_path, side):
    sizes = dict(img_size=112, patch_size=16, embed_dim=32, depth=1, num_heads=2)
    model = sharpened(build_classifier(sizes))
    path = theirs(model, tmp_path / 'timm.pth')
    network = timm.create_model(
        'vit_tiny_patch16_224',
        depth=1,
        embed_dim=32,
        num_heads=2,
        img_size=112,
        patch_size=side,
        num_classes=0,
    )
    state = {key: value for key, value in torch.load(path).items() if not key.startswith('head')}
    expected = checkpoint_filter_fn(state, network, interpolation='bicubic')
    card, report = convert_file(
        path, tmp_path / 'o.pth', 'timm', facts=dict(num_heads=2, **STATISTICS), patch_size=side
    )
    found = load_checkpoint_file(tmp_path / 'o.pth')['state_dict']
    torch.testing.assert_close(found['backbone.patch_embed.proj.weight'], expected['patch_embed.proj.weight'])
    assert found['backbone.pos_embed'].shape == expected['pos_embed'].shape
    assert (card.patch_size, card.input_size) == (side, 112) and f'resampled to {side}' in report.summary()
    assert fsfm_mm.load(tmp_path / 'o.pth', device='cpu')[0].backbone.grid == (112 // side,) * 2
    patch = torch.randn(4, 3, 16, 16)
    larger = F.interpolate(patch, (side, side), mode='bicubic', antialias=True)
    tokens = F.conv2d(larger, found['backbone.patch_embed.proj.weight'])
    like = F.cosine_similarity(
        tokens.flatten(1), F.conv2d(patch, state['patch_embed.proj.weight']).flatten(1)
    )
    assert like.min() > (0.999 if side > 16 else 0.3)
    target = build_classifier({**sizes, 'patch_size': side}).backbone
    load_pretrained_backbone(target, path, 'timm', num_heads=2, patch_size=side)
    assert torch.equal(target.pos_embed, found['backbone.pos_embed'])


def test_patches_that_cannot_be_resampled_are_refused(tmp_path):
    path = theirs(classifier((14, 10)), tmp_path / 'timm.pth')
    facts = dict(num_heads=2)
    with pytest.raises(ValueError, match='nothing says how the 140 patches'):
        convert_file(path, tmp_path / 'o.pth', 'timm', facts=facts, patch_size=4)
    with pytest.raises(ValueError, match=r'pictures of 112x80, .* no whole patches of 6 pixels'):
        convert_file(path, tmp_path / 'o.pth', 'timm', facts=facts, patch_size=6, grid='14x10')
    card, _ = convert_file(path, tmp_path / 'o.pth', 'timm', facts=facts, patch_size=4, grid='14x10')
    assert (card.input_size, card.patch_size) == ((112, 80), 4)


def test_a_config_follows_an_encoder_with_other_patches_and_grids(tmp_path):
    path = theirs(classifier((14, 10)), tmp_path / 'timm.pth')
    config = Config.fromfile('configs/deepfake/demo_generated.py')
    config.model.backbone.init_cfg = dict(
        type='PretrainedBackbone',
        checkpoint=str(path),
        source='timm',
        num_heads=2,
        grid='14x10',
        patch_size=16,
    )
    config.model.data_preprocessor = dict(type='FaceClsDataPreprocessor', stats='imagenet', num_classes=2)
    typed = {'model.data_preprocessor.stats': 'imagenet'}
    init = dict(config.model.backbone.init_cfg)
    with pytest.raises(ValueError, match=r'pictures of 112x80, .* no whole patches of 12 pixels'):
        config.model.backbone.init_cfg = {**init, 'patch_size': 12}
        settings_from_encoder(config, typed)
    config.model.backbone.init_cfg = init
    settings_from_encoder(config, typed)
    backbone = MODELS.build({**config.model.backbone})
    assert (backbone.grid, backbone.patch_size, backbone.img_size) == ((7, 5), 16, (112, 80))
    backbone.init_weights()
