"""The registries that fsfm_mm adds to: OpenMMLab's own, all in one place.

Registering here rather than in a scope of our own keeps mmpretrain's tools and inferencers working; other OpenMMLab
projects write ``type='mmpretrain.FusedAttentionViT'`` with ``custom_imports = dict(imports=['fsfm_mm.components'])``.

Transforms and data sets go into mmengine's own registries, into which every project looks after its own, so that
preparing, checking and drawing data need no mmpretrain; :mod:`fsfm_mm.components` adds them to mmpretrain's, for the
names with its prefix. The other registries are mmpretrain's, which is imported when one of them is asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import mmengine.registry
from mmengine.registry import DATASETS, FUNCTIONS, TRANSFORMS, Registry

from fsfm_mm._startup import import_third_parties

#: What finds faces in a picture, and what labels their pixels: ``fsfm_mm.preparation``. Without a place to import from,
#: mmengine would import the whole of mmpretrain when a name is looked up.
FACE_DETECTORS = Registry('face detector', scope='mmpretrain', locations=['fsfm_mm.preparation.detectors'])
FACE_PARSERS = Registry('face parser', scope='mmpretrain', locations=['fsfm_mm.preparation.parsers'])

#: Registries of mmpretrain.
_MMPRETRAIN = (
    'BATCH_AUGMENTS',
    'DATA_SAMPLERS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
)

__all__ = ['DATASETS', 'FACE_DETECTORS', 'FACE_PARSERS', 'FUNCTIONS', 'TRANSFORMS', *_MMPRETRAIN]


def __getattr__(name: str) -> Registry:
    if name not in _MMPRETRAIN:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    import_third_parties()
    return getattr(importlib.import_module('mmpretrain.registry'), name)


def refuse_unregistered(settings: Any, whose: str) -> None:
    """Refuse settings from a file that name something else than registered classes and functions.

    mmengine imports and calls whatever a ``type`` with dots leads to, ``os.system`` too: with settings that are data,
    not a config that somebody has read, that would run what the file's author likes.

    Args:
        settings: Nested settings, of which parts are to be built.
        whose: What holds them, for the message.

    Raises:
        ValueError: A ``type`` is not registered, in this process.
    """
    for name in _types(settings):
        if not _is_known(name):
            raise ValueError(
                f'{whose} asks for {name!r:.80}, which is no registered class: import the module that registers it '
                'first (custom_imports, or import it); a file does not choose what is imported.'
            )


def _types(settings: Any) -> Iterator[Any]:
    if isinstance(settings, dict):
        yield from (settings[key] for key in ('type', 'cls') if key in settings)
    inner = settings.values() if isinstance(settings, dict) else settings
    for value in inner if isinstance(inner, list | tuple | type({}.values())) else ():
        yield from _types(value)


def model_class(name: Any) -> Any:
    """The class that the ``type`` of a part of a model names; None where this process has none of that name."""
    return (
        importlib.import_module(__name__).MODELS.get(name)
        if isinstance(name, str) and _is_known(name)
        else None
    )


def _is_known(name: Any) -> bool:
    """Whether a name is registered, or leads to a module class of a module that is imported already."""
    if not isinstance(name, str):
        return isinstance(name, type)  # an object of this process: no file holds one
    scope, _, last = name.rpartition('.')
    import_third_parties()
    modules = mmengine.registry, importlib.import_module('mmpretrain.registry')
    roots = [value for module in modules for value in vars(module).values() if isinstance(value, Registry)]
    for load in (False, True):
        for registry in _with_children(roots):
            if load:
                registry.import_from_location()
            if (not scope or registry.scope == scope) and last in registry.module_dict:
                return True
    found = getattr(sys.modules.get(scope), last, None)
    return isinstance(found, type) and issubclass(found, importlib.import_module('torch').nn.Module)


def _with_children(registries: list[Registry]) -> Iterator[Registry]:
    for registry in registries:
        yield registry
        yield from _with_children(list(registry.children.values()))
