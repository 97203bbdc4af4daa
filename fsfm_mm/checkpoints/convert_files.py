"""Files of other projects to ours and back, with a card that says what no weight shows."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fsfm_mm.checkpoints.card import COMPARED, ModelCard, installed_versions, read_card
from fsfm_mm.checkpoints.config_facts import facts_of_config
from fsfm_mm.checkpoints.convert import WITH_POOLED_HEAD, ConversionReport, convert
from fsfm_mm.checkpoints.converted_settings import check_head_stands_on, converted_settings
from fsfm_mm.checkpoints.grids import (
    Grid,
    check_grid,
    grid_of_card,
    input_size,
    positions_and_patches,
    read_grid,
    resample_patches,
    square_grid,
)
from fsfm_mm.checkpoints.heads import ask_for_heads, usual_heads, width_and_depth
from fsfm_mm.checkpoints.timm_files import (
    CONFIG_FILE,
    CONFIG_KEY,
    WEIGHTS_FILES,
    create_call,
    facts_of_timm,
    other_pictures,
    timm_config,
    weights_file,
)
from fsfm_mm.datasets.labelled.crops import PUBLISHED_CHIPS, PUBLISHED_MARGINS
from fsfm_mm.files import replacing
from fsfm_mm.files.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.statistics import load_mean_std

#: The reference's file of pixel statistics, beside its checkpoints.
STATS_FILE = 'pretrain_ds_mean_std.txt'
#: Folders in alphabetical order are the reference's labels: 0 = fake, 1 = real.
REFERENCE_CLASSES = ('fake', 'real')
#: Crops that the reference's own preparation makes; a file does not say by which its model was trained.
USUAL_CROPS: dict[str, dict[str, Any]] = {
    **{
        kind: {'detector': 'dlib', 'crop_margin': PUBLISHED_MARGINS['dlib']}
        for kind in ('fsfm-pretrain', 'fsfm-finetuned', 'fs-adapter')
    },
    **{kind: {'detector': PUBLISHED_CHIPS[0], 'view': 'whole'} for kind in ('fsfm-fas', 'fs-adapter-fas')},
}
TASKS = {
    'fsfm-pretrain': 'pretrain',
    'mae': 'pretrain',
    'fsfm-fas': 'antispoof',
    'fs-adapter-fas': 'antispoof',
}


def convert_file(
    path: str | os.PathLike,
    out: str | os.PathLike,
    source: str,
    target: str = 'fsfm_mm',
    target_file: str | os.PathLike | None = None,
    trust: bool = False,
    drop: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
    weights: str | None = None,
    grid: str | Sequence[int] | None = None,
    patch_size: int | None = None,
) -> tuple[ModelCard, ConversionReport]:
    """Convert a file and give it a card.

    Args:
        path: Checkpoint of the kind ``source``; for 'timm' also a folder of ``config.json`` and weights, for
            'fsfm_mm' a work directory, which stands for its last whole checkpoint.
            ``pretrain_ds_mean_std.txt`` beside it goes into the card.
        out: File to write: ``{'state_dict', 'card', 'meta'}``, or safetensors by its ending. For timm also a folder (no
            ending), which gets ``config.json`` and ``model.safetensors``.
        source: See :func:`~fsfm_mm.checkpoints.convert.convert`, as are ``target`` and ``drop``.
        target: 'fsfm_mm' or 'timm'.
        target_file: The target network's file of 'fsfm-pretrain'.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.
        drop: Prefixes of keys to leave out.
        facts: Fields of the card that the caller says: ``num_heads`` where neither file nor kind tells.
        known: Fields of the card that come with the file (of published weights).
        weights: 'ema' or 'raw', where the file has both; None takes what its kind's own tools load.
        grid: Rows and columns of its patches, '14x10', where the file does not tell and they are no square.
        patch_size: Resample the patches of an encoder to this side, on pictures of the same size.

    Returns:
        The card, and what became of every key.

    Raises:
        ValueError: As the three functions named; when the file knows otherwise than ``facts`` say, or nothing says what
            must be known (``num_heads``; for timm also mean, std and size). Nothing is written then.
    """
    path, out = Path(path), Path(out)
    if path.is_dir() and source in ('fsfm_mm', 'timm'):
        path = weights_file(path) if source == 'timm' else Path(checkpoint_file(path))
    checkpoint = load_checkpoint_file(path, trust)
    target_network = None if target_file is None else load_checkpoint_file(target_file, trust)
    state, report = convert(checkpoint, source, target, target_network, drop, weights)
    stated = stated_facts(checkpoint, state, source, path, known, read_grid(grid))
    card = _card(state, source, path, stated, facts or {})
    _need_heads(card, state, path)
    _check_size(card, state, path)
    if card.input_size is None:
        places = positions_and_patches(state)[0].shape[1] - 1
        report.notes.append(f'how its {places} patches lie is not known: --grid ROWSxCOLUMNS says it')
    if patch_size is not None and patch_size != card.patch_size:
        report.notes.append(
            f'patches of {card.patch_size} pixels are resampled to {patch_size}, and the positions'
        )
        state, card = resample_patches(state, card, patch_size, path)
    if 'num_heads' not in {**stated, **(facts or {})}:
        width = width_and_depth(state)[0]
        report.notes.append(
            f'{card.num_heads} attention heads, as {source} has them at width {width}; --num-heads says another number'
        )
    report.notes += _taken_for_granted(card, source, {**stated, **(facts or {})})
    pictures = other_pictures(checkpoint, path) if source == 'timm' else None
    report.notes += [pictures] if pictures else []
    if target == 'timm':
        check_head_stands_on((checkpoint.get('card') or {}).get('model'), state)
    else:
        card = dataclasses.replace(card, model=converted_settings(state, card))
    content: dict[str, Any] = {'state_dict': state, 'card': card.to_dict()}
    if target == 'timm':
        content[CONFIG_KEY] = timm_config(state, card)
        report.notes.append(create_call(content[CONFIG_KEY], out))
    as_folder = target == 'timm' and out.suffix == ''
    if as_folder or out.suffix == '.safetensors':
        save_checkpoint_file(content, out / WEIGHTS_FILES[0] if as_folder else out)
    else:
        # where mmpretrain's own tools look for the class names
        names = {'classes': list(card.classes), 'positive_class': card.positive_class} if card.classes else {}
        save_checkpoint_file({**content, 'meta': {'dataset_meta': names}}, out)
    if as_folder:
        with replacing(out / CONFIG_FILE) as part:
            part.write_text(
                json.dumps(content[CONFIG_KEY], indent=2, ensure_ascii=False) + '\n', encoding='utf-8'
            )
    return card, report


def card_of(
    checkpoint: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    source: str,
    path: Path,
    facts: Mapping[str, Any],
    known: Mapping[str, Any] | None = None,
    grid: Grid | None = None,
) -> ModelCard:
    """Card of converted weights: the checkpoint's own, or what format, shapes and files beside it say.

    Args:
        checkpoint: What was converted.
        state: The state dict made of it, in our or timm's names.
        source: Kind of the checkpoint.
        path: Its file.
        facts: Fields that the caller says; they win over what is usual for the kind.
        known: Fields that come with the file, as published weights have them.
        grid: Rows and columns of its patches, where the caller says them.

    Raises:
        ValueError: When ``facts`` contradict what the file, its shapes or the files beside it say.
    """
    return _card(state, source, path, stated_facts(checkpoint, state, source, path, known, grid), facts)


def _card(
    state: Mapping[str, torch.Tensor],
    source: str,
    path: Path,
    stated: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> ModelCard:
    """Card of what is usual for a kind, what its file states, and what the caller says."""
    names = ('head.fc.weight', 'head.weight', 'head.spoof.fc.weight')
    head = next((state[name] for name in names if name in state), None)
    usual: dict[str, Any] = {
        **USUAL_CROPS.get(source, {}),
        'task': TASKS.get(source, None if head is None else 'classify'),
        'source': f'converted from {source}: {path.name}',
        'versions': installed_versions(),
        'num_heads': usual_heads(source, state),
    }
    if source in WITH_POOLED_HEAD and head is not None and len(head) == len(REFERENCE_CLASSES):
        usual.update(classes=REFERENCE_CLASSES, positive_class='real')
    compared = {name: facts[name] for name in COMPARED if name in facts and stated.get(name) is not None}
    ModelCard(**stated).check_against(reaction='error', where='in what was given', **compared)
    return ModelCard(**{**usual, **stated, **facts})


def stated_facts(
    checkpoint: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    source: str,
    path: Path,
    known: Mapping[str, Any] | None = None,
    grid: Grid | None = None,
) -> dict[str, Any]:
    """What a file, its shapes and the files beside it say for its card; arguments as of :func:`card_of`."""
    table, patches = positions_and_patches(state)
    patch = patches.shape[-1]
    stated: dict[str, Any] = {'patch_size': patch, **(known or {})}
    beside = path.parent / STATS_FILE
    own = read_card(checkpoint, path)
    if own is not None:  # only we write one, also into files for others
        said = own.to_dict()
        stated.update({name: value for name, value in said.items() if value not in (None, {})})
        stated.pop('model', None)  # that of the network before
        if said['aggregation'] == ModelCard.aggregation:  # which nobody need have said
            del stated['aggregation']
    elif beside.is_file():
        stated.update(load_mean_std(beside))
    read: dict[str, Any] = {}
    if source == 'timm':
        read = facts_of_timm(checkpoint, state, path)
    elif source == 'mmpretrain' or (source == 'fsfm_mm' and 'num_heads' not in stated):
        read = facts_of_config(checkpoint, state, path)
    ModelCard(**stated).check_against(reaction='error', where=f'in the settings that {path} has', **read)
    stated.update(read)
    if grid is not None:
        check_grid(grid, table, path)
        size = {'input_size': input_size(grid, patch)}
        ModelCard(**stated).check_against(reaction='error', where='by grid', **size)
        stated.update(size)
    square = square_grid(table)
    if stated.get('input_size') is None and square is not None:
        stated['input_size'] = input_size(square, patch)
    return stated


def _check_size(card: ModelCard, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse an input size that the position table is not of."""
    grid = grid_of_card(card)
    if grid is not None:
        check_grid(grid, positions_and_patches(state)[0], path)


def _taken_for_granted(card: ModelCard, source: str, said: Mapping[str, Any]) -> list[str]:
    """What the card says of crops without anybody having said it, and what it cannot say."""
    usual = {key: value for key, value in USUAL_CROPS.get(source, {}).items() if key not in said}
    shown = ' '.join(f'{key}={value!r}' for key, value in usual.items())
    notes = [f'{shown}, as published for {source}; --card says otherwise'] if usual else []
    if source in ('fsfm-finetuned', 'fs-adapter') and card.view is None:
        notes.append(
            "what of a crop its tests showed: say --card view=whole (FS-VFM's deepfakes) or view=centre (FSFM, DiFF)"
        )
    return notes


def _need_heads(card: ModelCard, state: Mapping[str, torch.Tensor], path: Path) -> None:
    width, depth = width_and_depth(state)
    if card.num_heads is None:
        raise ValueError(f'{path}: {ask_for_heads(width, depth)} Give --num-heads (facts: num_heads).')
    if width % card.num_heads:
        raise ValueError(
            f'{path}: a width of {width} is not divisible by {card.num_heads} heads (num_heads).'
        )
