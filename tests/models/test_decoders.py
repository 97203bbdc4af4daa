"""Both decoders against plain versions that put every token back in its place first."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from fsfm_mm.models.layers import position_table
from fsfm_mm.ops.patches import split_mask

N, DIM, GRID = 3, 12, (3, 4)
LENGTH = GRID[0] * GRID[1]
CLOSE = dict(rtol=1e-10, atol=1e-10)


def build(kind, **options):
    """Float64 with all weights, biases included, far from their start; the table stays."""
    decoder = MODELS.build(dict(type=kind, in_dim=DIM, grid=GRID, **options)).double()
    for parameter in decoder.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.4)
    return decoder


def pixel_decoder(depth=2):
    return build('MAEPixelDecoder', patch_dim=5, embed_dim=8, depth=depth, num_heads=2)


def rep_decoder(**options):
    return build('SiameseRepDecoder', num_heads=3, **options)


def random_case(k):
    mask = torch.stack([torch.randperm(LENGTH) < k for _ in range(N)])
    latent = torch.randn(N, 1 + LENGTH - k, DIM, dtype=torch.float64)
    return mask, latent, torch.randn(1, 1, DIM, dtype=torch.float64)


def in_place(latent, mask, filler):
    """[class, patches] in row-major order, with ``filler`` where a patch is hidden."""
    rows = []
    for tokens, hidden in zip(latent, mask):
        visible = iter(tokens[1:])
        rows.append(torch.stack([tokens[0]] + [filler.flatten() if h else next(visible) for h in hidden]))
    return torch.stack(rows)


def table(decoder):
    return position_table(decoder.pos_embed.shape[-1], GRID).detach().double()


def naive_pixels(decoder, latent, mask, mask_token):
    tokens = decoder.embed(in_place(latent, mask, mask_token)) + decoder.pos_embed
    for block in decoder.blocks:
        tokens = block(tokens)
    return decoder.pred(decoder.norm(tokens))[:, 1:]


def naive_representation(decoder, latent, mask, mask_token, positions):
    embedded = decoder.embed(latent)
    tokens = embedded if mask is None else in_place(embedded, mask, mask_token)
    tokens = tokens + positions
    for block in decoder.blocks:
        tokens = block(tokens)
    return decoder.pred(decoder.norm(tokens)).mean(dim=1)


@pytest.mark.parametrize('depth', [0, 1, 2])
@pytest.mark.parametrize('k', [1, 9, LENGTH])
def test_pixel_decoder_is_the_plain_one(depth, k):
    decoder = pixel_decoder(depth)
    mask, latent, mask_token = random_case(k)
    split = split_mask(mask)
    expected = naive_pixels(decoder, latent, mask, mask_token)
    torch.testing.assert_close(decoder(latent, split, mask_token, all_patches=True), expected, **CLOSE)
    hidden = torch.stack([rows[chosen] for rows, chosen in zip(expected, mask)])
    torch.testing.assert_close(decoder(latent, split, mask_token), hidden, **CLOSE)


def test_pixel_decoder_with_nothing_hidden():
    decoder = pixel_decoder()
    mask, latent, mask_token = random_case(0)
    split = split_mask(mask)
    expected = naive_pixels(decoder, latent, mask, mask_token)
    torch.testing.assert_close(decoder(latent, split, mask_token, all_patches=True), expected, **CLOSE)
    assert decoder(latent, split, mask_token).shape == (N, 0, 5)


def test_pixel_decoder_gradients_are_the_plain_ones():
    decoder = pixel_decoder()
    mask, latent, mask_token = random_case(9)
    latent.requires_grad_()
    mask_token.requires_grad_()
    wanted = [latent, mask_token, *(p for p in decoder.parameters() if p.requires_grad)]
    expected = naive_pixels(decoder, latent, mask, mask_token)[mask].square().sum()
    found = decoder(latent, split_mask(mask), mask_token).square().sum()
    for a, b in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted)):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_positions_are_fixed_sine_cosine():
    for decoder in (pixel_decoder(), rep_decoder()):
        assert not decoder.pos_embed.requires_grad
        torch.testing.assert_close(decoder.pos_embed.detach(), table(decoder), rtol=0, atol=0)


@pytest.mark.parametrize('positions', ['sincos', 'zeros'])
@pytest.mark.parametrize('k', [1, 9, LENGTH])
def test_rep_decoder_is_the_plain_one(positions, k):
    decoder = rep_decoder(positions=positions)
    mask, latent, mask_token = random_case(k)
    expected_table = table(decoder) if positions == 'sincos' else torch.zeros(1, 1 + LENGTH, DIM).double()
    expected = naive_representation(decoder, latent, mask, mask_token, expected_table)
    torch.testing.assert_close(decoder(latent, split_mask(mask), mask_token), expected, **CLOSE)


@pytest.mark.parametrize('positions', ['sincos', 'zeros'])
def test_rep_decoder_of_the_target_sees_the_whole_face(positions):
    decoder = rep_decoder(positions=positions, depth=1)
    mask, latent, mask_token = random_case(0)
    expected_table = table(decoder) if positions == 'sincos' else torch.zeros(1, 1 + LENGTH, DIM).double()
    expected = naive_representation(decoder, latent, None, None, expected_table)
    torch.testing.assert_close(decoder(latent), expected, **CLOSE)
    torch.testing.assert_close(decoder(latent, split_mask(mask), mask_token), expected, **CLOSE)


def test_zero_positions_forget_where_a_patch_is():
    mask, latent, mask_token = random_case(9)
    other_mask = mask.flip(1)
    for positions, same in (('zeros', True), ('sincos', False)):
        decoder = rep_decoder(positions=positions)
        first = decoder(latent, split_mask(mask), mask_token)
        second = decoder(latent, split_mask(other_mask), mask_token)
        assert torch.allclose(first, second, **CLOSE) is same


def test_unknown_positions_are_refused():
    with pytest.raises(ValueError, match="'sincos' or 'zeros', found 'none'"):
        rep_decoder(positions='none')
