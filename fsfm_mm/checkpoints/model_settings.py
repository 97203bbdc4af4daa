"""The settings that build a model, as plain values: what a card keeps of them, and what they say before it is built."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import DefaultScope

from fsfm_mm.checkpoints.facts import model_facts, preprocessor_statistics
from fsfm_mm.models.backbones.fused_attention_vit import FusedAttentionViT, resolve_arch
from fsfm_mm.models.preprocessors import FaceDataPreprocessor
from fsfm_mm.registry import MODELS, model_class, refuse_unregistered
from fsfm_mm.statistics import resolve_stats

#: How two sets of settings may differ without another output in evaluation: by the last part of their names, or a part.
FREE = frozenset(
    (
        'cal_acc',
        'contrast',
        'drop_path_rate',
        'dropout',
        'frozen_drop_path',
        'frozen_stages',
        'fused',
        'init_cfg',
        'loss',
        'non_blocking',
        'topk',
        'train_cfg',
        'trainable_positions',
        'with_cp',
    )
)
#: Facts of a model's settings, and where in them they are written.
WRITTEN_IN = {
    'mean': ('data_preprocessor',),
    'std': ('data_preprocessor',),
    'input_size': ('backbone.img_size',),
    'patch_size': ('backbone.patch_size',),
    'num_heads': ('backbone.arch', 'backbone.num_heads'),
    'embed_dim': ('backbone.arch', 'backbone.embed_dims'),
    'depth': ('backbone.arch', 'backbone.depth'),
}

Settings = dict[str, Any]


def plain_settings(model: Mapping[str, Any]) -> Settings:
    """A model's settings as a card keeps them: plain values, statistics as numbers, no files to start from.

    Args:
        model: A config's ``model``.

    Returns:
        Dictionaries, lists, numbers, texts and None, which JSON and weights-only unpickling take.

    Raises:
        ValueError: A value is none of these, or statistics cannot be read; the setting is named.
    """
    plain = _plain(model, 'model')
    if isinstance(plain.get('data_preprocessor'), dict):
        plain['data_preprocessor'] = numeric_statistics(plain['data_preprocessor'])
    return plain


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        kept = {str(key): _plain(item, f'{name}.{key}') for key, item in value.items()}
        if 'init_cfg' in kept:
            kept['init_cfg'] = _without_files(kept['init_cfg'])
        return {key: item for key, item in kept.items() if key != 'init_cfg' or item}
    if isinstance(value, list | tuple):
        return [_plain(item, f'{name}.{i}') for i, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if inspect.isclass(value):  # of a config in Python's own syntax: registries find it by this name
        return f'{value.__module__}.{value.__qualname__}'
    raise ValueError(
        f'{name} is a {type(value).__name__}: a card keeps numbers, texts, lists and dictionaries'
    )


def _without_files(init_cfg: Any) -> Any:
    """Initialisations that read no file."""
    if isinstance(init_cfg, Mapping):
        return None if 'checkpoint' in init_cfg else init_cfg
    return [item for item in init_cfg or () if 'checkpoint' not in item]


def pixel_scale(preprocessor: Mapping[str, Any]) -> float:
    """What a preprocessor's settings count pixels up to: 1 for our pretraining, 255 for mmpretrain's."""
    kind = model_class(preprocessor.get('type', 'ClsDataPreprocessor'))
    return 1.0 if inspect.isclass(kind) and issubclass(kind, FaceDataPreprocessor) else 255.0


def numeric_statistics(preprocessor: Mapping[str, Any]) -> Settings:
    """A preprocessor's settings with ``mean`` and ``std`` in the place of ``stats``; raises as ``resolve_stats``."""
    if preprocessor.get('stats') is None:
        return dict(preprocessor)
    return with_statistics(preprocessor, *resolve_stats(preprocessor['stats']))


def with_statistics(preprocessor: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]) -> Settings:
    """A preprocessor's settings with other statistics, given on the 0..1 scale."""
    scale = pixel_scale(preprocessor)
    rest = {key: value for key, value in preprocessor.items() if key not in ('stats', 'mean', 'std')}
    # the same expression as in FaceClsDataPreprocessor: the same bits
    values = {'mean': mean, 'std': std}
    return {**rest, **{k: [v if scale == 1.0 else scale * v for v in some] for k, some in values.items()}}


def with_heads(backbone: Mapping[str, Any], num_heads: int) -> Settings:
    """A backbone's settings with another number of heads."""
    if 'arch' not in backbone or not is_ours(backbone):
        return {**backbone, 'num_heads': num_heads} if 'num_heads' in backbone else dict(backbone)
    width, depth, heads = resolve_arch(backbone['arch'])
    if heads == num_heads:
        return dict(backbone)
    return {**backbone, 'arch': dict(embed_dim=width, depth=depth, num_heads=num_heads)}


def is_ours(backbone: Mapping[str, Any]) -> bool:
    """Whether settings are those of our ViT, or of a class made of it."""
    kind = model_class(backbone.get('type', ''))
    return inspect.isclass(kind) and issubclass(kind, FusedAttentionViT)


def settings_facts(model: Mapping[str, Any]) -> dict[str, Any]:
    """What settings say before anything is built at its size: :data:`WRITTEN_IN`, where they have it.

    Raises:
        ValueError: Or what building raises: the settings cannot be built.
    """
    facts: dict[str, Any] = {}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = model.get('data_preprocessor')
        if preprocessor:
            settings = {'type': 'ClsDataPreprocessor', **preprocessor}
            refuse_unregistered(settings, 'data_preprocessor')
            found = preprocessor_statistics(MODELS.build(settings))
            if found is not None:
                facts['mean'], facts['std'] = found
        if model.get('backbone'):
            refuse_unregistered(model['backbone'], 'backbone')
            with torch.device('meta'):
                backbone = MODELS.build({**model['backbone'], 'init_cfg': None})
            facts.update(model_facts(torch.nn.ModuleDict({'backbone': backbone})))
    for name, attribute in (('embed_dim', 'embed_dims'), ('depth', 'depth')):
        value = getattr(backbone, attribute, None) if model.get('backbone') else None
        if isinstance(value, int):
            facts[name] = value
    return facts


def merged(model: Mapping[str, Any], typed: Mapping[str, Any]) -> Settings:
    """Settings with others, by names with dots, in the place of theirs; nothing that is given is changed."""
    result: Any = copy.deepcopy(dict(model))
    for name, value in typed.items():
        *path, last = name.split('.')
        place = result
        for part in path:
            inner = place[int(part)] if isinstance(place, list) else place.get(part)
            if not isinstance(inner, dict | list):
                inner = {}
                place[int(part) if isinstance(place, list) else part] = inner
            place = inner
        if last in ('stats', 'mean', 'std') and isinstance(place, dict):
            for other in ('stats',) if last != 'stats' else ('mean', 'std'):
                place.pop(other, None)
        place[int(last) if isinstance(place, list) else last] = value
    return result


def value_at(model: Mapping[str, Any], name: str) -> Any:
    """A setting by its name with dots; where it is not written, the default of the class it belongs to."""
    place: Any = model
    *path, last = name.split('.')
    for part in path:
        place = place[int(part)] if isinstance(place, list) else (place or {}).get(part)
    if isinstance(place, list):
        return place[int(last)]
    if not isinstance(place, Mapping) or last in place:
        return (place or {}).get(last)
    kind = model_class(place.get('type', ''))
    parameters = inspect.signature(kind).parameters if kind is not None else {}
    default = parameters[last].default if last in parameters else None
    return None if default is inspect.Parameter.empty else default
