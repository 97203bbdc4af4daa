"""Transformer pieces written out plainly: convolutional embedding, explicit softmax, un-shuffled tokens."""

from __future__ import annotations

import torch
from torch import nn


class PlainAttention(nn.Module):
    """Multi-head self-attention with the softmax written out.

    Args:
        dim: Token width D.
        num_heads: Number of heads.
        qkv_bias: Whether ``qkv`` has a bias.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend over all tokens (N, L, D)."""
        n, length, dim = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, length, dim))


class PlainMlp(nn.Module):
    """Linear, GELU, linear.

    Args:
        dim: Token width D.
        hidden_dim: Width between the two.
    """

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform tokens (N, L, D)."""
        return self.fc2(self.act(self.fc1(x)))


class PlainBlock(nn.Module):
    """The pre-norm transformer block.

    Args:
        dim: Token width D.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the MLP over D.
        qkv_bias: Whether ``qkv`` has a bias.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0, qkv_bias: bool = True):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PlainAttention(dim, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = PlainMlp(dim, int(dim * mlp_ratio))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform tokens (N, L, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PlainPatchEmbed(nn.Module):
    """The usual convolution over whole images.

    Args:
        patch_size: Side of a patch in pixels.
        embed_dim: Width D.
    """

    def __init__(self, patch_size: int, embed_dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images (N, 3, H, W); returns (N, L, D)."""
        return self.proj(images).flatten(2).transpose(1, 2)


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
        self.patch_embed = PlainPatchEmbed(patch_size, dim)
        self.blocks = nn.ModuleList(PlainBlock(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: torch.Tensor, ids_keep: torch.Tensor | None = None) -> torch.Tensor:
        """Encode images (N, 3, H, W), or only their patches ``ids_keep`` (N, M); (N, 1 + M, D)."""
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        if ids_keep is not None:
            x = x.gather(1, ids_keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
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


class PlainPixelDecoder(nn.Module):
    """MAE's decoder; predicts every patch.

    Args:
        in_dim: Width of the encoder.
        dim: Width of the decoder.
        depth: Number of blocks.
        num_heads: Number of heads.
        num_patches: L.
        patch_dim: Values a patch.
    """

    def __init__(self, in_dim: int, dim: int, depth: int, num_heads: int, num_patches: int, patch_dim: int):
        super().__init__()
        self.embed = nn.Linear(in_dim, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_patches, dim), requires_grad=False)
        self.blocks = nn.ModuleList(PlainBlock(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pred = nn.Linear(dim, patch_dim)

    def forward(
        self, latent: torch.Tensor, mask_token: torch.Tensor, ids_restore: torch.Tensor
    ) -> torch.Tensor:
        """Predict all patches (N, L, p*p*3) from the latent (N, 1 + M, in_dim)."""
        x = self.embed(unshuffle(latent, mask_token, ids_restore)) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.pred(self.norm(x))[:, 1:]


class PlainRepDecoder(nn.Module):
    """The Siamese decoder: every token through the last linear, then their mean.

    Args:
        dim: Width D.
        depth: Number of blocks.
        num_heads: Number of heads.
        num_patches: L.
    """

    def __init__(self, dim: int, depth: int, num_heads: int, num_patches: int):
        super().__init__()
        self.embed = nn.Linear(dim, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_patches, dim), requires_grad=False)
        self.blocks = nn.ModuleList(PlainBlock(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pred = nn.Linear(dim, dim)

    def forward(
        self,
        latent: torch.Tensor,
        mask_token: torch.Tensor | None = None,
        ids_restore: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Representation (N, D) of the latent (N, 1 + M, D); without ``ids_restore`` of a whole face."""
        x = self.embed(latent)
        if mask_token is not None and ids_restore is not None:
            x = unshuffle(x, mask_token, ids_restore)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.pred(self.norm(x)).mean(dim=1)


class PlainHead(nn.Module):
    """Projector or predictor: linear, LayerNorm, ReLU, linear.

    Args:
        in_dim: Width of the input.
        hidden_dim: Width between the two.
        out_dim: Width of the output.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.norm = nn.LayerNorm(hidden_dim)
        self.act = nn.ReLU()
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project (N, in_dim) to (N, out_dim)."""
        return self.fc2(self.act(self.norm(self.fc1(x))))
