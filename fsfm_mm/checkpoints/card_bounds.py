"""What a card may ask for: a small file from anybody must not make this machine build a model of gigabytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fsfm_mm.settings.data import flat

#: Whole numbers up to here are no sizes that cost anything by themselves.
_HARMLESS = 1 << 16
#: Elements that tables which no file holds (positions) may have.
_TABLES = 1 << 26


def refuse_larger(model: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
    """Refuse settings of a card that ask for far more than the file holds, before anything is built from them.

    Args:
        model: The card's ``model``; empty where it has none.
        state: The weights of the file.
        path: The file.

    Raises:
        ValueError: Naming the setting.
    """
    held = sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))
    for name, value in flat(dict(model)).items():
        if _is_whole(value) and value > max(held, _HARMLESS):
            raise _too_large(path, f'{name}={value}', held)
    backbone, head = (_mapping(model.get(part)) for part in ('backbone', 'head'))
    arch = _mapping(backbone.get('arch'))
    depth, dim = _whole(arch.get('depth'), 0), _whole(arch.get('embed_dim'), 1024)
    if depth * dim**2 > held:  # a block holds twelve times embed_dim squared
        raise _too_large(path, f'depth={depth}, embed_dim={dim}', held)
    size, patch = backbone.get('img_size'), _whole(backbone.get('patch_size'), 16)
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    patches = math.prod(_whole(side, 1) for side in sides) // max(patch, 1) ** 2
    if patches * dim > max(held, _TABLES):
        raise _too_large(path, f'img_size={size}, patch_size={patch}', held)
    inner, classes = (_whole(head.get(key), 1) for key in ('in_channels', 'num_classes'))
    if inner * classes > max(held, _HARMLESS):
        raise _too_large(path, f'in_channels={inner}, num_classes={classes}', held)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any, otherwise: int) -> int:
    return value if _is_whole(value) else otherwise


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _too_large(path: Path, what: str, held: int) -> ValueError:
    return ValueError(
        f'the card of {path} asks for a model with {what:.80}, but the file holds {held} numbers only.'
    )
