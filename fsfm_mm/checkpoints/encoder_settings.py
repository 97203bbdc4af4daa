"""Fine-tuning from an encoder: a config that starts from one gets its architecture, sizes and statistics."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from fsfm_mm.checkpoints.agreement import (
    contradictions,
    differences,
    refuse_or_note,
    typed_for,
)
from fsfm_mm.checkpoints.card import ModelCard, same_fact
from fsfm_mm.checkpoints.grids import grid_of_card, input_size, square_grid
from fsfm_mm.checkpoints.heads import ask_for_heads, weights_heads, width_and_depth
from fsfm_mm.checkpoints.model_settings import (
    Settings,
    is_ours,
    merged,
    numeric_statistics,
    settings_facts,
    with_heads,
    with_statistics,
)
from fsfm_mm.checkpoints.picture_settings import parts_of, set_padding, set_picture_size
from fsfm_mm.checkpoints.pretrained import read_encoder
from fsfm_mm.checkpoints.zoo import zoo_entry, zoo_names
from fsfm_mm.datasets.base import roots_of
from fsfm_mm.datasets.labelled.crops import CROP_FACTS, crop_facts_of_root, shared_facts
from fsfm_mm.files.checkpoint_folders import checkpoint_file
from fsfm_mm.registry import model_class
from fsfm_mm.statistics import resolve_stats

#: Settings of a backbone that belong to its weights; all others are fine-tuning's.
OF_WEIGHTS = frozenset(
    (
        'arch',
        'depth',
        'embed_dims',
        'img_size',
        'in_channels',
        'mlp_ratio',
        'num_heads',
        'patch_size',
        'qkv_bias',
        'type',
    )
)
#: Settings of ``init_cfg`` that say how the encoder's file is read.
READING = ('source', 'trust', 'num_heads', 'weights', 'grid', 'patch_size')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def settings_from_encoder(
    cfg: Config, typed: Mapping[str, Any] | None = None, override: bool = False
) -> None:
    """Let a config that starts from an encoder fit it, before anything is built.

    ``model.backbone.init_cfg`` names the encoder (``PretrainedBackbone``, or mmengine's ``Pretrained`` with the prefix
    ``backbone.``). Where the user typed nothing else, the architecture, heads, patch and input size are the
    encoder's, the head's ``in_channels`` and ``frozen_stages`` follow, pictures get the input size, and the model
    normalises with the encoder's statistics. A typed ``img_size`` stays: positions are interpolated. A run that is
    resumed takes all that from the checkpoint that it goes on from. What changed is told.

    Args:
        cfg: The config, which is changed in place. One without an encoder, or whose encoder's file has no card and is
            mmengine's to load, stays as it is.
        typed: What the user typed: names with dots and values.
        override: Let what he typed win where the weights still fit (statistics).

    Raises:
        ValueError: One sentence: the encoder cannot be read, does not say what is needed, or contradicts what was
            typed, naming both.
    """
    model = cfg.get('model') or {}
    init = (model.get('backbone') or {}).get('init_cfg') or {}
    if isinstance(init, list | tuple) or not _is_encoder(init):
        return
    typed = dict(typed or {})
    card, where = _card_of_start(cfg, init)
    if card is None:
        return
    tell_other_crops(cfg, card, where)
    free = set(init.get('differing', ()))
    before = {key: model[key] for key in ('data_preprocessor', 'backbone') if model.get(key)}
    fitted = _fitted(before, card, typed, free, where)
    mine = {
        name: value
        for name, value in typed_for(typed, 'model.').items()
        if (name.startswith('data_preprocessor.') and 'mean' not in free)
        or (name.startswith('backbone.') and name.split('.')[1] in OF_WEIGHTS - {'img_size'})
    }
    notes = refuse_or_note(contradictions(fitted, merged(fitted, mine), mine, where), override)
    if override:
        fitted = merged(fitted, mine)
        if init['type'] == 'PretrainedBackbone' and notes:
            fitted['backbone']['init_cfg'] = {**init, 'differing': ('mean', 'std')}
    taken = differences(before, fitted, where)
    _put(cfg, before, fitted, typed)
    for sentence in (*taken, *notes) if is_main_process() else ():
        print_log(sentence, logger='current')


def tell_other_crops(cfg: Config, card: ModelCard, where: str) -> None:
    """Warn where the faces that a run trains on were cut otherwise than those that its encoder saw.

    Chips aligned for anti-spoofing differ on purpose, and pass.
    """
    roots = [
        root
        for part in parts_of((cfg.get('train_dataloader') or {}).get('dataset') or {})
        for root in (roots_of(part['data_root']) if part.get('data_root') else ())
    ]
    facts = shared_facts(crop_facts_of_root(root) for root in roots)
    if 'crop_margin' not in facts or not is_main_process():
        return
    for sentence in card.check_against(**facts, reaction='return', where=f'in {", ".join(roots)}'):
        print_log(
            sentence.replace("the checkpoint's", f'the encoder {where}: its'), 'current', logging.WARNING
        )


def keep_statistics(cfg: Config) -> None:
    """Put the numbers of a file of statistics into a config, which then builds its model in any folder.

    Args:
        cfg: The config, changed in place where its preprocessor, or a step that pads, names a file that is there.
    """
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    file = preprocessor.get('stats')
    if not isinstance(file, str) or not Path(file).is_file():
        return
    cfg.model.data_preprocessor = ConfigDict(numeric_statistics(preprocessor))
    mean, std = resolve_stats(file)
    for loader in (cfg[name] for name in LOADERS if cfg.get(name)):
        set_padding(loader.dataset, {'mean': mean, 'std': std}, only=file)


def _is_encoder(init: Mapping[str, Any]) -> bool:
    kind = init.get('type')
    return kind == 'PretrainedBackbone' or (kind == 'Pretrained' and init.get('prefix') == 'backbone.')


def _card_of_start(cfg: Config, init: Any) -> tuple[ModelCard | None, str]:
    """What is known of the weights that the run begins with, and what they are called."""
    if (
        cfg.get('resume') and cfg.get('load_from') and Path(cfg.load_from).is_file()
    ):  # sharded ones are folders
        _, card = read_encoder(cfg.load_from)
        if card is not None and not _exists(init['checkpoint']):
            cfg.model.backbone.init_cfg = None  # its weights are in the checkpoint that is resumed
        return card, str(cfg.load_from)
    name = str(init['checkpoint'])
    if name in zoo_names():
        entry = zoo_entry(name)
        mean, std = resolve_stats(entry['statistics'])
        known: Settings = {'backbone': dict(type='FusedAttentionViT', arch=entry['arch'])}
        if init.get('patch_size') is not None:
            known['backbone']['patch_size'] = init['patch_size']
        crops = {key: entry[key] for key in CROP_FACTS}
        return ModelCard(mean=tuple(mean), std=tuple(std), model=known, **crops), name
    if init['type'] == 'Pretrained' and '://' in name:
        return None, name
    try:
        path = checkpoint_file(name)
    except ValueError as error:
        raise ValueError(
            f'the encoder of --init (model.backbone.init_cfg.checkpoint): {error} --init none starts from scratch.'
        ) from error
    init['checkpoint'] = str(path)  # a folder's last checkpoint of now, which the log then names
    state, card = read_encoder(path, **{key: init[key] for key in READING if key in init})
    if card is None and init['type'] == 'Pretrained':
        return None, name
    return _with_shapes(card or ModelCard(), state, cfg.model.backbone, path, init.get('num_heads')), str(
        path
    )


def _exists(name: str) -> bool:
    path = Path(name)
    return name in zoo_names() or path.is_file() or (path.is_dir() and any(path.glob('*.pth')))


def _with_shapes(
    card: ModelCard,
    state: Mapping[str, Any],
    backbone: Mapping[str, Any],
    path: Path,
    num_heads: int | None,
) -> ModelCard:
    """A card that says how to build the encoder: from its own ``model``, or from the weights' shapes."""
    if card.model is not None or not is_ours(backbone) or 'patch_embed.proj.weight' not in state:
        return card
    width, depth = width_and_depth(state)
    patch = state['patch_embed.proj.weight'].shape[-1]
    facts = settings_facts({'backbone': backbone})
    same = (facts['embed_dim'], facts['depth']) == (width, depth)
    heads = weights_heads(card, state, num_heads, path) or (facts['num_heads'] if same else None)
    if heads is None:
        raise ValueError(
            f'{path}: {ask_for_heads(width, depth)} Give model.backbone.init_cfg.num_heads, or the whole '
            f'model.backbone.arch="dict(embed_dim={width}, depth={depth}, num_heads=N)".'
        )
    arch = dict(embed_dim=width, depth=depth, num_heads=heads)
    found: Settings = {'arch': backbone.get('arch', 'base') if same else arch, 'patch_size': patch}
    grid = grid_of_card(card) or square_grid(state['pos_embed'])
    if grid is not None:
        found['img_size'] = input_size(grid, patch)
    kept = {key: value for key, value in backbone.items() if key in OF_WEIGHTS}
    model = {'backbone': with_heads({**kept, **found}, heads)}
    return ModelCard.from_dict({**card.to_dict(), 'model': model})


