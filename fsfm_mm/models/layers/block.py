"""The pre-norm transformer block that encoder and decoders share."""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import nn
from torch.utils.checkpoint import checkpoint

from fsfm_mm.models.layers.attention import Attention
from fsfm_mm.models.layers.mlp import Mlp

#: LayerNorm epsilon of ViT and MAE; the projection heads keep torch's default instead.
LAYER_NORM_EPS = 1e-6


class Block(nn.Module):
    """``x + attn(norm1(x))``, then ``x + mlp(norm2(x))``; parameter names are timm's.

    Args:
        dim: Token width D.
        num_heads: Number of heads.
        mlp_ratio: Hidden width of the MLP over D.
        qkv_bias: Whether ``qkv`` has a bias.
        drop_path: Probability of dropping a residual branch per sample (stochastic depth).
        fused: See :class:`Attention`.
        with_cp: Activation checkpointing: keep only the block's input for the backward pass, which then
            computes the block again. The same numbers with less memory; without gradients it does nothing.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_path: float = 0.0,
        fused: bool | None = None,
        with_cp: bool = False,
    ):
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = Attention(dim, num_heads, qkv_bias, fused)
        # float(): a numpy scalar here makes torch.compile guard on it and recompile for ever
        self.drop_path = DropPath(float(drop_path)) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: torch.Tensor, first_query: int = 0) -> torch.Tensor:
        """Transform the tokens ``first_query:`` of x (N, L, D), attending over all of them.

        Returns:
            (N, L - first_query, D).
        """
        if not (self.with_cp and torch.is_grad_enabled()):
            return self._transform(x, first_query)
        # only stochastic depth draws random numbers, and the second pass must draw the same
        random = isinstance(self.drop_path, DropPath) and self.training
        return checkpoint(self._transform, x, first_query, use_reentrant=False, preserve_rng_state=random)

    def _transform(self, x: torch.Tensor, first_query: int) -> torch.Tensor:
        x = x[:, first_query:] + self.drop_path(self.attn(self.norm1(x), first_query))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def compile_blocks(module: nn.Module) -> int:
    """Compile every :class:`Block` below ``module`` in place; parameter names stay as they are.

    Blocks rather than the whole step: compiling the train step makes guards on the learning rate and on
    batch metadata, and recompiles for ever. Each shape gets a kernel of its own, since there are few (encoder,
    decoders, target, each in training and not; a short last batch): kernels for any length would be slower.

    Returns:
        The number of blocks.
    """
    blocks = [child for child in module.modules() if isinstance(child, Block)]
    # all blocks share one code object, and with it dynamo's limit: 8 by default, after which it stops compiling
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, 64)
    for block in blocks:
        block.compile(dynamic=False)
    return len(blocks)
