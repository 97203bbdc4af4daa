"""A checkpoint becomes the model that it is of: one function, which every entrance uses."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from fsfm_mm.checkpoints.agreement import Agreement, agree
from fsfm_mm.checkpoints.card import ModelCard, read_card
from fsfm_mm.checkpoints.card_bounds import refuse_larger
from fsfm_mm.checkpoints.convert import convert
from fsfm_mm.checkpoints.convert_files import card_of
from fsfm_mm.checkpoints.facts import model_facts
from fsfm_mm.checkpoints.grids import grid_of_card, regridded
from fsfm_mm.checkpoints.pretrained import fits, locate
from fsfm_mm.checkpoints.zoo import zoo_entry, zoo_names
from fsfm_mm.files.checkpoint_files import load_checkpoint_file
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.files.checkpoint_weights import bare_names
from fsfm_mm.registry import MODELS, refuse_unregistered
from fsfm_mm.settings.reading import read_config


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model with what is known of it.

    Attributes:
        model: In evaluation mode.
        card: What it expects, and what its outputs mean; what the checkpoint left open is the model's own.
        agreement: What the card won over the config, and what the user over the card.
    """

    model: torch.nn.Module
    card: ModelCard
    agreement: Agreement


def load(
    source: str | os.PathLike,
    config: Config | Mapping[str, Any] | str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    trust: bool = False,
) -> tuple[torch.nn.Module, ModelCard]:
    """The model of a checkpoint and its card: ``model, card = fsfm_mm.load('work_dirs/detector')``.

    A checkpoint of a pretraining gives its pretraining model, whose encoder is ``model.backbone``.

    Args:
        source: A checkpoint file; a work directory, which stands for its last whole checkpoint; or the name of
            published weights (:func:`~fsfm_mm.checkpoints.zoo.zoo_names`), which are fetched.
        config: Only for a file whose card does not say how to build the model (an old one, a converted one): the
            config that trained it, its name, or its ``model`` alone.
        device: Where the model goes; None for the one that there is.
        trust: Allow the file to run code while it is read (dangerous).

    Returns:
        The model in evaluation mode, with all weights of the file, and the card.

    Raises:
        ValueError: One sentence: there is no such file, it cannot be read, it does not say how its model is built,
            or its weights are not that model's.
    """
    found = read_config(config) if isinstance(config, str | os.PathLike) else config
    loaded = load_checked(source, (found or {}).get('model', found), device=device, trust=trust)
    return loaded.model, loaded.card


def load_checked(
    source: str | os.PathLike,
    config: Mapping[str, Any] | None = None,
    typed: Mapping[str, Any] | None = None,
    override: bool = False,
    device: str | torch.device | None = None,
    trust: bool = False,
) -> Loaded:
    """As :func:`load`, for who has a config and settings that were typed: see :func:`~...agreement.agree`.

    Args:
        source: As :func:`load`.
        config: A config's ``model``.
        typed: Settings that the user typed himself, by names with dots that begin after ``model.``.
        override: Let them win over the card.
        device: As :func:`load`.
        trust: As :func:`load`.

    Raises:
        ValueError: As :func:`load`; or a typed setting contradicts the card.
    """
    path, state, card, config = _read(source, config, trust)
    refuse_unregistered(card.model, f'the card of {path}')
    refuse_larger(card.model or {}, state, path)
    agreement = agree(card, config, typed, override, str(path))
    model = _build(agreement.model, path)
    state, _ = bare_names(state, model.state_dict().__contains__)
    if override:
        state = regridded(state, model, grid_of_card(card), path)
    found = fits(model, state)
    if found:
        whose = "this config's" if card.model is None else "its own card's"
        raise ValueError(f'{path} does not hold {whose} model: {found}.')
    model.load_state_dict(state)
    _refuse_not_finite(model, path)
    known = {key: value for key, value in card.to_dict().items() if value is not None}
    facts = {**model_facts(model), **({} if agreement.overridden else known), 'model': agreement.model}
    complete = ModelCard.from_dict({**known, **facts})
    return Loaded(model.to(device or get_device()).eval(), complete, agreement)


def _read(
    source: str | os.PathLike, config: Mapping[str, Any] | None, trust: bool
) -> tuple[Path, Mapping[str, Any], ModelCard, Mapping[str, Any] | None]:
    """File, state dict, card and the model's settings, where they are known, of what the user named."""
    name = os.fspath(source)
    if name in zoo_names():
        path, kind, facts = locate(name, '')
        checkpoint = load_checkpoint_file(path, trust)
        state, _ = convert(checkpoint, kind)
        card = card_of(checkpoint, state, kind, Path(path), {}, facts)
        return Path(path), state, card, config or read_config(zoo_entry(name)['config']).model
    path = checkpoint_file(name)
    content = load_checkpoint_file(path, trust)
    state = content.get('state_dict', content.get('model', content))
    return path, state, read_card(content, path) or ModelCard(aggregation=None), config


def _refuse_not_finite(model: torch.nn.Module, path: Path) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(
                f'{path} holds weights that are not finite ({name}), so no score means anything: take an earlier one'
            )


def _build(settings: Mapping[str, Any], path: Path) -> torch.nn.Module:
    """Build a model; what its settings ask for and this program does not have is named."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # what settings mean for a training concerns nobody here
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(dict(settings))
    except (
        Exception
    ) as error:  # of settings that may be anybody's, as a card's: a MemoryError, an IndexError ...
        words = ' '.join(str(error.args[0] if error.args else type(error).__name__).split())
        raise ValueError(
            f'the model of {path} cannot be built ({words.split(". ")[0]}): a class of your own must be imported first '
            '(custom_imports of the config, or import it).'
        ) from error
    finally:
        logger.setLevel(level)
