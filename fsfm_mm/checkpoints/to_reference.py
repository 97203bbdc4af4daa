"""Our checkpoints in the file forms of the reference: names and wrappers that its own code loads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fsfm_mm.checkpoints.card import read_card
from fsfm_mm.checkpoints.convert import match_rules, state_dict_of
from fsfm_mm.checkpoints.convert_files import REFERENCE_CLASSES, STATS_FILE
from fsfm_mm.checkpoints.heads import REFERENCE, width_and_depth
from fsfm_mm.checkpoints.name_maps import REFERENCE_KINDS, WRAPPERS, backwards
from fsfm_mm.files import write_atomically
from fsfm_mm.files.checkpoint_files import load_checkpoint_file, save_checkpoint_file

State = dict[str, torch.Tensor]
AGAIN = 'head.spoof.bottleneck_again.'


def to_reference(checkpoint: Mapping[str, Any], kind: str) -> tuple[State, State | None]:
    """State dicts in the reference's names.

    Tensors are shared with the input. What the reference stores and never reads is filled in: the bottleneck's second
    name with the same tensors, the ViT's own head beside an anti-spoofing adapter with zeros, the target's mask
    token with the online network's.

    Args:
        checkpoint: One of our checkpoints, or its state dict.
        kind: One of :data:`REFERENCE_KINDS`.

    Returns:
        The state dict, and for 'fsfm-pretrain' the target network's, which is a second file there.

    Raises:
        ValueError: For another kind, or when the weights are not of this kind, listing the keys.
    """
    if kind not in REFERENCE_KINDS:
        raise ValueError(f'{kind!r} is no kind of file of the reference: choose one of {REFERENCE_KINDS}.')
    ours = state_dict_of(checkpoint, 'fsfm_mm')
    if kind == 'fsfm-pretrain':
        target = {k.removeprefix('target.'): v for k, v in ours.items() if k.startswith('target.')}
        online = {k: v for k, v in ours.items() if not k.startswith('target.')}
        if 'mask_token' in online:
            target['mask_token'] = online['mask_token']
        return _renamed(online, kind), _renamed(target, 'fsfm-target')
    if kind.endswith('-fas'):
        for end in ('weight', 'bias'):
            if f'head.spoof.bottleneck.{end}' in ours:
                ours[AGAIN + end] = ours[f'head.spoof.bottleneck.{end}']
    if kind == 'fs-adapter-fas' and 'head.adapter.up.weight' in ours:
        up = ours['head.adapter.up.weight']
        classes = ours['head.spoof.fc.weight'].shape[0] if 'head.spoof.fc.weight' in ours else 2
        ours['head.unused.weight'] = up.new_zeros(classes, 2 * up.shape[0])
        ours['head.unused.bias'] = up.new_zeros(classes)
    return _renamed(ours, kind), None


def _renamed(ours: Mapping[str, torch.Tensor], kind: str) -> State:
    names = match_rules(ours, backwards(kind), f'one of our checkpoints that could become {kind!r}')
    return {names[key]: value for key, value in ours.items()}


def write_reference_files(
    path: str | os.PathLike,
    out: str | os.PathLike,
    kind: str,
    target_out: str | os.PathLike | None = None,
    trust: bool = False,
) -> list[Path]:
    """Convert one of our files into the reference's; its statistics are written beside it, as its code expects them.

    Args:
        path: Our checkpoint.
        out: File to write, ``{'model': ...}`` or as the kind has it; its card goes along under ``card``.
        kind: See :func:`to_reference`.
        target_out: For 'fsfm-pretrain': the target network's file. None: ``OUT`` with ``-te`` before its ending.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.

    Returns:
        The files written.

    Raises:
        ValueError: As :func:`to_reference`; when the card says other heads than the reference's network of that size
            has, or classes in another order. Nothing is written then.
    """
    checkpoint = load_checkpoint_file(path, trust)
    card = read_card(checkpoint, path)
    size = width_and_depth(state_dict_of(checkpoint, 'fsfm_mm'))
    heads = None if card is None else card.num_heads
    if heads not in (None, REFERENCE.get(size, heads)):
        raise ValueError(
            f'{path} has weights of {heads} attention heads, but the reference builds width {size[0]} with '
            f'{REFERENCE[size]}: its features would be others there.'
        )
    if card is not None and card.classes not in (None, REFERENCE_CLASSES):
        raise ValueError(
            f"{path} has the classes {card.classes}, but the reference's labels are {REFERENCE_CLASSES}: its scores "
            'would mean something else there.'
        )
    online, target = to_reference(checkpoint, kind)
    more = {'card': checkpoint['card']} if checkpoint.get('card') is not None else {}
    place = Path(out)
    files = [(place, online)]
    if target is not None:
        files.append((Path(target_out or place.with_name(f'{place.stem}-te{place.suffix}')), target))
    for name, state in files:
        save_checkpoint_file({WRAPPERS[kind][0]: state, **more}, name)
    written = [name for name, _ in files]
    if card is not None and card.mean is not None and card.std is not None:
        statistics = {'mean': list(card.mean), 'std': list(card.std)}
        written.append(write_atomically(place.with_name(STATS_FILE), json.dumps(statistics) + '\n'))
    return written
