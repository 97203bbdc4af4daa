"""Cutting images into patches, splitting them by a mask, and putting them back in order."""

import numpy as np
import pytest
import torch

from fsfm_mm.ops.patches import gather_tokens, patchify, restore_order, split_mask, unpatchify
from fsfm_mm.structures import TokenSplit

SIZES = [(2, 3, 8, 12, 4), (1, 1, 9, 3, 3), (2, 4, 5, 20, 5), (2, 3, 28, 14, 14), (1, 3, 2, 3, 1)]


def loop_patchify(images, p):
    n, channels, height, width = images.shape
    rows, columns = height // p, width // p
    patches = np.empty((n, rows * columns, p * p * channels))
    for b in range(n):
        for i in range(rows):
            for j in range(columns):
                k = 0
                for y in range(p):
                    for x in range(p):
                        for c in range(channels):
                            patches[b, i * columns + j, k] = images[b, c, i * p + y, j * p + x]
                            k += 1
    return patches


def random_masks(n, length, k):
    return torch.stack([torch.randperm(length) < k for _ in range(n)])


@pytest.mark.parametrize('n, c, h, w, p', SIZES)
def test_patchify_is_row_column_channel(n, c, h, w, p):
    images = torch.randn(n, c, h, w, dtype=torch.float64)
    np.testing.assert_array_equal(patchify(images, p).numpy(), loop_patchify(images.numpy(), p))


@pytest.mark.parametrize('n, c, h, w, p', SIZES)
def test_unpatchify_inverts(n, c, h, w, p):
    images = torch.randn(n, c, h, w, dtype=torch.float64)
    patches = torch.from_numpy(loop_patchify(images.numpy(), p))
    assert torch.equal(unpatchify(patches, p, (h // p, w // p)), images)


def test_patchify_takes_any_strides_and_dtype():
    images = torch.randint(0, 256, (2, 12, 8, 3), dtype=torch.uint8).permute(0, 3, 2, 1)  # not contiguous
    np.testing.assert_array_equal(patchify(images, 4).numpy(), loop_patchify(images.numpy(), 4))


@pytest.mark.parametrize('height, width', [(30, 32), (32, 30)])
def test_indivisible_image_is_refused(height, width):
    with pytest.raises(ValueError, match=f'an image of {height}x{width} cannot be cut into patches of 4x4'):
        patchify(torch.zeros(1, 3, height, width), 4)


@pytest.mark.parametrize('k', [0, 1, 7, 15])
@pytest.mark.parametrize('known', [True, False])
def test_split_is_the_sorted_positions(k, known):
    mask = random_masks(4, 15, k)
    split = split_mask(mask, k if known else None)
    for row in range(4):
        assert split.masked[row].tolist() == np.flatnonzero(mask[row].numpy()).tolist()
        assert split.visible[row].tolist() == np.flatnonzero(~mask[row].numpy()).tolist()


def test_gather_picks_by_row():
    tokens = torch.randn(3, 6, 2)
    ids = torch.tensor([[5, 0], [2, 2], [1, 4]])
    found = gather_tokens(tokens, ids)
    for row in range(3):
        for m in range(2):
            assert torch.equal(found[row, m], tokens[row, ids[row, m]])


def test_gather_shares_a_table_and_sums_its_gradient():
    table = torch.randn(1, 6, 2, requires_grad=True)
    ids = torch.tensor([[5, 0], [2, 2], [1, 5]])
    found = gather_tokens(table, ids)
    for row in range(3):
        for m in range(2):
            assert torch.equal(found[row, m], table[0, ids[row, m]])
    found.sum().backward()
    assert table.grad[0, :, 0].tolist() == [1, 1, 2, 0, 0, 2]


def test_restore_order_puts_every_token_back():
    tokens = torch.randn(3, 10, 4)
    split = split_mask(random_masks(3, 10, 6))
    shuffled = torch.cat([gather_tokens(tokens, split.visible), gather_tokens(tokens, split.masked)], dim=1)
    assert not torch.equal(shuffled, tokens)
    assert torch.equal(restore_order(shuffled, split), tokens)


def test_restore_order_by_hand():
    split = TokenSplit(torch.tensor([[1, 3]]), torch.tensor([[0, 2]]))
    tokens = torch.tensor([10.0, 30.0, 0.0, 20.0]).view(1, 4, 1)
    assert restore_order(tokens, split).flatten().tolist() == [0, 10, 20, 30]
