"""Positions and patches of weights for another grid: resampled where their own is known, which is never guessed."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmpretrain.models.utils import resize_pos_embed
from timm.layers.patch_embed import resample_patch_embed
from torch import nn

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.name_maps import PRETRAINING_PARTS

State = dict[str, torch.Tensor]
Grid = tuple[int, int]
SAY_GRID = "state rows x columns of the weights' patches, as in grid='14x10' (init_cfg.grid, --grid)"


def read_grid(grid: str | Sequence[int] | None) -> Grid | None:
    """Rows and columns of '14x10' or (14, 10); raises ValueError for anything else."""
    found = re.fullmatch(r'(\d+)x(\d+)', grid.strip()) if isinstance(grid, str) else None
    sides = [int(side) for side in found.groups()] if found else grid
    if sides is None:
        return None
    if isinstance(sides, str) or len(sides) != 2 or not all(isinstance(s, int) and s > 0 for s in sides):
        raise ValueError(f'grid must be rows x columns of patches, as in 14x10, found {grid!r}.')
    return sides[0], sides[1]


def grid_of_card(card: ModelCard | None) -> Grid | None:
    """Rows and columns of patches that a card states; None where it does not."""
    if card is None or card.input_size is None or card.patch_size is None:
        return None
    height, width = (card.input_size,) * 2 if isinstance(card.input_size, int) else card.input_size
    return height // card.patch_size, width // card.patch_size


def square_grid(table: torch.Tensor) -> Grid | None:
    """The square grid of a position table (1, 1 + places, width); None where there is none."""
    side = math.isqrt(table.shape[1] - 1)
    return (side, side) if side * side + 1 == table.shape[1] else None


def check_grid(grid: Grid, table: torch.Tensor, where: Any) -> None:
    """Raise ValueError unless a position table has the places of a grid and one for the class token."""
    if grid[0] * grid[1] + 1 != table.shape[1]:
        raise ValueError(
            f'{where} has a position table of {table.shape[1] - 1} patches, which a grid of {grid[0]}x{grid[1]} is not.'
        )


def with_grid(
    card: ModelCard | None, state: Mapping[str, torch.Tensor], grid: Any, where: Any
) -> ModelCard | None:
    """A card with the input size that a stated grid means.

    Args:
        card: What is known, or None.
        state: A backbone's weights, by our names.
        grid: See :func:`read_grid`; None leaves the card as it is.
        where: The file, for messages.

    Raises:
        ValueError: The grid is not the weights', or the card states another.
    """
    sides = read_grid(grid)
    if sides is None:
        return card
    table, patches = positions_and_patches(state)
    check_grid(sides, table, where)
    known = grid_of_card(card)
    if known not in (None, sides):
        raise ValueError(
            f'{where} has patches of {known[0]}x{known[1]} by its card, not of {sides[0]}x{sides[1]} (grid).'
        )
    patch = patches.shape[-1]
    return dataclasses.replace(
        card or ModelCard(aggregation=None), patch_size=patch, input_size=input_size(sides, patch)
    )


def positions_and_patches(state: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Position table and patch embedding of a ViT, by our names or timm's; raises ValueError where it has none."""
    prefix = 'backbone.' if 'backbone.pos_embed' in state else ''
    names = (f'{prefix}pos_embed', f'{prefix}patch_embed.proj.weight')
    missing = [name for name in names if name not in state]
    if missing:
        raise ValueError(
            f'weights without {" and ".join(missing)} have no grid of patches: leave grid and patch_size out.'
        )
    return state[names[0]], state[names[1]]


def input_size(grid: Grid, patch: int) -> int | Grid:
    """Side, or (height, width), of the pictures of a grid."""
    return grid[0] * patch if grid[0] == grid[1] else (grid[0] * patch, grid[1] * patch)


def regridded(state: Mapping[str, torch.Tensor], model: nn.Module, stated: Grid | None, where: Any) -> State:
    """Weights with position tables (bicubic) for the grids that a model has.

    Args:
        state: Weights by the model's names.
        model: With modules that have ``pos_embed`` and ``grid``; tables of others stay as they are.
        stated: The grid that the weights are of, where somebody says it; a square one is taken for what it is, unless
            the model has as many patches in another shape.
        where: The file, for messages.

    Raises:
        ValueError: It is not known which grid a table is of that could be taken as it is.
    """
    result = dict(state)
    for name, module in model.named_modules():
        key = f'{name}.pos_embed' if name else 'pos_embed'
        new, own = getattr(module, 'grid', None), getattr(module, 'pos_embed', None)
        table = state.get(key)
        if new is None or own is None or table is None or table.shape[-1] != own.shape[-1]:
            continue
        if stated is not None:
            check_grid(stated, table, where)
        old = stated or square_grid(table)
        if stated is None and old != tuple(new) and table.shape == own.shape:
            raise ValueError(
                f'nothing says how the {table.shape[1] - 1} patches of {where} lie, and this model has '
                f'{new[0]}x{new[1]}: {SAY_GRID}.'
            )
        if old is not None and old != tuple(new):
            result[key] = resize_pos_embed(table, old, tuple(new), 'bicubic', 1)
    return result


def resample_patches(
    state: Mapping[str, torch.Tensor], card: ModelCard, patch_size: int, where: Any
) -> tuple[State, ModelCard]:
    """Weights for patches of another side, on pictures of the same size: timm's resampling (FlexiViT's).

    Args:
        state: An encoder's weights, with or without ``backbone.`` before their names, and a head's.
        card: What is known of them.
        patch_size: The new side in pixels.
        where: The file, for messages.

    Returns:
        Weights whose patches and positions are resampled, and the card of them.

    Raises:
        ValueError: There are decoders, whose outputs are patches, too; the grid is not known; or the pictures cannot be
            cut into such patches.
    """
    prefix = 'backbone.' if 'backbone.pos_embed' in state else ''
    table, patches = positions_and_patches(state)
    old = grid_of_card(card) or square_grid(table)
    if patch_size == patches.shape[-1]:
        return dict(state), card
    if any(key.startswith(PRETRAINING_PARTS) for key in state):
        raise ValueError(
            f'{where} has decoders, which predict patches of {patches.shape[-1]} pixels: patch_size is for an encoder '
            'alone (init_cfg of a backbone, or leave the decoders out).'
        )
    if old is None:
        raise ValueError(f'nothing says how the {table.shape[1] - 1} patches of {where} lie: {SAY_GRID}.')
    check_grid(old, table, where)
    height, width = (side * patches.shape[-1] for side in old)
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise ValueError(
            f'pictures of {height}x{width}, as {where} sees, have no whole patches of {patch_size} pixels.'
        )
    new = (height // patch_size, width // patch_size)
    result = dict(state)
    result[f'{prefix}patch_embed.proj.weight'] = resample_patch_embed(patches, [patch_size, patch_size])
    result[f'{prefix}pos_embed'] = resize_pos_embed(table, old, new, 'bicubic', 1)
    model = card.model
    if model and model.get('backbone'):
        model = {**model, 'backbone': {**model['backbone'], 'patch_size': patch_size}}
    return result, dataclasses.replace(
        card, patch_size=patch_size, input_size=input_size(new, patch_size), model=model
    )
