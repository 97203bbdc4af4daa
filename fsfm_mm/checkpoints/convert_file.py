"""Checkpoint files of other projects to checkpoint files with a card."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fsfm_mm.checkpoints.card import ModelCard, installed_versions
from fsfm_mm.checkpoints.convert import WITH_POOLED_HEAD, ConversionReport, convert
from fsfm_mm.files.checkpoint_reading import load_checkpoint_file
from fsfm_mm.files.checkpoint_writing import save_checkpoint_file
from fsfm_mm.statistics import load_mean_std

#: The reference's file of pixel statistics, beside its checkpoints.
STATS_FILE = 'pretrain_ds_mean_std.txt'
#: Folders in alphabetical order are the reference's labels: 0 = fake, 1 = real.
REFERENCE_CLASSES = ('fake', 'real')
TASKS = {'fsfm-pretrain': 'pretrain', 'mae': 'pretrain', 'fsfm-fas': 'antispoof'}


def convert_file(
    path: str | os.PathLike,
    out: str | os.PathLike,
    source: str,
    target: str = 'fsfm_mm',
    target_file: str | os.PathLike | None = None,
    trust: bool = False,
    drop: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> tuple[ModelCard, ConversionReport]:
    """Convert a file and give it a card.

    Args:
        path: Checkpoint of the kind ``source``. ``pretrain_ds_mean_std.txt`` beside it goes into the card.
        out: File to write: ``{'state_dict', 'card', 'meta'}``, or safetensors by its ending.
        source: See :func:`~fsfm_mm.checkpoints.convert.convert`, as are ``target`` and ``drop``.
        target: 'fsfm_mm' or 'timm'.
        target_file: The target network's file of 'fsfm-pretrain'.
        trust: See :func:`~fsfm_mm.files.checkpoint_reading.load_checkpoint_file`.
        drop: Prefixes of keys to leave out.
        facts: Fields of the card that the caller knows; they win.

    Returns:
        The card, and what became of every key.

    Raises:
        ValueError: As the three functions named; nothing is written then.
    """
    checkpoint = load_checkpoint_file(path, trust)
    target_network = None if target_file is None else load_checkpoint_file(target_file, trust)
    state, report = convert(checkpoint, source, target, target_network, drop)
    card = card_of(checkpoint, state, source, Path(path), facts or {})
    content: dict[str, Any] = {'state_dict': state, 'card': card.to_dict()}
    if Path(out).suffix != '.safetensors':
        # where mmpretrain's own tools look for the class names
        names = {'classes': list(card.classes), 'positive_class': card.positive_class} if card.classes else {}
        content['meta'] = {'dataset_meta': names}
    save_checkpoint_file(content, out)
    return card, report


def card_of(
    checkpoint: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    source: str,
    path: Path,
    facts: Mapping[str, Any],
) -> ModelCard:
    """Card of converted weights: the checkpoint's own, or what format, shapes and files beside it say.

    Args:
        checkpoint: What was converted.
        state: The state dict made of it, in our or timm's names.
        source: Kind of the checkpoint.
        path: Its file.
        facts: Fields that the caller knows; they win.
    """
    if source == 'fsfm_mm' and checkpoint.get('card') is not None:
        return ModelCard.from_dict({**checkpoint['card'], **facts})
    found: dict[str, Any] = {
        'task': TASKS.get(
            source, 'classify' if 'head.fc.weight' in state or 'head.weight' in state else None
        ),
        'source': f'converted from {source}: {path.name}',
        'versions': installed_versions(),
        **_sizes(state),
    }
    beside = path.parent / STATS_FILE
    if beside.is_file():
        found.update(load_mean_std(beside))
    head = state.get('head.fc.weight', state.get('head.weight'))
    if source in WITH_POOLED_HEAD and head is not None and len(head) == len(REFERENCE_CLASSES):
        found.update(classes=REFERENCE_CLASSES, positive_class='real')
    return ModelCard(**{**found, **facts})


def _sizes(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Input and patch size, from the shapes of patch embedding and position table (square images)."""
    prefix = 'backbone.' if 'backbone.pos_embed' in state else ''
    patch = state[f'{prefix}patch_embed.proj.weight'].shape[-1]
    side = round((state[f'{prefix}pos_embed'].shape[1] - 1) ** 0.5)
    is_square = side * side == state[f'{prefix}pos_embed'].shape[1] - 1
    return {'patch_size': patch, **({'input_size': side * patch} if is_square else {})}
