"""Images to patches and back, and what a mask does to a sequence of tokens (torch, pure)."""

from __future__ import annotations

import torch

from fsfm_mm.structures import TokenSplit


def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cut images into patches, each flattened in (row, column, channel) order, as MAE does.

    Args:
        images: (N, C, H, W).
        patch_size: Side p of a patch in pixels.

    Returns:
        (N, L, p*p*C), L = (H/p)*(W/p) patches in row-major order.

    Raises:
        ValueError: When H or W is not divisible by p.
    """
    n, c, h, w = images.shape
    p = patch_size
    if h % p or w % p:
        raise ValueError(
            f'an image of {h}x{w} cannot be cut into patches of {p}x{p}: height and width must be divisible by {p}'
        )
    patches = images.reshape(n, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
    return patches.reshape(n, (h // p) * (w // p), p * p * c)


def unpatchify(patches: torch.Tensor, patch_size: int, grid: tuple[int, int]) -> torch.Tensor:
    """Inverse of :func:`patchify`.

    Args:
        patches: (N, L, p*p*C).
        patch_size: Side p of a patch in pixels.
        grid: (h, w) with h*w = L.

    Returns:
        (N, C, h*p, w*p).
    """
    n, _, width = patches.shape
    p, (h, w) = patch_size, grid
    images = patches.reshape(n, h, w, p, p, width // (p * p)).permute(0, 5, 1, 3, 2, 4)
    return images.reshape(n, width // (p * p), h * p, w * p)


def split_mask(mask: torch.Tensor, num_masked: int | None = None) -> TokenSplit:
    """Indices of the visible and of the masked patches of every row.

    Args:
        mask: bool (N, L), True = masked, the same number K of True in every row.
        num_masked: K, when known. Without it K is read from the first row, which waits for the device
            when the mask is on a GPU.

    Returns:
        The split, visible (N, L-K) and masked (N, K), ascending.
    """
    if num_masked is None:
        num_masked = int(mask[0].count_nonzero())
    order = mask.to(torch.uint8).argsort(dim=1, stable=True)
    num_visible = mask.shape[1] - num_masked
    return TokenSplit(order[:, :num_visible], order[:, num_visible:])


def gather_tokens(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Pick tokens by index.

    Args:
        tokens: (N, L, D), or (1, L, D) for a table shared by the batch.
        ids: int64 (N, M).

    Returns:
        (N, M, D).
    """
    if tokens.shape[0] == 1:
        return tokens[0][ids]
    return tokens.gather(1, ids.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def restore_order(tokens: torch.Tensor, split: TokenSplit) -> torch.Tensor:
    """Put tokens in [visible, masked] order back into row-major patch order.

    Args:
        tokens: (N, L, D) in the order [visible, masked].
        split: The split that made this order.

    Returns:
        (N, L, D) in row-major order. Used for pictures only: training never un-shuffles.
    """
    order = torch.cat([split.visible, split.masked], dim=1)
    return torch.empty_like(tokens).scatter_(1, order.unsqueeze(-1).expand_as(tokens), tokens)
