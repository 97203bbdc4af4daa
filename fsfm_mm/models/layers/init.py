"""Weight initialisation of MAE and FSFM."""

from __future__ import annotations

import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import nn

from fsfm_mm.models.layers.patch_embed import PatchEmbed
from fsfm_mm.ops.positions import sincos_2d


def init_transformer(module: nn.Module) -> None:
    """Xavier-uniform linears and patch embedding (seen as a linear), zero biases, LayerNorm 1/0.

    Source: FSFM (CVPR 2025) and MAE. Works in place on everything below ``module``.
    """
    for child in module.modules():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, PatchEmbed):
            nn.init.xavier_uniform_(child.proj.weight.view(child.proj.weight.shape[0], -1))
            if child.proj.bias is not None:
                nn.init.zeros_(child.proj.bias)
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)


def token(embed_dim: int) -> nn.Parameter:
    """A learned token (1, 1, D), drawn from a normal distribution with deviation 0.02."""
    return nn.Parameter(torch.randn(1, 1, embed_dim) * 0.02)


def position_table(
    embed_dim: int, grid: tuple[int, int], kind: str = 'sincos', trainable: bool = False
) -> nn.Parameter:
    """Position table (1, 1 + h*w, D) with the class token's row first.

    Args:
        embed_dim: Width D.
        grid: Patch grid (h, w).
        kind: 'sincos' (class token's row zero) or 'zeros' (the reference's rep decoder as released).
        trainable: Whether the optimiser changes it; fixed in pretraining.

    Raises:
        ValueError: For another kind.
    """
    if kind == 'sincos':
        table = torch.tensor(sincos_2d(embed_dim, grid), dtype=torch.get_default_dtype())
    elif kind == 'zeros':
        table = torch.zeros(1 + grid[0] * grid[1], embed_dim)
    else:
        raise ValueError(f"a position table is 'sincos' or 'zeros', found {kind!r}")
    return nn.Parameter(table.unsqueeze(0), requires_grad=trainable)


def resize_positions_on_load(module: nn.Module) -> None:
    """Let ``module.pos_embed`` (class token first) be loaded from a checkpoint of another square grid.

    The loaded table is interpolated (bicubic) to ``module.grid``. A table of the same length is taken as
    it is: its shape does not tell what grid it was made for.
    """
    module.register_load_state_dict_pre_hook(_resize_loaded_positions)


def _resize_loaded_positions(module: nn.Module, state_dict: dict, prefix: str, *args) -> None:
    name = f'{prefix}pos_embed'
    loaded, table = state_dict.get(name), module.get_parameter('pos_embed')
    if loaded is None or loaded.shape == table.shape or loaded.shape[-1] != table.shape[-1]:
        return
    side = round((loaded.shape[1] - 1) ** 0.5)
    if side * side + 1 == loaded.shape[1]:
        state_dict[name] = resize_pos_embed(loaded, (side, side), module.grid, 'bicubic', 1)
