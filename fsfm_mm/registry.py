"""The registries that fsfm_mm adds to: OpenMMLab's own, all in one place.

Registering here rather than in a scope of our own keeps mmpretrain's tools and inferencers working; other OpenMMLab
projects write ``type='mmpretrain.FusedAttentionViT'`` with ``custom_imports = dict(imports=['fsfm_mm.components'])``.

Transforms and data sets go into mmengine's own registries, into which every project looks after its own, so that
preparing, checking and drawing data need no mmpretrain; :mod:`fsfm_mm.components` adds them to mmpretrain's, for the
names with its prefix. The other registries are mmpretrain's, which is imported when one of them is asked for.
"""

from __future__ import annotations

import importlib

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
