"""From a pretraining checkpoint to the backbone of a classifier: strict, and loud where something differs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from fsfm_mm.checkpoints.card import ModelCard, read_card
from fsfm_mm.checkpoints.convert import convert, read_state
from fsfm_mm.checkpoints.convert_files import card_of
from fsfm_mm.checkpoints.grids import (
    SAY_GRID,
    grid_of_card,
    read_grid,
    regridded,
    resample_patches,
    with_grid,
)
from fsfm_mm.checkpoints.heads import check_heads, weights_heads
from fsfm_mm.checkpoints.zoo import fetch, zoo_entry, zoo_names
from fsfm_mm.datasets.labelled.crops import CROP_FACTS
from fsfm_mm.files.broken import broken
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.files.checkpoint_matching import mismatch
from fsfm_mm.statistics import resolve_stats
from fsfm_mm.text import few

PREFIX = 'backbone.'
#: Where an initialised backbone keeps (card, file, what may differ) until the model around it is looked at.
MARK = '_came_with_card'


def pretrained_backbone(
    checkpoint: Mapping[str, Any], keep_norm: bool = False, weights: str | None = None
) -> dict[str, torch.Tensor]:
    """State dict of the backbone in one of our checkpoints.

    Args:
        checkpoint: A checkpoint or state dict with ``backbone.*`` keys.
        keep_norm: Keep the final norm. A classifier on the mean of patch tokens has ``fc_norm`` in its
            place, which starts fresh (the papers' fine-tuning); one on the class token goes on with it.
        weights: 'ema' or 'raw', where there are both.

    Returns:
        Parameter names without ``backbone.``.

    Raises:
        ValueError: When there is no backbone in it.
    """
    state, _, notes = read_state(checkpoint, 'fsfm_mm', weights)
    for note in notes:
        print_log(note, logger='current')
    found = {key[len(PREFIX) :]: value for key, value in state.items() if key.startswith(PREFIX)}
    if not found:
        raise ValueError(
            f"the checkpoint has no 'backbone.*' keys (found {few(list(state), 4, ' ...')}): convert files of "
            'other projects with fsfm-mm convert first, or name their source.'
        )
    return {key: value for key, value in found.items() if keep_norm or not key.startswith('norm.')}


def locate(path: str | os.PathLike, source: str) -> tuple[str | os.PathLike, str, dict[str, Any]]:
    """File, kind and known facts of a path, or of a name of the zoo, which is fetched."""
    name = os.fspath(path)
    if name not in zoo_names():
        return path, source, {}
    entry = zoo_entry(name)
    mean, std = resolve_stats(entry['statistics'])
    facts = {'mean': mean, 'std': std, 'num_heads': entry['num_heads']}
    facts |= {key: entry[key] for key in CROP_FACTS}
    facts['source'] = f'{name} (huggingface.co/{entry["repository"]})'
    return fetch(name), entry['source'], facts


def read_encoder(
    path: str | os.PathLike,
    source: str = 'fsfm_mm',
    trust: bool = False,
    num_heads: int | None = None,
    weights: str | None = None,
    grid: str | Sequence[int] | None = None,
    patch_size: int | None = None,
) -> tuple[dict[str, torch.Tensor], ModelCard | None]:
    """State dict of the encoder in a checkpoint, with its last norm, and the card.

    Args:
        path: A checkpoint file; a work directory, which stands for its last whole checkpoint; or a name of the zoo,
            which is fetched.
        source: 'fsfm_mm', or the kind of a file that is to be converted in passing.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.
        weights: 'ema' or 'raw', where a file has both; None takes what its kind's own tools load.
        grid: Rows and columns of its patches, '14x10', where the file does not tell and they are no square.
        patch_size: Resample the patches to this side, on pictures of the same size.

    Raises:
        ValueError: The file cannot be read or converted, has no backbone, or contradicts what is said of it.
    """
    found, source, facts = locate(path, source)
    file = found if facts else checkpoint_file(found)
    checkpoint = load_checkpoint_file(file, trust)
    card: ModelCard | None
    if source == 'fsfm_mm':
        try:
            state = pretrained_backbone(checkpoint, keep_norm=True, weights=weights)
        except ValueError as error:
            raise broken(file, f': {error}') from error
        card = read_card(checkpoint, file)
    else:
        content, report = convert(checkpoint, source, weights=weights)
        for note in report.notes:
            print_log(note, logger='current')
        said = {} if num_heads is None else {'num_heads': num_heads}
        card = card_of(checkpoint, content, source, Path(file), said, facts, read_grid(grid))
        state = pretrained_backbone(content, keep_norm=True)
    card = with_grid(card, state, grid, path)
    if patch_size is not None:
        state, card = resample_patches(state, card or ModelCard(aggregation=None), patch_size, path)
    return state, card


def load_pretrained_backbone(
    backbone: nn.Module,
    path: str | os.PathLike,
    source: str = 'fsfm_mm',
    trust: bool = False,
    num_heads: int | None = None,
    **options: Any,
) -> ModelCard | None:
    """Load a pretrained encoder; only ``fc_norm`` may start fresh, all else must match.

    A position table of another grid is interpolated. A checkpoint that has an ``fc_norm`` (fine-tuned on another task)
    gives it to a backbone with one.

    Args:
        backbone: E.g. ``classifier.backbone``; changed in place, or not at all on an error.
        path: A checkpoint file; a work directory, for its last whole checkpoint; or a name of the zoo, which is then
            fetched and converted.
        source: 'fsfm_mm', or the kind of a file that is to be converted in passing.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.
        **options: ``weights``, ``grid`` and ``patch_size`` of :func:`read_encoder`.

    Returns:
        The card of the checkpoint, or None where it has none.

    Raises:
        ValueError: When keys, shapes or the number of heads differ, naming them; the backbone is then as before.
    """
    found, card = read_encoder(path, source, trust, num_heads, **options)
    check_heads(weights_heads(card, found, num_heads, path), backbone, path)
    own = backbone.state_dict()
    keep_norm = 'norm.weight' in own
    state = {key: value for key, value in found.items() if keep_norm or not key.startswith('norm.')}
    if 'fc_norm.weight' not in own:
        state = {key: value for key, value in state.items() if not key.startswith('fc_norm.')}
    needed = {key: value for key, value in own.items() if key in state or not key.startswith('fc_norm.')}
    differing = mismatch({**needed, 'pos_embed': None}, {**state, 'pos_embed': None}, extra='unexpected')
    if not differing:  # of what fits otherwise, also the positions can
        state = regridded(state, backbone, grid_of_card(card), path)
        differing = mismatch(needed, state, extra='unexpected')
    if differing:
        hint = f' ({SAY_GRID})' if 'pos_embed' in differing else ''
        raise ValueError(f'{path} does not fit this backbone: {differing}{hint}.')
    backbone.load_state_dict(state, strict=False)
    return card


def fits(model: nn.Module, state: Mapping[str, torch.Tensor]) -> str:
    """What differs between a model and a state dict that it is to load, or an empty text."""
    return mismatch(model.state_dict(), state, most=3)


@WEIGHT_INITIALIZERS.register_module(name='PretrainedBackbone')
class PretrainedBackboneInit:
    """``init_cfg=dict(type='PretrainedBackbone', checkpoint=FILE_OR_ZOO_NAME)`` in a backbone's config.

    mmengine's ``dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` still works, but of what does not match
    it stops for more than a quarter only (:mod:`~fsfm_mm.engine.weighed_loading`); outside of ``tools/train.py`` it
    also unpickles without limits what weights-only unpickling refuses
    (:func:`~fsfm_mm.engine.third_party.load_safely` prevents that).

    Args:
        checkpoint: See :func:`load_pretrained_backbone`, as are the others.
        source: Kind of the file.
        trust: Unpickle without limits.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.
        weights, grid, patch_size: See :func:`read_encoder`.
        differing: Facts of the card in which the model differs on purpose: ('mean', 'std') for a recipe that
            normalises otherwise than the encoder was trained.
    """

    def __init__(
        self,
        checkpoint: str,
        source: str = 'fsfm_mm',
        trust: bool = False,
        num_heads: int | None = None,
        differing: Sequence[str] = (),  # mmengine keeps the name override to itself
        weights: str | None = None,
        grid: str | Sequence[int] | None = None,
        patch_size: int | None = None,
    ):
        self.checkpoint = checkpoint
        self.options: dict[str, Any] = {
            'source': source,
            'trust': trust,
            'num_heads': num_heads,
            'weights': weights,
            'grid': grid,
            'patch_size': patch_size,
        }
        self.differing = tuple(differing)
        self.wholemodule = True

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        card = load_pretrained_backbone(module, self.checkpoint, **self.options)
        if card is not None:  # compared with the whole model once that is initialised
            setattr(module, MARK, (card, self.checkpoint, self.differing))
        print_log(f'backbone loaded from {self.checkpoint}', logger='current')
