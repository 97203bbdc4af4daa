"""The backbone's outputs, masks, positions, freezing and layer-wise learning rates."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from fsfm_mm.engine.optim import parameter_groups
from fsfm_mm.models.backbones.fused_attention_vit import resolve_arch
from fsfm_mm.ops.patches import patchify, split_mask

ARCH = dict(embed_dim=16, depth=3, num_heads=2)
CLOSE = dict(rtol=1e-10, atol=1e-10)
LAYER_DECAY = Path(__file__).parents[1] / 'data' / 'layer_decay_depth12.json'


def build(**options):
    """A 4x4 grid of 4-pixel patches, with weights far from their start."""
    config = dict(type='FusedAttentionViT', arch=ARCH, img_size=16, patch_size=4)
    vit = MODELS.build({**config, **options}).double()
    for name, parameter in vit.named_parameters():
        if name != 'pos_embed':
            nn.init.normal_(parameter, std=0.3)
    return vit


def images(height=16, width=16):
    return torch.randn(2, 3, height, width, dtype=torch.float64)


def resized(table, grid, new_grid):
    """Bicubic in float32, the class token's row kept."""
    patches = table[:, 1:].reshape(1, *grid, -1).permute(0, 3, 1, 2).float()
    patches = F.interpolate(patches, size=new_grid, mode='bicubic', align_corners=False)
    return torch.cat([table[:, :1], patches.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)


def embedded(vit, x, table=None):
    """[class, patches] by the convolution, positions added."""
    table = vit.pos_embed if table is None else table
    patches = vit.patch_embed.proj(x).flatten(2).transpose(1, 2) + table[:, 1:]
    return torch.cat([(vit.cls_token + table[:, :1]).repeat(len(x), 1, 1), patches], dim=1)


def block_outputs(vit, tokens, final_norm=True):
    outputs = []
    for block in vit.blocks:
        tokens = block(tokens)
        outputs.append(tokens)
    if final_norm:
        outputs[-1] = vit.norm(outputs[-1])
    return outputs


def formatted(vit, tokens, out_type, grid):
    if out_type == 'raw':
        return tokens
    if out_type == 'cls_token':
        return tokens[:, 0]
    if out_type == 'avg_featmap':
        return vit.fc_norm(tokens[:, 1:].sum(dim=1) / (tokens.shape[1] - 1))
    rows = [tokens[:, 1 + r * grid[1] : 1 + (r + 1) * grid[1]] for r in range(grid[0])]
    return torch.stack(rows, dim=1).permute(0, 3, 1, 2)


@pytest.mark.parametrize('final_norm', [None, True, False])
@pytest.mark.parametrize('out_indices', [-1, 0, (0, 2), (-3, -2, -1)])
@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'featmap', 'avg_featmap'])
def test_every_output(out_type, out_indices, final_norm):
    vit = build(out_type=out_type, out_indices=out_indices, final_norm=final_norm, img_size=(8, 16))
    norm = out_type != 'avg_featmap' if final_norm is None else final_norm
    assert hasattr(vit, 'norm') is norm
    x = images(8, 16)
    outputs = block_outputs(vit, embedded(vit, x), norm)
    wanted = [out_indices] if isinstance(out_indices, int) else out_indices
    found = vit(x)
    assert isinstance(found, tuple) and len(found) == len(wanted)
    for output, index in zip(found, wanted):
        torch.testing.assert_close(output, formatted(vit, outputs[index], out_type, (2, 4)), **CLOSE)


@pytest.mark.parametrize('k', [1, 11, 15])
@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'avg_featmap'])
def test_mask_leaves_the_visible_patches(out_type, k):
    vit = build(out_type=out_type)
    x = images()
    mask = torch.stack([torch.randperm(16) < k for _ in range(2)])
    tokens = embedded(vit, x)
    visible = torch.stack([torch.cat([row[:1], row[1:][~hidden]]) for row, hidden in zip(tokens, mask)])
    last = block_outputs(vit, visible, out_type != 'avg_featmap')[-1]
    torch.testing.assert_close(vit(x, mask)[0], formatted(vit, last, out_type, None), **CLOSE)
    encoded = vit.encode(patchify(x, 4), split_mask(mask))
    torch.testing.assert_close(encoded, last, **CLOSE)


