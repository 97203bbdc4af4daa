"""What the text of a config inside a checkpoint says of its network; it is read, and never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import nn

from fsfm_mm.checkpoints.converted_settings import check_head_stands_on
from fsfm_mm.checkpoints.grids import input_size, positions_and_patches
from fsfm_mm.checkpoints.heads import heads_of, width_and_depth
from fsfm_mm.models.layers import LAYER_NORM_EPS
from fsfm_mm.registry import MODELS, refuse_unregistered
from fsfm_mm.settings.data import settings_of_text

#: Backbones whose settings are built, without memory, to be asked.
BACKBONES = ('FusedAttentionViT', 'VisionTransformer', 'MoCoV3ViT')


def facts_of_config(
    checkpoint: Mapping[str, Any], state: Mapping[str, torch.Tensor], path: Path
) -> dict[str, Any]:
    """Heads and statistics that the config of a checkpoint of mmengine states.

    Args:
        checkpoint: The file's content, with the text in ``meta.cfg`` (mmengine) or ``card.config`` (ours).
        state: Its state dict in our names or timm's.
        path: The file.

    Returns:
        ``num_heads`` and ``input_size``; ``mean`` and ``std`` (RGB, 0..1) where they are numbers. Nothing where there
        is no text, or none with such a backbone.

    Raises:
        ValueError: When the network computes something else than ours would from the same weights.
    """
    config = settings_of_text(_text_of(checkpoint))
    model = config.get('model')
    model = model if isinstance(model, dict) else {}
    backbone = model.get('backbone')
    if not isinstance(backbone, dict) or str(backbone.get('type')).rpartition('.')[2] not in BACKBONES:
        return {}
    try:
        refuse_unregistered(backbone, 'the backbone')
        with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
            network = MODELS.build({**backbone, 'init_cfg': None})
    except (AssertionError, KeyError, TypeError, ValueError):  # settings of another version
        return {}
    width, depth = width_and_depth(state)
    if (network.embed_dims, getattr(network, 'depth', getattr(network, 'num_layers', None))) != (
        width,
        depth,
    ):
        return {}  # a config of something around these weights
    others = _differences(network)
    preprocessor = {**(config.get('data_preprocessor') or {}), **(model.get('data_preprocessor') or {})}
    statistics: dict[str, Any] = {key: preprocessor.get(key) for key in ('mean', 'std')}
    are_numbers = all(
        isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int | float) for v in value)
        for value in statistics.values()
    )
    if are_numbers and preprocessor.get('to_rgb') is False:
        others.append('it sees BGR')
    if others:
        raise ValueError(
            f'the config in {path} has a network that would give other features here: {"; ".join(others)}.'
        )
    check_head_stands_on(model, state)
    scale = 1.0 if preprocessor.get('type') == 'FaceDataPreprocessor' else 255.0
    facts: dict[str, Any] = {'num_heads': heads_of(network)}
    places = getattr(network, 'patch_resolution', getattr(network, 'grid', None))
    table, patches = positions_and_patches(state)
    if places is not None and places[0] * places[1] + 1 == table.shape[1]:
        facts['input_size'] = input_size(tuple(places), patches.shape[-1])
    if are_numbers:
        facts.update({key: tuple(value / scale for value in values) for key, values in statistics.items()})
    return facts


def _text_of(checkpoint: Mapping[str, Any]) -> str:
    meta, card = (checkpoint.get(name) for name in ('meta', 'card'))
    texts = (part.get(key) for part, key in ((card, 'config'), (meta, 'cfg')) if isinstance(part, Mapping))
    return next((text for text in texts if isinstance(text, str)), '')


def _differences(network: nn.Module) -> list[str]:
    """What a backbone of mmpretrain computes otherwise than ours although names and shapes are the same."""
    found = []
    eps = {layer.eps for layer in network.modules() if isinstance(layer, nn.LayerNorm)} - {LAYER_NORM_EPS}
    if eps:
        found.append(f'its LayerNorm has eps {min(eps):g}, ours {LAYER_NORM_EPS:g}')
    for block in getattr(network, 'layers', ()):
        layers = getattr(getattr(block, 'ffn', None), 'layers', None)
        activation = layers[0][1] if layers is not None else None
        if not isinstance(activation, nn.GELU) or activation.approximate != 'none':
            found.append(f'its activation is {type(activation).__name__}, ours GELU')
            break
    return found
