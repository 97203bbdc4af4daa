import copy

import pytest
import timm.layers
import torch

from bench import count_operators, saved_bytes
from fsfm_mm.models.layers import Block
from fsfm_mm.models.layers.mlp import Mlp


@pytest.fixture
def both():
    """Ours, and timm's with the same weights."""
    ours, theirs = Mlp(8, 32), timm.layers.Mlp(8, 32)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(mlp, x):
    x = x.clone().requires_grad_()
    out = mlp(x)
    out.square().sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in mlp.parameters())]


@pytest.mark.parametrize('autocast', [False, True])
def test_numbers_are_timms_to_the_bit(both, autocast):
    x = torch.randn(3, 5, 8)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        for a, b in zip(gradients(both[0], x), gradients(both[1], x)):
            assert torch.equal(a, b)


def test_one_wide_tensor_is_kept_and_no_product_repeated(both):
    ours, theirs = both
    x = torch.randn(3, 5, 8, requires_grad=True)
    wide = 3 * 5 * 32 * 4
    assert saved_bytes(lambda: theirs(x), theirs.parameters()) == 3 * 5 * 8 * 4 + 2 * wide
    assert saved_bytes(lambda: ours(x), ours.parameters()) == 3 * 5 * 8 * 4 + wide
    calls = [count_operators(lambda m=m: m(x).sum().backward()).calls for m in both]
    assert (calls[0]['gelu'], calls[1]['gelu']) == (2, 1)
    assert calls[0]['addmm'] == calls[1]['addmm'] and calls[0]['mm'] == calls[1]['mm']


def test_without_gradients_nothing_is_computed_again(both):
    with torch.no_grad():
        assert count_operators(lambda: both[0](torch.randn(2, 8))).calls['gelu'] == 1


def test_inside_checkpointed_and_compiled_blocks():
    plain = Block(8, 2)
    checkpointed, compiled = copy.deepcopy(plain), copy.deepcopy(plain)
    checkpointed.with_cp = True
    compiled.compile(backend='aot_eager')
    x = torch.randn(2, 5, 8)
    expected = gradients(plain, x)
    for other in (checkpointed, compiled):
        for a, b in zip(gradients(other, x), expected):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
