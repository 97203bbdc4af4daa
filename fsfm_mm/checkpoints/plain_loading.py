"""What OpenMMLab's own entrances do with a checkpoint that has a card: the model must be the one that the card means.

mmengine and mmpretrain build a model from a config and put weights into it; neither looks at a card. These checks are
called by them after :func:`fsfm_mm.engine.third_party.look_at_cards`, which importing :mod:`fsfm_mm.components` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fsfm_mm.checkpoints.agreement import FIXED
from fsfm_mm.checkpoints.card import ModelCard, read_card, same_fact, show_fact
from fsfm_mm.checkpoints.facts import model_facts
from fsfm_mm.checkpoints.grids import grid_of_card
from fsfm_mm.checkpoints.model_settings import settings_facts
from fsfm_mm.checkpoints.pretrained import MARK


def check_initialised(model: nn.Module) -> None:
    """Compare a model with the cards of the encoders that it was initialised from.

    Args:
        model: What ``init_weights`` was called of; its ``data_preprocessor`` feeds the backbones in it.

    Raises:
        ValueError: It normalises otherwise than an encoder was trained, or has another number of heads.
    """
    for module in model.modules():
        came = vars(module).pop(MARK, None) or _mmengines(module)
        if came is None:
            continue
        card, path, differing = came
        ours = model_facts(_Pair(getattr(model, 'data_preprocessor', None), module))
        ours.pop('input_size', None)  # positions are interpolated
        _refuse(card, {}, ours, path, differing)


def check_loaded(model: nn.Module, checkpoint: Mapping[str, Any], path: Any = 'the checkpoint') -> None:
    """Compare a model with the card of a checkpoint whose weights it got.

    Raises:
        ValueError: It normalises otherwise, or has another size, patch or number of heads.
    """
    card = read_card(checkpoint, path)
    if card is None or not hasattr(model, 'backbone'):
        return
    known = settings_facts(card.model) if card.model is not None else {}
    ours = model_facts(model)
    for name, attribute in (('embed_dim', 'embed_dims'), ('depth', 'depth')):
        ours[name] = getattr(model.backbone, attribute, None)
    _refuse(card, {name: known.get(name) for name in FIXED}, ours, path, ())


class _Pair:
    """A backbone with the preprocessor before it."""

    def __init__(self, data_preprocessor: Any, backbone: nn.Module):
        self.data_preprocessor, self.backbone = data_preprocessor, backbone


def _mmengines(module: nn.Module) -> tuple[ModelCard, Any, Collection[str]] | None:
    """Card and file that mmengine's ``Pretrained`` took a module's weights from."""
    init = getattr(module, 'init_cfg', None)
    for one in (init if isinstance(init, list | tuple) else [init]) if init else ():
        file = Path(str(one.get('checkpoint', '')))
        if one.get('type') == 'Pretrained' and file.is_file():
            card = read_card(file)
            _check_grid(card, module, file)
            return None if card is None else (card, file, ())
    return None


def _check_grid(card: ModelCard | None, module: nn.Module, file: Path) -> None:
    """Refuse positions that were taken over, or interpolated, as if they were of another grid than the card's."""
    theirs, ours = grid_of_card(card), getattr(module, 'grid', None)
    if theirs is None or ours is None or theirs == tuple(ours):
        return
    if theirs[0] != theirs[1] or theirs[0] * theirs[1] == ours[0] * ours[1]:
        raise ValueError(
            f'{file} has patches of {theirs[0]}x{theirs[1]} and this backbone of {ours[0]}x{ours[1]}, which '
            "type='Pretrained' takes for each other: use init_cfg=dict(type='PretrainedBackbone', checkpoint=...)."
        )


def _refuse(
    card: ModelCard, known: Mapping[str, Any], ours: Mapping[str, Any], path: Any, differing: Collection[str]
) -> None:
    theirs = {**{name: getattr(card, name, None) for name in ours}, **known}
    found = [
        f'{name} {show_fact(name, ours[name])} (the card says {show_fact(name, theirs[name])})'
        for name in ours
        if name not in differing
        and ours[name] is not None
        and theirs[name] is not None
        and not same_fact(name, theirs[name], ours[name])
    ]
    if found:
        raise ValueError(
            f'the model that {path} is loaded into differs from its card: {", ".join(found)}. Give the config what the '
            'card says (fsfm-mm card FILE; fsfm_mm.load(FILE) builds it), or, where it is meant, '
            "init_cfg=dict(type='PretrainedBackbone', differing=('mean', 'std'), ...)."
        )
