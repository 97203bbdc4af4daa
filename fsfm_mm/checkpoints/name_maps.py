"""Parameter names of other projects' vision transformers, beside ours.

A rule is (their name, our name); ``{i}`` stands for the number of a block. Rules of one ``group`` come
together or not at all; a rule without a group must be there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Reference prefix (with a dot) or whole name -> ours; none of them is the start of another.
REFERENCE_NAMES: dict[str, str] = {
    'cls_token': 'backbone.cls_token',
    'pos_embed': 'backbone.pos_embed',
    'patch_embed.': 'backbone.patch_embed.',
    'blocks.': 'backbone.blocks.',
    'norm.': 'backbone.norm.',
    'mask_token': 'mask_token',
    'decoder_pos_embed': 'pixel_decoder.pos_embed',
    'decoder_embed.': 'pixel_decoder.embed.',
    'decoder_blocks.': 'pixel_decoder.blocks.',
    'decoder_norm.': 'pixel_decoder.norm.',
    'decoder_pred.': 'pixel_decoder.pred.',
    'rep_decoder_pos_embed': 'rep_decoder.pos_embed',
    'rep_decoder_embed.': 'rep_decoder.embed.',
    'rep_decoder_blocks.': 'rep_decoder.blocks.',
    'rep_decoder_norm.': 'rep_decoder.norm.',
    'rep_decoder_pred.': 'rep_decoder.pred.',
    'projector.projection_head.0.': 'projector.fc1.',
    'projector.projection_head.1.': 'projector.norm.',
    'projector.projection_head.3.': 'projector.fc2.',
    'predictor.projection_head.0.': 'predictor.fc1.',
    'predictor.projection_head.1.': 'predictor.norm.',
    'predictor.projection_head.3.': 'predictor.fc2.',
}
#: Parts that the target has in the reference and here; its mask token is stored but never used.
TARGET_PARTS = ('backbone.', 'rep_decoder.', 'projector.')


@dataclasses.dataclass(frozen=True)
class Rule:
    """One parameter: their name, ours, and the group that it is optional with."""

    theirs: str
    ours: str
    group: str | None = None


def backwards(kind: str) -> list[Rule]:
    """The rules of a kind from our names to theirs."""
    return [Rule(rule.ours, rule.theirs, rule.group) for rule in NAME_MAPS[kind]]


def layer(theirs: str, ours: str, group: str | None = None) -> list[Rule]:
    """Weight and bias of a layer."""
    return [Rule(f'{theirs}.{end}', f'{ours}.{end}', group) for end in ('weight', 'bias')]


def blocks(
    theirs: str, ours: str, parts: dict[str, str], group: str | None = None, bias_group: str | None = None
) -> list[Rule]:
    """A stack of transformer blocks.

    Args:
        theirs: Their name of the stack.
        ours: Our name of the stack.
        parts: Layers of a block, their name -> ours.
        group: Group of the whole stack.
        bias_group: Group of its qkv biases, which a ViT may have in all blocks or in none.
    """
    rules = []
    for their_part, our_part in parts.items():
        for rule in layer(f'{theirs}.{{i}}.{their_part}', f'{ours}.{{i}}.{our_part}', group):
            is_qkv_bias = bias_group is not None and rule.ours.endswith('attn.qkv.bias')
            rules.append(dataclasses.replace(rule, group=bias_group) if is_qkv_bias else rule)
    return rules


#: The layers of a block in timm, in MAE, in the reference and here.
TIMM_BLOCK = {name: name for name in ('norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')}
MMPRETRAIN_BLOCK = {
    'ln1': 'norm1',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'ln2': 'norm2',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
}


def timm_vit(prefix: str = '', bias_group: str | None = None) -> list[Rule]:
    """Tokens, positions, patch embedding and blocks of a ViT in timm's names."""
    return [
        Rule(f'{prefix}cls_token', 'backbone.cls_token'),
        Rule(f'{prefix}pos_embed', 'backbone.pos_embed'),
        *layer(f'{prefix}patch_embed.proj', 'backbone.patch_embed.proj'),
        *blocks(f'{prefix}blocks', 'backbone.blocks', TIMM_BLOCK, bias_group=bias_group),
    ]


