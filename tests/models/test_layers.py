"""Attention, blocks, patch embedding and initialisation against plain computations and timm."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from fsfm_mm.models.layers import Attention, Block, PatchEmbed, compile_blocks, init_transformer, token
from fsfm_mm.models.layers import attention as attention_module
from fsfm_mm.ops.patches import patchify

CLOSE = dict(rtol=1e-10, atol=1e-10)


def random_attention(dim=12, heads=3, fused=None, qkv_bias=True):
    """Float64, with biases that are not zero."""
    layer = Attention(dim, heads, qkv_bias, fused).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def loop_attention(layer, x):
    """One sample, one head, one query at a time."""
    dim, d = layer.dim, layer.dim // layer.num_heads
    weight, bias = layer.qkv.weight, layer.qkv.bias
    rows = []
    for sample in x:
        qkv = sample @ weight.T + (0 if bias is None else bias)
        heads = []
        for h in range(layer.num_heads):
            q, k, v = (qkv[:, i * dim + h * d : i * dim + (h + 1) * d] for i in range(3))
            outputs = []
            for query in q:
                scores = torch.stack([(query * key).sum() / math.sqrt(d) for key in k])
                weights = scores.exp() / scores.exp().sum()
                outputs.append(sum(w * value for w, value in zip(weights, v)))
            heads.append(torch.stack(outputs))
        rows.append(torch.cat(heads, dim=1) @ layer.proj.weight.T + layer.proj.bias)
    return torch.stack(rows)


def gradients(layer, x, output):
    x.grad = None
    layer.zero_grad()
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    return {'x': x.grad.clone(), **{name: p.grad.clone() for name, p in layer.named_parameters()}}


@pytest.mark.parametrize('qkv_bias', [True, False])
@pytest.mark.parametrize('fused', [True, False, None])
def test_attention_and_gradients_equal_a_loop(fused, qkv_bias):
    layer = random_attention(fused=fused, qkv_bias=qkv_bias)
    assert (layer.qkv.bias is not None) is qkv_bias
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    expected = loop_attention(layer, x)
    torch.testing.assert_close(layer(x), expected, **CLOSE)
    expected_gradients = gradients(layer, x, expected)
    found_gradients = gradients(layer, x, layer(x))
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, **CLOSE)


@pytest.mark.parametrize('qkv_bias', [True, False])
@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('first', [1, 3, 4])
def test_partial_queries_are_the_rows_of_the_whole(fused, qkv_bias, first):
    layer = random_attention(fused=fused, qkv_bias=qkv_bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    whole = layer(x)[:, first:]
    torch.testing.assert_close(layer(x, first), whole, **CLOSE)
    expected, found = gradients(layer, x, whole), gradients(layer, x, layer(x, first))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **CLOSE)


@pytest.mark.parametrize(
    'fused, prefers, calls', [(True, False, 0), (False, True, 1), (None, True, 0), (None, False, 1)]
)
def test_choice_of_kernel(monkeypatch, fused, prefers, calls):
    explicit, counted = attention_module.explicit_attention, []
    monkeypatch.setattr(attention_module, 'prefers_fused_attention', lambda *_: prefers)
    monkeypatch.setattr(
        attention_module, 'explicit_attention', lambda *qkv: counted.append(1) or explicit(*qkv)
    )
    random_attention(fused=fused)(torch.randn(1, 4, 12, dtype=torch.float64))
    assert len(counted) == calls


def test_indivisible_heads_are_refused():
    with pytest.raises(ValueError, match='the width 10 is not divisible by num_heads=3'):
        Attention(10, 3)


@pytest.mark.parametrize('first', [0, 2])
def test_block_by_hand(first):
    block = Block(12, 3, mlp_ratio=2).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 5, 12, dtype=torch.float64)

    def norm(layer, tokens):
        centred = tokens - tokens.mean(-1, keepdim=True)
        var = centred.square().mean(-1, keepdim=True)
        return centred / (var + 1e-6).sqrt() * layer.weight + layer.bias

    middle = x + loop_attention(block.attn, norm(block.norm1, x))
    hidden = norm(block.norm2, middle) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias
    assert hidden.shape[-1] == 24
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    expected = middle + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias
    torch.testing.assert_close(block(x, first), expected[:, first:], **CLOSE)


def test_drop_path_drops_whole_branches_of_samples():
    block = Block(12, 3, drop_path=0.5).double().train()
    x = torch.randn(32, 4, 12, dtype=torch.float64)
    found = block(x)
    counts = np.zeros((2, 2), int)
    for sample, result in zip(x, found):
        candidates = {}
        for a in (0, 1):
            middle = sample[None] + 2 * a * block.attn(block.norm1(sample[None]))
            for m in (0, 1):
                candidates[a, m] = middle + 2 * m * block.mlp(block.norm2(middle))
        matches = [key for key, value in candidates.items() if torch.allclose(value[0], result, **CLOSE)]
        assert len(matches) == 1
        counts[matches[0]] += 1
    assert (counts > 0).all()
    expected = x + block.attn(block.norm1(x))
    torch.testing.assert_close(block.eval()(x), expected + block.mlp(block.norm2(expected)), **CLOSE)


@pytest.mark.parametrize('size', [(8, 8), (4, 12)])
def test_patch_embedding_is_the_convolution(size):
    embed = PatchEmbed(4, 3, 10).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = embed.proj(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(patchify(images, 4)), expected, **CLOSE)


@pytest.mark.parametrize('out_type', ['raw', 'avg_featmap'])
def test_timm_computes_the_same_from_the_same_weights(out_type):
    arch = dict(embed_dim=24, depth=3, num_heads=4)
    vit = MODELS.build(
        dict(type='FusedAttentionViT', arch=arch, img_size=(16, 24), patch_size=8, out_type=out_type)
    ).double()
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.3)
    average = out_type == 'avg_featmap'
    timm_vit = VisionTransformer(
        img_size=(16, 24), patch_size=8, num_classes=0, global_pool='avg' if average else 'token', **arch
    ).double()
    timm_vit.load_state_dict(vit.state_dict(), strict=True)
    images = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    expected = timm_vit(images) if average else timm_vit.forward_features(images)
    torch.testing.assert_close(vit(images)[0], expected, **CLOSE)


def test_drop_path_rates_are_floats_and_rise_linearly():
    arch = dict(embed_dim=8, depth=4, num_heads=2)
    vit = MODELS.build(dict(type='FusedAttentionViT', arch=arch, drop_path_rate=np.float32(0.3)))
    assert isinstance(vit.blocks[0].drop_path, nn.Identity)
    rates = [block.drop_path.drop_prob for block in vit.blocks[1:]]
    assert all(type(rate) is float for rate in rates)
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3], rtol=1e-6)
    single = MODELS.build(dict(type='FusedAttentionViT', arch={**arch, 'depth': 1}, drop_path_rate=0.3))
    assert isinstance(single.blocks[0].drop_path, nn.Identity)


def test_xavier_bounds_zero_biases_and_unit_norms():
    module = nn.ModuleDict(dict(block=Block(64, 4), embed=PatchEmbed(8, 3, 64), plain=nn.Linear(32, 96)))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 7.0)
    init_transformer(module)
    fans = {
        'block.attn.qkv.weight': (64, 192),  # one matrix, not three
        'block.attn.proj.weight': (64, 64),
        'block.mlp.fc1.weight': (64, 256),
        'block.mlp.fc2.weight': (256, 64),
        'embed.proj.weight': (8 * 8 * 3, 64),  # seen as a linear map
        'plain.weight': (32, 96),
    }
    for name, parameter in module.named_parameters():
        if name in fans:
            bound = math.sqrt(6 / sum(fans.pop(name)))
            assert 0.99 * bound < parameter.abs().max() <= bound
            assert parameter.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert abs(parameter.mean()) < 0.05 * bound
        else:
            assert parameter.unique().tolist() == [1.0 if name.endswith('.weight') else 0.0], name
    assert not fans


def test_tokens_are_normal_with_deviation_two_hundredths():
    drawn = token(40_000)
    assert drawn.shape == (1, 1, 40_000) and drawn.requires_grad
    assert drawn.std().item() == pytest.approx(0.02, rel=0.03)
    assert abs(drawn.mean().item()) < 0.0005
    assert (drawn.abs() > 0.04).float().mean().item() == pytest.approx(0.0455, abs=0.005)  # not truncated


def test_compile_blocks_counts_and_keeps_names(monkeypatch):
    ran = []

    def fake_compile(function, *args, **kwargs):
        def compiled(*inputs):
            ran.append(1)
            return function(*inputs)

        return compiled

    monkeypatch.setattr(torch, 'compile', fake_compile)
    module = nn.Sequential(Block(8, 2), nn.Linear(8, 8), nn.Sequential(Block(8, 2), Block(8, 2))).eval()
    keys, x = list(module.state_dict()), torch.randn(1, 3, 8)
    before = module(x)
    assert not ran
    assert compile_blocks(module) == 3
    assert list(module.state_dict()) == keys
    assert torch.equal(module(x), before)
    assert len(ran) == 3


def test_every_shape_of_a_compiled_block_has_a_kernel_of_its_own(monkeypatch):
    """Ten lengths through two blocks of one width: twice as many as dynamo's default limit minus its sharing."""
    shapes = []

    def backend(graph, inputs):
        shapes.append([tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in inputs])
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(
        torch, 'compile', lambda f, *args, **kwargs: real(f, *args, **{**kwargs, 'backend': backend})
    )
    torch.compiler.reset()
    module = nn.Sequential(Block(8, 2), Block(8, 2))
    assert compile_blocks(module) == 2
    with torch.no_grad():
        for length in range(3, 13):
            x = torch.randn(2, length, 8)
            assert module(x).shape == x.shape
    torch.compiler.reset()
    seen = {shape for inputs in shapes for shape in inputs if isinstance(shape, tuple) and len(shape) == 3}
    assert {(2, length, 8) for length in range(3, 13)} <= seen
    assert not any(isinstance(x, torch.SymInt) for inputs in shapes for x in inputs)
    assert all(isinstance(side, int) for shape in seen for side in shape)