def _fitted(
    before: Mapping[str, Any], card: ModelCard, typed: Mapping[str, Any], free: set[str], where: str
) -> Settings:
    """Preprocessor and backbone of the config as the encoder wants them."""
    fitted: Settings = {key: dict(value) for key, value in before.items()}
    if before.get('data_preprocessor') and 'mean' not in free:
        preprocessor = before['data_preprocessor']
        says_itself = any(
            name.startswith('model.data_preprocessor')
            and name.endswith(('stats', 'mean', 'data_preprocessor'))
            for name in typed
        )
        if card.mean is not None and card.std is not None:
            fitted['data_preprocessor'] = _with_statistics_of(card, preprocessor)
        elif not says_itself:
            raise ValueError(
                f'{where} does not say the statistics that its encoder was trained with: give '
                'model.data_preprocessor.stats a name (vggface2, ffpp_o, imagenet) or a mean_std.json.'
            )
    encoder = (card.model or {}).get('backbone')
    if encoder:
        fitted['backbone'] = _backbone(before['backbone'], encoder)
        old, new = (
            settings_facts({'backbone': {**b, 'frozen_stages': -1}})
            for b in (before['backbone'], fitted['backbone'])
        )
        if before['backbone'].get('frozen_stages') == old.get('depth', -1) >= 0:
            fitted['backbone']['frozen_stages'] = new['depth']  # frozen whole
        if 'model.backbone.img_size' in typed:
            fitted['backbone']['img_size'] = before['backbone']['img_size']
    return fitted


