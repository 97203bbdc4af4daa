"""MAE's pixel decoder."""

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
from fsfm_mm.ops.patches import gather_tokens, restore_order
from fsfm_mm.registry import MODELS
from fsfm_mm.structures import TokenSplit


@MODELS.register_module()
class MAEPixelDecoder(BaseModule):
    """Predicts the pixels of hidden patches from the encoder's latent (MAE; FSFM section 3.2).

    Tokens stay in the order [class, visible, masked]. Mask tokens have the encoder's width and are put
    in before ``decoder_embed``, so the embedded mask token is one vector for all hidden patches. In
    training the last block computes queries for the hidden tokens only; the numbers are the same.

    Args:
        in_dim: Width D of the encoder.
        grid: Patch grid (h, w).
        patch_dim: Values per patch, p*p*C.
        embed_dim: Width of the decoder.
        depth: Number of blocks.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the MLPs over ``embed_dim``.
        fused: Attention kernel, see :class:`~fsfm_mm.models.layers.Attention`.
        with_cp: Activation checkpointing in every block, see :class:`~fsfm_mm.models.layers.Block`.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_dim: int,
        grid: tuple[int, int],
        patch_dim: int,
        embed_dim: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        fused: bool | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.embed = nn.Linear(in_dim, embed_dim)
        self.pos_embed = position_table(embed_dim, grid)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, fused=fused, with_cp=with_cp) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=LAYER_NORM_EPS)
        self.pred = nn.Linear(embed_dim, patch_dim)
        self.grid = grid
        init_transformer(self)
        resize_positions_on_load(self)

    def _tokens(self, latent: torch.Tensor, split: TokenSplit, mask_token: torch.Tensor) -> torch.Tensor:
        latent = self.embed(latent)
        positions = self.pos_embed[:, 1:]
        class_token = latent[:, :1] + self.pos_embed[:, :1]
        visible = latent[:, 1:] + gather_tokens(positions, split.visible)
        masked = self.embed(mask_token) + gather_tokens(positions, split.masked)
        return torch.cat([class_token, visible, masked], dim=1)

    def forward(
        self, latent: torch.Tensor, split: TokenSplit, mask_token: torch.Tensor, all_patches: bool = False
    ) -> torch.Tensor:
        """Predict patches.

        Args:
            latent: The encoder's output (N, 1 + visible, D).
            split: Which patches are visible and masked.
            mask_token: The shared mask token (1, 1, D).
            all_patches: Predict the visible patches too, in row-major order.

        Returns:
            (N, K, p*p*C) for the masked patches in ascending order, or (N, L, p*p*C).
        """
        tokens = self._tokens(latent, split, mask_token)
        first_masked = 1 + split.visible.shape[1]
        first = 1 if all_patches else first_masked
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        tokens = self.blocks[-1](tokens, first) if len(self.blocks) else tokens[:, first:]
        pred = self.pred(self.norm(tokens))
        return restore_order(pred, split) if all_patches else pred
