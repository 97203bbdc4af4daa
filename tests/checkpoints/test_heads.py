"""The number of heads goes with the weights: no shape shows it, and another one gives other features."""

import pytest
import timm
import torch
from foreign_checkpoints import build_classifier, sharpened
from mmpretrain.registry import MODELS

from fsfm_mm.checkpoints import ModelCard, load_pretrained_backbone, save_checkpoint_file
from fsfm_mm.checkpoints.heads import USUAL_HEADS, heads_of, usual_heads, weights_heads
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS

TINY = dict(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3)


def test_our_architectures_have_the_reference_s_heads():
    for name, (width, depth, heads) in ARCHS.items():
        if name != 'tiny':
            assert USUAL_HEADS['fsfm-pretrain'][width, depth] == heads
    assert (384, 12) not in USUAL_HEADS['fsfm_mm']


def test_the_table_for_timm_is_timm_s_own(monkeypatch):
    """Every ViT that timm has of such a width and depth, and with names that are converted, has these heads."""
    monkeypatch.setattr(
        timm.models.vision_transformer,
        '_create_vision_transformer',
        lambda variant, pretrained=False, **kwargs: kwargs,
    )
    found = {}
    for name in timm.list_models(module='vision_transformer'):
        args = timm.models.model_entrypoint(name)()
        size = args.get('embed_dim', 768), args.get('depth', 12)
        if args.get('class_token', True):
            found.setdefault(size, set()).add(args.get('num_heads', 12))
    assert {size: {heads} for size, heads in USUAL_HEADS['timm'].items()}.items() <= found.items()


def test_the_table_for_mmpretrain_is_mmpretrain_s_own():
    from mmpretrain.models.backbones import VisionTransformer
    from mmpretrain.models.selfsup import MoCoV3ViT

    with torch.device('meta'):
        moco = heads_of(MoCoV3ViT(arch='mocov3-small', patch_size=16))
    found = {(384, 12): {moco}}
    for arch in VisionTransformer.arch_zoo.values():
        found.setdefault((arch['embed_dims'], arch['num_layers']), set()).add(arch['num_heads'])
    assert found[384, 12] == {6, 12} and (384, 12) not in USUAL_HEADS['mmpretrain']
    assert {size: {heads} for size, heads in USUAL_HEADS['mmpretrain'].items()}.items() <= found.items()


def test_heads_of_backbones():
    backbone = dict(type='VisionTransformer', arch='deit-tiny', img_size=32)
    assert heads_of(MODELS.build(backbone)) == 3
    assert heads_of(build_classifier(TINY).backbone) == 3
    assert heads_of(torch.nn.Linear(1, 1)) is None


@pytest.fixture
def twelve(tmp_path):
    """A file whose card says 12 heads, and its model."""
    model = sharpened(build_classifier({**TINY, 'num_heads': 12}))
    path = tmp_path / 'twelve.pth'
    save_checkpoint_file({'state_dict': model.state_dict(), 'card': {'num_heads': 12}}, path)
    return path, model


def test_another_number_is_refused_and_changes_nothing(twelve):
    path, model = twelve
    backbone = build_classifier(TINY).backbone
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    setting = r'model\.backbone\.arch=dict\(embed_dim=48, depth=2, num_heads=12\)'
    with pytest.raises(
        ValueError, match=rf'twelve\.pth has weights of 12 .*, but the backbone has 3; .*{setting}'
    ):
        load_pretrained_backbone(backbone, path)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    with pytest.raises(ValueError, match='card says num_heads 12, but by num_heads it is 3'):
        load_pretrained_backbone(backbone, path, num_heads=3)
    # what would have happened in silence: all keys match, and the features are others
    backbone.load_state_dict(model.backbone.state_dict(), strict=True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        right, wrong = (network.eval()(images)[0] for network in (model.backbone, backbone))
    assert torch.nn.functional.cosine_similarity(right, wrong).max() < 0.9


def test_a_name_stands_for_the_number_where_there_is_one(tmp_path):
    with torch.device('meta'):
        backbone = MODELS.build(
            dict(type='FusedAttentionViT', arch=dict(embed_dim=384, depth=12, num_heads=6))
        )
    backbone.load_state_dict = None  # never reached
    save_checkpoint_file(
        {'state_dict': {'backbone.cls_token': torch.zeros(1)}, 'card': {'num_heads': 12}}, tmp_path / 'a'
    )
    with pytest.raises(ValueError, match=r"set model\.backbone\.arch='small'\."):
        load_pretrained_backbone(backbone, tmp_path / 'a')


@pytest.mark.parametrize(
    'kind, heads', [('fsfm-pretrain', 12), ('timm', 6), ('mmpretrain', None), ('fsfm_mm', None)]
)
def test_a_small_vit(kind, heads):
    with torch.device('meta'):
        vit = MODELS.build(dict(type='FusedAttentionViT', arch='small'))
    state = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    assert usual_heads(kind, state) == usual_heads(kind, vit.state_dict()) == heads
    card = ModelCard(source='converted from mmpretrain: a.pth')
    with pytest.raises(ValueError, match=r'a\.pth: nothing says how many .* width 384 have.*Give num_heads'):
        weights_heads(card, state, None, 'a.pth')
    assert weights_heads(card, state, 6, 'a.pth') == 6
