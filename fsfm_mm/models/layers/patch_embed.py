"""Patch embedding as one linear map over ready-made patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PatchEmbed(nn.Module):
    """Linear embedding of patches, stored as the usual convolution (timm's ``patch_embed.proj``).

    Patches are cut once per batch (:func:`fsfm_mm.ops.patches.patchify`) and serve the online encoder,
    the target and the pixel loss; a convolution would cut them again and embed the hidden ones too.

    Args:
        patch_size: Side p of a patch in pixels.
        in_channels: Channels C.
        embed_dim: Width D.
    """

    def __init__(self, patch_size: int, in_channels: int, embed_dim: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed patches (N, M, p*p*C) in (row, column, channel) order; returns (N, M, D)."""
        weight = self.proj.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches, weight, self.proj.bias)
