"""The settings that build a converted network here, and what settings of ours say against building it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fsfm_mm.checkpoints.card import ModelCard
from fsfm_mm.checkpoints.heads import width_and_depth


def converted_settings(state: Mapping[str, torch.Tensor], card: ModelCard) -> dict[str, Any] | None:
    """A config's ``model`` for converted weights, as plain values.

    Args:
        state: The weights in our names.
        card: What is known of them.

    Returns:
        An ``ImageClassifier``, without a head where there is none. None where something is not known (statistics, the
        input size) or the weights are a pretraining's, whose decoders and losses a config says.
    """
    has_more = any(not key.startswith(('backbone.', 'head.')) for key in state)
    if has_more:
        return None
    if card.mean is None or card.std is None or card.input_size is None or card.num_heads is None:
        return None
    width, depth = width_and_depth(state)
    channels, patch = state['backbone.patch_embed.proj.weight'].shape[1:3]
    size = card.input_size
    backbone = {
        'type': 'FusedAttentionViT',
        'arch': {'embed_dim': width, 'depth': depth, 'num_heads': card.num_heads},
        'img_size': list(size) if isinstance(size, tuple) else size,
        'patch_size': patch,
        'in_channels': channels,
        'mlp_ratio': state['backbone.blocks.0.mlp.fc1.weight'].shape[0] / width,
        'qkv_bias': 'backbone.blocks.0.attn.qkv.bias' in state,
        'out_type': 'avg_featmap' if 'backbone.fc_norm.weight' in state else 'cls_token',
        'final_norm': 'backbone.norm.weight' in state,
    }
    statistics = {name: [255 * value for value in getattr(card, name)] for name in ('mean', 'std')}
    preprocessor: dict[str, Any] = {'type': 'FaceClsDataPreprocessor', **statistics}
    settings: dict[str, Any] = {'type': 'ImageClassifier', 'backbone': backbone}
    spoof, down = 'head.spoof.fc.weight' in state, state.get('head.adapter.down.weight')
    if spoof or 'head.fc.weight' in state:
        classes = len(state['head.spoof.fc.weight' if spoof else 'head.fc.weight'])
        preprocessor['num_classes'] = classes
        settings['head'] = {'type': 'LinearClsHead', 'num_classes': classes, 'in_channels': width}
    if spoof:
        hidden = len(state['head.spoof.bottleneck.weight'])
        settings['head'].update(type='AntiSpoofHead', hidden_dim=hidden, form='published')
        backbone['out_type'] = 'pooled_tokens'
    if down is not None:
        kind = 'AntiSpoofAdapterHead' if spoof else 'AdapterHead'
        settings['head'].update(type=kind, reduction=width // len(down))
        backbone['out_type'] = 'avg_featmap'
    return {**settings, 'data_preprocessor': preprocessor}


def check_head_stands_on(model: Mapping[str, Any] | None, state: Mapping[str, torch.Tensor]) -> None:
    """Refuse to hand on a head whose features a ViT elsewhere does not give it.

    Args:
        model: The settings in a card, or None.
        state: Its weights in our names or timm's.

    Raises:
        ValueError: When the head stands on something else than the last block's class token or pooled patches.
    """
    backbone = dict((model or {}).get('backbone') or {})
    if not {'head.weight', 'head.fc.weight'} & set(state) or not backbone:
        return
    usual = 'avg_featmap' if {'fc_norm.weight', 'backbone.fc_norm.weight'} & set(state) else 'cls_token'
    depth = width_and_depth(state)[1]
    found = {
        'out_type': (backbone.get('out_type', 'cls_token'), (usual,)),
        'out_indices': (backbone.get('out_indices', -1), (-1, depth - 1, [-1], [depth - 1])),
        'neck': ((model or {}).get('neck'), (None,)),
    }
    others = [f'{name}={value!r}' for name, (value, allowed) in found.items() if value not in allowed]
    if others:
        raise ValueError(
            f'the model was trained with {", ".join(others)}, but its head would get {usual} of the last block: '
            "leave the head out with drop=['head.'] (--drop head.)."
        )