def test_encode_without_a_split_is_the_whole_forward():
    vit = build(out_type='raw')
    x = images()
    torch.testing.assert_close(vit.encode(patchify(x, 4)), vit(x)[0], **CLOSE)
    nothing = torch.zeros(2, 16, dtype=torch.bool)
    torch.testing.assert_close(vit(x, nothing)[0], vit(x)[0], **CLOSE)


@pytest.mark.parametrize('height, width', [(24, 32), (8, 20), (4, 4)])
def test_other_sizes_get_interpolated_positions(height, width):
    vit = build(out_type='raw')
    x, grid = images(height, width), (height // 4, width // 4)
    table = resized(vit.pos_embed, (4, 4), grid)
    expected = block_outputs(vit, embedded(vit, x, table))[-1]
    torch.testing.assert_close(vit(x)[0], expected, **CLOSE)
    mask = torch.zeros(2, grid[0] * grid[1], dtype=torch.bool)
    torch.testing.assert_close(vit(x, mask)[0], expected, **CLOSE)


def test_checkpoint_of_another_grid_is_interpolated():
    source, wide = build(), build(img_size=(8, 24))
    state = source.state_dict()
    wide.load_state_dict(state, strict=True)
    assert torch.equal(wide.pos_embed, resized(source.pos_embed, (4, 4), (2, 6)))
    assert torch.equal(wide.blocks[1].mlp.fc1.weight, source.blocks[1].mlp.fc1.weight)
    assert torch.equal(state['pos_embed'], source.pos_embed)  # the caller's dictionary stays as it was
    whole = nn.ModuleDict(dict(backbone=wide))
    with torch.no_grad():
        wide.pos_embed.zero_()
    whole.load_state_dict({f'backbone.{k}': v for k, v in state.items()}, strict=True)
    assert torch.equal(wide.pos_embed, resized(source.pos_embed, (4, 4), (2, 6)))


def test_positions_of_another_width_do_not_load():
    other = build(arch={**ARCH, 'embed_dim': 8})
    with pytest.raises(RuntimeError, match='size mismatch for pos_embed'):
        build().load_state_dict(other.state_dict())


@pytest.mark.parametrize('out_type, last', [('cls_token', 'norm'), ('avg_featmap', 'fc_norm')])
@pytest.mark.parametrize('stages', [-1, 0, 1, 2, 3])
def test_frozen_stages(stages, out_type, last):
    options = dict(out_type=out_type, frozen_stages=stages, trainable_positions=True, drop_path_rate=0.5)
    vit = build(**options).train()
    frozen_blocks = max(stages, 0)
    frozen = ('patch_embed.',) if stages >= 0 else ()
    frozen += tuple(f'blocks.{i}.' for i in range(frozen_blocks))
    frozen += (f'{last}.',) if stages == 3 else ()
    for name, parameter in vit.named_parameters():
        expected = not (name.startswith(frozen) or (stages >= 0 and name in ('cls_token', 'pos_embed')))
        assert parameter.requires_grad is expected, name
    for name, module in vit.named_modules():
        assert module.training is not f'{name}.'.startswith(frozen), name
    assert not any(module.training for module in vit.eval().modules())
    x = images()
    tokens = vit.eval().encode(patchify(x, 4)) if stages == 3 else None
    vit.train()
    if stages == 3:  # stochastic depth is off in frozen blocks
        torch.testing.assert_close(vit.encode(patchify(x, 4)), tokens, **CLOSE)


def classifier(**options):
    backbone = dict(type='FusedAttentionViT', arch=ARCH, img_size=16, patch_size=4, out_type='avg_featmap')
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone={**backbone, **options},
            head=dict(type='LinearClsHead', num_classes=2, in_channels=16),
        )
    )