def timm_norms(prefix: str = '') -> list[Rule]:
    """The norms after the blocks: the last one, and the one over the mean of the patch tokens."""
    return [
        *layer(f'{prefix}norm', 'backbone.norm', 'norm'),
        *layer(f'{prefix}fc_norm', 'backbone.fc_norm', 'fc_norm'),
    ]


def adapter(prefix: str = '') -> list[Rule]:
    """FS-Adapter's bottleneck and projector."""
    return [
        Rule(f'{prefix}adapter.linear1.weight', 'head.adapter.down.weight'),
        Rule(f'{prefix}adapter.linear2.weight', 'head.adapter.up.weight'),
        *layer(f'{prefix}projector', 'head.projector'),
    ]


def _reference(groups: dict[str, str | None]) -> list[Rule]:
    """The reference's pretraining networks, from the table that :func:`from_reference` uses.

    Args:
        groups: First part of our name -> the group that makes it optional, or None; other parts are left
            out.
    """
    rules: list[Rule] = []
    for theirs, ours in REFERENCE_NAMES.items():
        part = ours.split('.')[0]
        if part not in groups:
            continue
        if not theirs.endswith('.'):
            rules.append(Rule(theirs, ours, groups[part]))
        elif theirs.endswith('blocks.'):
            rules += blocks(theirs[:-1], ours[:-1], TIMM_BLOCK, groups[part])
        else:
            ends = 'proj.' if theirs == 'patch_embed.' else ''
            rules += layer(f'{theirs}{ends}'[:-1], f'{ours}{ends}'[:-1], groups[part])
    return rules


SPOOF_CLASSIFIER = [
    *layer('embedder.bottleneck_layer_fc', 'head.spoof.bottleneck'),
    # the same layer a second time, as its container has it
    *layer('embedder.bottleneck_layer.0', 'head.spoof.bottleneck_again'),
    *layer('classifier.classifier_layer', 'head.spoof.fc'),
]
ONLINE = ('backbone', 'mask_token', 'pixel_decoder', 'rep_decoder', 'projector', 'predictor')

