"""How many heads the attention has: no shape of a weight shows it, and another number gives other features."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.models.backbones.fused_attention_vit import ARCHS

#: Heads of (width, depth) in FSFM's and FS-VFM's code; 'small' is MoCo v3's.
REFERENCE = {(384, 12): 12, (768, 12): 12, (1024, 24): 16, (1280, 32): 16}
#: Heads of (width, depth) where they follow from who made the weights. What is missing here, two networks of that
#: kind share: ours from 'small' with 12 and from DeiT with 6; mmpretrain's DeiT-S with 6 and its MoCo v3 with 12.
USUAL_HEADS: dict[str, dict[tuple[int, int], int]] = {
    'fsfm-pretrain': REFERENCE,
    'fsfm-finetuned': REFERENCE,
    'fsfm-fas': REFERENCE,
    'fs-adapter': REFERENCE,
    'fs-adapter-fas': REFERENCE,
    'mae': {(768, 12): 12, (1024, 24): 16, (1280, 32): 16},
    'timm': {(192, 12): 3, (384, 12): 6, (768, 12): 12, (1024, 24): 16, (1280, 32): 16},
    'mmpretrain': {(192, 12): 3, (768, 8): 8, (768, 12): 12, (1024, 24): 16, (1280, 32): 16},
    'fsfm_mm': {(192, 12): 3, (768, 12): 12, (1024, 24): 16, (1280, 32): 16},
}


def width_and_depth(state: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Width and number of blocks of a ViT, from its state dict in our names or timm's."""
    prefix = 'backbone.' if 'backbone.cls_token' in state else ''
    numbers = [re.match(rf'{prefix}blocks\.(\d+)\.', key) for key in state]
    depth = 1 + max((int(number.group(1)) for number in numbers if number), default=-1)
    return state[f'{prefix}cls_token'].shape[-1], depth


def usual_heads(source: str, state: Mapping[str, torch.Tensor]) -> int | None:
    """Heads of a kind's network of that width and depth; None where these do not tell."""
    return USUAL_HEADS[source].get(width_and_depth(state))


def weights_heads(
    card: ModelCard | None, state: Mapping[str, torch.Tensor], num_heads: int | None, path: Any
) -> int | None:
    """Heads of weights: what their card says, or the caller.

    Args:
        card: Their card.
        state: Their state dict.
        num_heads: What the caller says.
        path: Their file, for messages.

    Returns:
        The number; None where nobody says and no name of an architecture could stand for a wrong one.

    Raises:
        ValueError: When card and caller contradict; when a converted file of a width that an architecture's name
            stands for has no number.
    """
    if card is not None and card.num_heads is not None:
        card.check_against(reaction='error', where='by num_heads', num_heads=num_heads)
        return card.num_heads
    if num_heads is None and card is not None and (card.source or '').startswith('converted from'):
        width, depth = width_and_depth(state)
        if any(width == sizes[0] for sizes in ARCHS.values()):
            raise ValueError(
                f'{path}: {ask_for_heads(width, depth)} Give num_heads (in a config: init_cfg.num_heads).'
            )
    return num_heads


def ask_for_heads(width: int, depth: int) -> str:
    """The sentence about weights whose number of heads is not known."""
    known = {kind: heads[width, depth] for kind, heads in USUAL_HEADS.items() if (width, depth) in heads}
    examples = ', '.join(
        f'{heads} in {kind}' for kind, heads in known.items() if kind in ('fsfm-pretrain', 'timm')
    )
    return (
        f'nothing says how many attention heads these weights of width {width} have, and their shapes do not show it'
        + (f' ({examples}).' if examples else '.')
    )


def heads_of(backbone: nn.Module) -> int | None:
    """Heads of a built backbone, ours or mmpretrain's; None where it does not say."""
    heads = getattr(backbone, 'num_heads', None)
    if heads is None:
        heads = (getattr(backbone, 'arch_settings', None) or {}).get('num_heads')
    return heads if isinstance(heads, int) else None


def arch_setting(width: int, depth: int, num_heads: int) -> str:
    """The ``arch`` of our backbone that has these sizes, as a config writes it."""
    for name, sizes in ARCHS.items():
        if sizes == (width, depth, num_heads):
            return repr(name)
    return f'dict(embed_dim={width}, depth={depth}, num_heads={num_heads})'


def check_heads(num_heads: int | None, backbone: nn.Module, path: Any) -> None:
    """Refuse weights in a backbone with another number of heads.

    Args:
        num_heads: Heads that the weights were trained with; None passes.
        backbone: What they are to go into.
        path: Their file, for the message.

    Raises:
        ValueError: Naming both numbers and the setting to change.
    """
    own = heads_of(backbone)
    if num_heads is None or own is None or own == num_heads:
        return
    width, depth = getattr(backbone, 'embed_dims', None), getattr(backbone, 'depth', None)
    setting = 'a backbone with as many heads'
    if isinstance(width, int) and isinstance(depth, int):
        setting = f'model.backbone.arch={arch_setting(width, depth, num_heads)}'
    raise ValueError(
        f'{path} has weights of {num_heads} attention heads, but the backbone has {own}; their shapes are the same, '
        f'the features would not be: set {setting}.'
    )