def _with_statistics_of(card: ModelCard, preprocessor: Mapping[str, Any]) -> Settings:
    """A preprocessor with a card's statistics; what says the same already stays, a name being easier to read."""
    try:
        stated = settings_facts({'data_preprocessor': preprocessor})
    except ValueError:  # a file of other statistics, which is not there
        stated = {}
    if all(same_fact(name, getattr(card, name), stated.get(name)) for name in ('mean', 'std')):
        return dict(preprocessor)
    stored = (card.model or {}).get('data_preprocessor') or {}
    if stored.get('type') == preprocessor.get('type') and {'mean', 'std'} <= set(stored):
        # to the last bit, which the card's own numbers are not: a run that is resumed goes on as it was
        rest = {key: value for key, value in preprocessor.items() if key not in ('stats', 'mean', 'std')}
        return {**rest, 'mean': stored['mean'], 'std': stored['std']}
    return with_statistics(preprocessor, card.mean or (), card.std or ())


def _backbone(mine: Mapping[str, Any], encoder: Mapping[str, Any]) -> Settings:
    """The encoder's backbone with what fine-tuning chooses."""
    chosen = {key: value for key, value in mine.items() if key not in OF_WEIGHTS}
    if is_ours(encoder):
        of_weights = {key: value for key, value in encoder.items() if key in OF_WEIGHTS}
    else:  # whose settings have other names
        kind = model_class(encoder.get('type'))
        takes = inspect.signature(kind).parameters if kind is not None else ()
        of_weights = {key: value for key, value in encoder.items() if key != 'init_cfg'}
        chosen = {key: value for key, value in chosen.items() if key in takes or key == 'init_cfg'}
    sizes = {key: mine[key] for key in ('img_size', 'patch_size') if key in mine and key not in of_weights}
    return {**of_weights, **sizes, **chosen}


def _put(cfg: Config, before: Mapping[str, Any], fitted: Settings, typed: Mapping[str, Any]) -> None:
    """Write the fitted settings, and what follows from them, into the config."""
    old, new = settings_facts({'backbone': before['backbone']}), settings_facts(fitted)
    for key, value in fitted.items():
        cfg.model[key] = ConfigDict(value)
    head = cfg.model.get('head')
    if head and not cfg.model.get('neck') and 'in_channels' in head and 'embed_dim' in new:
        width = typed.get('model.head.in_channels', new['embed_dim'])
        if width != new['embed_dim']:
            raise ValueError(
                f'model.head.in_channels={width} was set, but the encoder has width {new["embed_dim"]}: leave it out.'
            )
        if head.in_channels == old.get('embed_dim'):
            head.in_channels = width
    sets = [cfg[name].dataset for name in LOADERS if cfg.get(name)]
    sets += [part for name in ('test_sets', 'published_sets') for part in cfg.get(name, {}).values()]
    for dataset in sets:
        if 'input_size' in new and not same_fact('input_size', old.get('input_size'), new['input_size']):
            set_picture_size(dataset, new['input_size'])
        if fitted.get('data_preprocessor') != before.get('data_preprocessor'):
            set_padding(dataset, {'mean': new['mean'], 'std': new['std']})
