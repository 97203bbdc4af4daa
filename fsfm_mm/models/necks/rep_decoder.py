"""FSFM's Siamese representation decoder."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import nn

from fsfm_mm.models.layers import (
    LAYER_NORM_EPS,
    Block,
    init_transformer,
    position_table,
    resize_positions_on_load,
)
from fsfm_mm.ops.patches import gather_tokens
from fsfm_mm.registry import MODELS
from fsfm_mm.structures import TokenSplit


@MODELS.register_module()
class SiameseRepDecoder(BaseModule):
    """Turns encoder tokens into one representation of the whole face (FSFM section 3.2, 'ID').

    Online it completes the visible tokens with mask tokens, put in after ``embed``; the target sees all
    patches and needs none. The representation is the mean of ``pred`` over all 1 + L output tokens; a
    linear map and a mean commute, so ``pred`` is applied once, to the mean.

    Args:
        in_dim: Width D of the encoder, and of this decoder.
        grid: Patch grid (h, w).
        depth: Number of blocks.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the MLPs over D.
        positions: 'sincos', or 'zeros' as in the released weights (their table was never filled).
        fused: Attention kernel, see :class:`~fsfm_mm.models.layers.Attention`.
        with_cp: Activation checkpointing in every block, see :class:`~fsfm_mm.models.layers.Block`.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_dim: int,
        grid: tuple[int, int],
        depth: int = 2,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        positions: str = 'sincos',
        fused: bool | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.embed = nn.Linear(in_dim, in_dim)
        self.pos_embed = position_table(in_dim, grid, positions)
        self.blocks = nn.ModuleList(
            Block(in_dim, num_heads, mlp_ratio, fused=fused, with_cp=with_cp) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(in_dim, eps=LAYER_NORM_EPS)
        self.pred = nn.Linear(in_dim, in_dim)
        self.grid = grid
        init_transformer(self)
        resize_positions_on_load(self)

    def forward(
        self, latent: torch.Tensor, split: TokenSplit | None = None, mask_token: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Representation of each face.

        Args:
            latent: Encoder tokens (N, 1 + visible, D), or (N, 1 + L, D) of the whole face.
            split: Which patches are visible and masked; None for the whole face.
            mask_token: The shared mask token (1, 1, D); needed with a split.

        Returns:
            (N, D).
        """
        tokens = self.embed(latent)
        if split is None:
            tokens = tokens + self.pos_embed
        else:
            assert mask_token is not None
            positions = self.pos_embed[:, 1:]
            visible = tokens[:, 1:] + gather_tokens(positions, split.visible)
            masked = mask_token + gather_tokens(positions, split.masked)
            class_token = tokens[:, :1] + self.pos_embed[:, :1]
            tokens = torch.cat([class_token, visible, masked.to(visible.dtype)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.pred(self.norm(tokens).mean(dim=1))
