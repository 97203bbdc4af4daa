"""Transformer pieces written out plainly: convolutional embedding, explicit softmax, un-shuffled tokens."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class PlainAttention(nn.Module):
    """Multi-head self-attention with the softmax written out.

    Args:
        dim: Token width D.
        num_heads: Number of heads.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend over all tokens (N, L, D)."""
        n, length, dim = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, length, dim))


class PlainBlock(nn.Module):
    """The pre-norm transformer block.

    Args:
        dim: Token width D; the MLP's hidden width is four times that.
        num_heads: Number of heads.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PlainAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        layers = dict(fc1=nn.Linear(dim, 4 * dim), act=nn.GELU(), fc2=nn.Linear(4 * dim, dim))
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform tokens (N, L, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PlainEncoder(nn.Module):
    """The encoder: embeds all patches, then keeps the visible ones.

    Args:
        dim: Width D.
        depth: Number of blocks.
        num_heads: Number of heads.
        num_patches: L.
        patch_size: Side of a patch in pixels.
    """

    def __init__(self, dim: int, depth: int, num_heads: int, num_patches: int, patch_size: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_patches, dim), requires_grad=False)
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, dim, patch_size, patch_size)))
        self.blocks = nn.ModuleList(PlainBlock(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def embed(self, images: torch.Tensor, ids_keep: torch.Tensor | None = None) -> torch.Tensor:
        """Patches of images (N, 3, H, W) as tokens (N, L, D), or only those of ``ids_keep`` (N, M)."""
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        if ids_keep is not None:
            x = x.gather(1, ids_keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        return x

    def forward(self, images: torch.Tensor, ids_keep: torch.Tensor | None = None) -> torch.Tensor:
        """Encode images (N, 3, H, W), or only their patches ``ids_keep`` (N, M); (N, 1 + M, D)."""
        x = self.embed(images, ids_keep)
        cls_tokens = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([cls_tokens, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def unshuffle(x: torch.Tensor, mask_token: torch.Tensor, ids_restore: torch.Tensor) -> torch.Tensor:
    """Append mask tokens to the visible ones and put all of them into row-major order.

    Args:
        x: [class, visible] tokens (N, 1 + M, D).
        mask_token: (1, 1, D).
        ids_restore: (N, L): where each patch is in [visible, masked].

    Returns:
        (N, 1 + L, D).
    """
    hidden = mask_token.to(x.dtype).repeat(x.shape[0], ids_restore.shape[1] + 1 - x.shape[1], 1)
    patches = torch.cat([x[:, 1:], hidden], dim=1)
    patches = patches.gather(1, ids_restore.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
    return torch.cat([x[:, :1], patches], dim=1)


class PlainDecoder(nn.Module):
    """What both decoders are made of: a linear, positions, blocks, and a linear for every token.

    Args:
        in_dim: Width of the encoder.
        dim: Width of the decoder.
        depth: Number of blocks.
        num_heads: Number of heads.
        num_patches: L.
        out_dim: Values a token.
    """

    def __init__(self, in_dim: int, dim: int, depth: int, num_heads: int, num_patches: int, out_dim: int):
        super().__init__()
        self.embed = nn.Linear(in_dim, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_patches, dim), requires_grad=False)
        self.blocks = nn.ModuleList(PlainBlock(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pred = nn.Linear(dim, out_dim)

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """All tokens (N, 1 + L, out_dim) of embedded ones (N, 1 + L, dim)."""
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.pred(self.norm(x))


class PlainPixelDecoder(PlainDecoder):
    """MAE's decoder; predicts every patch."""

    def forward(
        self, latent: torch.Tensor, mask_token: torch.Tensor, ids_restore: torch.Tensor
    ) -> torch.Tensor:
        """Predict all patches (N, L, p*p*3) from the latent (N, 1 + M, in_dim)."""
        return self.decode(self.embed(unshuffle(latent, mask_token, ids_restore)))[:, 1:]


class PlainRepDecoder(PlainDecoder):
    """The Siamese decoder: every token through the last linear, then their mean."""

    def forward(
        self,
        latent: torch.Tensor,
        mask_token: torch.Tensor | None = None,
        ids_restore: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Representation (N, D) of the latent (N, 1 + M, D); without ``ids_restore`` of a whole face."""
        if mask_token is None or ids_restore is None:
            return self.decode(self.embed(latent)).mean(dim=1)
        return self.decode(unshuffle(self.embed(latent), mask_token, ids_restore)).mean(dim=1)
