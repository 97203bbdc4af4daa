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
from fsfm_mm.checkpoints.convert import convert, state_dict_of
from fsfm_mm.checkpoints.convert_files import card_of
from fsfm_mm.checkpoints.heads import check_heads, weights_heads
from fsfm_mm.checkpoints.zoo import fetch, zoo_entry, zoo_names
from fsfm_mm.files.broken import broken
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.files.checkpoint_matching import mismatch
from fsfm_mm.statistics import resolve_stats
from fsfm_mm.text import few

PREFIX = 'backbone.'
#: Where an initialised backbone keeps (card, file, what may differ) until the model around it is looked at.
MARK = '_came_with_card'


def pretrained_backbone(checkpoint: Mapping[str, Any], keep_norm: bool = False) -> dict[str, torch.Tensor]:
    """State dict of the backbone in one of our checkpoints.

    Args:
        checkpoint: A checkpoint or state dict with ``backbone.*`` keys.
        keep_norm: Keep the final norm. A classifier on the mean of patch tokens has ``fc_norm`` in its
            place, which starts fresh (the papers' fine-tuning); one on the class token goes on with it.

    Returns:
        Parameter names without ``backbone.``.

    Raises:
        ValueError: When there is no backbone in it.
    """
    state = state_dict_of(checkpoint, 'fsfm_mm')
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
    facts['source'] = f'{name} (huggingface.co/{entry["repository"]})'
    return fetch(name), entry['source'], facts


def read_encoder(
    path: str | os.PathLike, source: str = 'fsfm_mm', trust: bool = False, num_heads: int | None = None
) -> tuple[dict[str, torch.Tensor], ModelCard | None]:
    """State dict of the encoder in a checkpoint, with its last norm, and the card.

    Args:
        path: A checkpoint file; a work directory, which stands for its last whole checkpoint; or a name of the zoo,
            which is fetched.
        source: 'fsfm_mm', or the kind of a file that is to be converted in passing.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.

    Raises:
        ValueError: The file cannot be read or converted, or has no backbone.
    """
    found, source, facts = locate(path, source)
    file = found if facts else checkpoint_file(found)
    checkpoint = load_checkpoint_file(file, trust)
    if source == 'fsfm_mm':
        try:
            state = pretrained_backbone(checkpoint, keep_norm=True)
        except ValueError as error:
            raise broken(file, f': {error}') from error
        return state, read_card(checkpoint, file)
    content, _ = convert(checkpoint, source)
    said = {} if num_heads is None else {'num_heads': num_heads}
    card = card_of(checkpoint, content, source, Path(file), said, facts)
    return pretrained_backbone(content, keep_norm=True), card


def load_pretrained_backbone(
    backbone: nn.Module,
    path: str | os.PathLike,
    source: str = 'fsfm_mm',
    trust: bool = False,
    num_heads: int | None = None,
) -> ModelCard | None:
    """Load a pretrained encoder; only ``fc_norm`` may start fresh, all else must match.

    A position table of another square grid is interpolated, as the backbone always does. A checkpoint
    that has an ``fc_norm`` (fine-tuned on another task) gives it to a backbone with one.

    Args:
        backbone: E.g. ``classifier.backbone``; changed in place, or not at all on an error.
        path: A checkpoint file; a work directory, for its last whole checkpoint; or a name of the zoo, which is then
            fetched and converted.
        source: 'fsfm_mm', or the kind of a file that is to be converted in passing.
        trust: See :func:`~fsfm_mm.files.checkpoint_files.load_checkpoint_file`.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.

    Returns:
        The card of the checkpoint, or None where it has none.

    Raises:
        ValueError: When keys, shapes or the number of heads differ, naming them; the backbone is then as before.
    """
    found, card = read_encoder(path, source, trust, num_heads)
    check_heads(weights_heads(card, found, num_heads, path), backbone, path)
    own = backbone.state_dict()
    keep_norm = 'norm.weight' in own
    state = {key: value for key, value in found.items() if keep_norm or not key.startswith('norm.')}
    if 'fc_norm.weight' not in own:
        state = {key: value for key, value in state.items() if not key.startswith('fc_norm.')}
    needed = {key: value for key, value in own.items() if key in state or not key.startswith('fc_norm.')}
    # the position table may have another length, which the backbone interpolates, but no other width
    given = {key: needed[key] if _can_resize(key, value, needed) else value for key, value in state.items()}
    differing = mismatch(needed, given, extra='unexpected')
    if differing:
        raise ValueError(f'{path} does not fit this backbone: {differing}.')
    backbone.load_state_dict(state, strict=False)
    return card


def fits(model: nn.Module, state: Mapping[str, torch.Tensor], resize: bool = False) -> str:
    """What differs between a model and a state dict that it is to load, or an empty text.

    Args:
        model: The model.
        state: The state dict.
        resize: The position table of another square grid is no difference: it is interpolated while it is loaded.
    """
    own = model.state_dict()
    given = {
        key: own[key] if resize and _can_resize(key, value, own) else value for key, value in state.items()
    }
    return mismatch(own, given, most=3)


def _can_resize(key: str, loaded: torch.Tensor, own: Mapping[str, torch.Tensor]) -> bool:
    if key.rpartition('.')[2] != 'pos_embed' or key not in own or loaded.shape[-1] != own[key].shape[-1]:
        return False
    side = round((loaded.shape[1] - 1) ** 0.5)
    return side * side + 1 == loaded.shape[1]


@WEIGHT_INITIALIZERS.register_module(name='PretrainedBackbone')
class PretrainedBackboneInit:
    """``init_cfg=dict(type='PretrainedBackbone', checkpoint=FILE_OR_ZOO_NAME)`` in a backbone's config.

    mmengine's ``dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')`` still works, but it only
    logs keys that do not match; outside of ``tools/train.py`` it also unpickles without limits what
    weights-only unpickling refuses (:func:`~fsfm_mm.engine.third_party.load_safely` prevents that).

    Args:
        checkpoint: See :func:`load_pretrained_backbone`, as are the others.
        source: Kind of the file.
        trust: Unpickle without limits.
        num_heads: Heads of the weights' attention, where neither the file nor its kind tells.
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
    ):
        self.checkpoint = checkpoint
        self.source = source
        self.trust = trust
        self.num_heads = num_heads
        self.differing = tuple(differing)
        self.wholemodule = True

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        card = load_pretrained_backbone(module, self.checkpoint, self.source, self.trust, self.num_heads)
        if card is not None:  # compared with the whole model once that is initialised
            setattr(module, MARK, (card, self.checkpoint, self.differing))
        print_log(f'backbone loaded from {self.checkpoint}', logger='current')
