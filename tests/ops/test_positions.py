"""The sine-cosine position table, element by element and against the reference's."""

import math

import numpy as np
import pytest
import torch
from golden import load_pretrain_golden

from fsfm_mm.models.layers import position_table
from fsfm_mm.ops.positions import sincos_2d


def element(dim, row, column, channel):
    """First half of the channels by column, second by row; each half first sines, then cosines."""
    half, quarter = dim // 2, dim // 4
    coordinate = column if channel < half else row
    k = channel % half
    wave = math.sin if k < quarter else math.cos
    return wave(coordinate / 10000 ** ((k % quarter) / quarter))


@pytest.mark.parametrize('dim', [4, 8, 48])
@pytest.mark.parametrize('grid', [(1, 1), (4, 4), (2, 5), (7, 3)])
def test_every_element(dim, grid):
    table = sincos_2d(dim, grid, class_token=False)
    expected = [
        [element(dim, row, column, channel) for channel in range(dim)]
        for row in range(grid[0])
        for column in range(grid[1])
    ]
    assert table.dtype == np.float64
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-13)


def test_class_token_row_is_zero():
    table = sincos_2d(8, (2, 3))
    assert table.shape == (7, 8)
    assert not table[0].any()
    np.testing.assert_array_equal(table[1:], sincos_2d(8, (2, 3), class_token=False))


@pytest.mark.parametrize('name', ['pos_embed', 'decoder_pos_embed'])
def test_the_reference_has_the_same_float32_table(name):
    arrays, _ = load_pretrain_golden()
    expected = arrays[f'online/{name}']
    dim = expected.shape[-1]
    np.testing.assert_array_equal(sincos_2d(dim, (4, 4)).astype(np.float32)[None], expected)
    np.testing.assert_array_equal(position_table(dim, (4, 4)).detach().numpy(), expected)


def test_position_table_kinds():
    zeros = position_table(8, (2, 3), kind='zeros', trainable=True)
    assert zeros.requires_grad
    assert torch.equal(zeros.detach(), torch.zeros(1, 7, 8))
    assert not position_table(8, (2, 3)).requires_grad
    with pytest.raises(ValueError, match="a position table is 'sincos' or 'zeros', found 'learned'"):
        position_table(8, (2, 3), kind='learned')


@pytest.mark.parametrize('dim', [2, 6, 47])
def test_width_must_be_divisible_by_four(dim):
    with pytest.raises(ValueError, match=f'a 2-D sin-cos table needs a width divisible by 4, found {dim}'):
        sincos_2d(dim, (2, 2))