def test_layer_decay_is_the_reference_s():
    golden = json.loads(LAYER_DECAY.read_text())
    model = classifier(arch={**ARCH, 'depth': golden['depth']}, trainable_positions=True)
    no_decay = ('cls_token', 'pos_embed')
    groups = parameter_groups(model, 1e-3, 0.05, no_decay=no_decay, layer_decay=golden['layer_decay'])
    found = {}
    for group in groups:
        assert group['lr'] == 1e-3 * group['lr_scale']
        assert len(group['names']) == len(group['params'])
        for name, parameter in zip(group['names'], group['params']):
            assert parameter is model.get_parameter(name)
            name = name.removeprefix('backbone.').replace('head.fc.', 'head.')
            assert name not in found
            found[name] = [group['lr_scale'], group['weight_decay']]
    assert found == golden['rows']
    assert len(groups) == len({tuple(row) for row in golden['rows'].values()})


def test_groups_without_layer_decay_and_without_frozen_parameters():
    model = classifier(frozen_stages=2)
    groups = parameter_groups(model, 0.1, 0.05)
    names = {name: (group['lr_scale'], group['weight_decay']) for group in groups for name in group['names']}
    assert set(names) == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, pair in names.items():
        assert pair == (1.0, 0.05 if model.get_parameter(name).ndim > 1 else 0.0)
    assert len(groups) == 2


def test_mmpretrain_s_classifier_runs_it():
    model = classifier().double().eval()
    x = images()
    tokens = block_outputs(model.backbone, embedded(model.backbone, x), final_norm=False)[-1]
    feature = formatted(model.backbone, tokens, 'avg_featmap', None)
    logits = feature @ model.head.fc.weight.T + model.head.fc.bias
    torch.testing.assert_close(model.extract_feat(x)[0], feature, **CLOSE)
    torch.testing.assert_close(model(x, mode='tensor'), logits, **CLOSE)
    samples = [DataSample().set_gt_label(label) for label in (1, 0)]
    loss = model(x, samples, mode='loss')['loss']
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([1, 0])), **CLOSE)
    for sample, row in zip(model(x, mode='predict'), logits.softmax(dim=1)):
        torch.testing.assert_close(sample.pred_score, row, **CLOSE)


@pytest.mark.parametrize(
    'arch, expected',
    [
        ('small', (384, 12, 12)),
        ('B', (768, 12, 12)),
        ('large', (1024, 24, 16)),
        ('h', (1280, 32, 16)),
        (ARCH, (16, 3, 2)),
    ],
)
def test_architectures(arch, expected):
    assert resolve_arch(arch) == expected


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(arch='giant'), "unknown architecture 'giant'"),
        (dict(arch=dict(embed_dims=8, depth=1, num_heads=2)), 'an architecture dict has the keys'),
        (dict(img_size=18), 'img_size 18x18 is not divisible by patch_size=4'),
        (dict(img_size=(16, 18)), 'img_size 16x18 is not divisible by patch_size=4'),
        (dict(out_type='mean'), "out_type must be one of .*, found 'mean'"),
        (dict(out_indices=3), r'out_indices \[3\] must name different blocks of 0..2'),
        (dict(out_indices=(0, -4)), r'out_indices \[0, -4\] must name different blocks'),
        (dict(out_indices=()), r'out_indices \[\] must name different blocks'),
        (dict(frozen_stages=4), r'frozen_stages must be in \[-1, 3\], found 4'),
        (dict(frozen_stages=-2), r'frozen_stages must be in \[-1, 3\], found -2'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_bad_inputs_are_refused():
    mask = torch.zeros(2, 9, dtype=torch.bool)
    with pytest.raises(ValueError, match=r'a mask of \(2, 16\) was expected, found \(2, 9\)'):
        build()(images(), mask)
    with pytest.raises(ValueError, match="'featmap' has no meaning for masked images"):
        build(out_type='featmap')(images(), torch.zeros(2, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match='an image of 16x18 cannot be cut'):
        build()(images(16, 18))


def test_pooled_tokens_are_the_pooled_feature_and_the_tokens_without_a_norm():
    vit = build(out_type='pooled_tokens')
    assert not hasattr(vit, 'norm')
    x = images()
    (found,) = vit(x)
    tokens = vit.embed(patchify(x, 4))
    for block in vit.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(found[:, 1:], tokens[:, 1:], **CLOSE)
    torch.testing.assert_close(found[:, 0], vit.fc_norm(tokens[:, 1:].mean(dim=1)), **CLOSE)