#: Kind of source -> its rules; ours are on the right of each.
NAME_MAPS: dict[str, list[Rule]] = {
    'fsfm-pretrain': _reference(dict.fromkeys(ONLINE)),
    'fsfm-target': [
        *_reference(dict.fromkeys(('backbone', 'rep_decoder', 'projector'))),
        Rule('mask_token', 'mask_token'),
    ],
    'fsfm-finetuned': [*timm_vit(), *timm_norms(), *layer('head', 'head.fc')],
    'fsfm-fas': [*timm_vit('backbone.vit.'), *timm_norms('backbone.vit.'), *SPOOF_CLASSIFIER],
    'fs-adapter-fas': [
        *timm_vit('backbone.vit.'),
        *timm_norms('backbone.vit.'),
        *adapter('backbone.vit.'),
        # of the ViT by itself; the spoof classifier follows instead
        *layer('backbone.vit.head', 'head.unused', 'unused'),
        *SPOOF_CLASSIFIER,
    ],
    'fs-adapter': [
        *timm_vit(),
        *timm_norms(),
        *adapter(),
        *layer('head', 'head.fc'),
    ],
    'mae': _reference({'backbone': None, 'mask_token': 'decoder', 'pixel_decoder': 'decoder'}),
    'timm': [*timm_vit(bias_group='qkv_bias'), *timm_norms(), *layer('head', 'head.fc', 'head')],
    'mmpretrain': [
        Rule('backbone.cls_token', 'backbone.cls_token'),
        Rule('backbone.pos_embed', 'backbone.pos_embed'),
        *layer('backbone.patch_embed.projection', 'backbone.patch_embed.proj'),
        *blocks('backbone.layers', 'backbone.blocks', MMPRETRAIN_BLOCK, bias_group='qkv_bias'),
        *layer('backbone.ln1', 'backbone.norm', 'norm'),
        *layer('backbone.ln2', 'backbone.fc_norm', 'fc_norm'),
        *layer('head.fc', 'head.fc', 'LinearClsHead'),
        *layer('head.layers.head', 'head.fc', 'VisionTransformerClsHead'),
    ],
}
SOURCES = tuple(kind for kind in NAME_MAPS if kind != 'fsfm-target')
#: What :func:`~fsfm_mm.checkpoints.convert.convert` converts to.
TARGETS = ('fsfm_mm', 'timm')
#: The reference's kinds, by the files that its code writes, which ours become again.
REFERENCE_KINDS = ('fsfm-pretrain', 'fsfm-finetuned', 'fsfm-fas', 'fs-adapter', 'fs-adapter-fas')
#: Where a kind's files keep the state dict; a file may also be nothing but the state dict.
WRAPPERS: dict[str, tuple[str, ...]] = {
    'fsfm-pretrain': ('model',),
    'fsfm-finetuned': ('model',),
    'fsfm-fas': ('state_dict',),
    'fs-adapter-fas': ('state_dict',),
    'fs-adapter': ('model',),
    'mae': ('model',),
    'timm': ('state_dict', 'model'),
    'mmpretrain': ('state_dict',),
    'fsfm_mm': ('state_dict',),
}
#: Kinds whose own tools load averaged weights where a file has them.
EMA_FIRST = ('timm',)
#: Parts of our self-supervised models that an ordinary ViT does not have.
PRETRAINING_PARTS = (
    'target.',
    'pixel_decoder.',
    'rep_decoder.',
    'projector.',
    'predictor.',
    'mask_token',
)


def _rename(key: str) -> str | None:
    """Our name of a reference key, or None when it is not one."""
    for theirs, ours in REFERENCE_NAMES.items():
        if key == theirs or (theirs.endswith('.') and key.startswith(theirs)):
            return ours + key[len(theirs) :]
    return None


def _renamed(state: Mapping[str, torch.Tensor], what: str) -> dict[str, torch.Tensor]:
    if isinstance(state.get('model'), Mapping):
        raise ValueError(f"{what} is a whole checkpoint, not a state dict: pass checkpoint['model']")
    names = {key: _rename(key) for key in state}
    unknown = sorted(key for key, name in names.items() if name is None)
    if unknown:
        raise ValueError(f'{what} has {len(unknown)} keys that the reference does not have: {unknown[:8]}')
    return {str(names[key]): value for key, value in state.items()}


def from_reference(
    online: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Turn the reference's pretraining state dicts into the state dict of :class:`FSFM`.

    Args:
        online: State dict of the online network (``checkpoint['model']`` of ``checkpoint-*.pth``).
        target: State dict of the target network (``checkpoint-te-*.pth``); without it the target
            starts from the online weights.

    Returns:
        A state dict for ``FSFM.load_state_dict(..., strict=True)``; tensors are shared, not copied
        (where the target starts from the online weights they are cloned).

    Raises:
        ValueError: When a key is not one of the reference's, naming it.
    """
    state = _renamed(online, 'the online state dict')
    if target is None:
        following = {k: v.clone() for k, v in state.items() if k.startswith(TARGET_PARTS)}
    else:
        following = _renamed(target, 'the target state dict')
        following.pop('mask_token', None)
        strangers = sorted(key for key in following if not key.startswith(TARGET_PARTS))
        if strangers:
            raise ValueError(f'the target state dict has keys of the online network only: {strangers[:8]}')
    return {**state, **{f'target.{key}': value for key, value in following.items()}}
