"""The registries that fsfm_mm adds to: mmpretrain's own, all in one place.

Registering here rather than in a scope of our own keeps mmpretrain's tools and inferencers working;
other OpenMMLab projects write ``type='mmpretrain.FusedAttentionViT'`` with
``custom_imports = dict(imports=['fsfm_mm'])``.
"""

from mmengine.registry import FUNCTIONS, Registry
from mmpretrain.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)

#: What finds faces in a picture, and what labels their pixels: ``fsfm_mm.preparation``.
FACE_DETECTORS = Registry('face detector', scope='mmpretrain')
FACE_PARSERS = Registry('face parser', scope='mmpretrain')

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'FACE_DETECTORS',
    'FACE_PARSERS',
    'FUNCTIONS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
]
