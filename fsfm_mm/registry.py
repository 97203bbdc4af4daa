"""The registries that fsfm_mm adds to: mmpretrain's own, all in one place.

Registering here rather than in a scope of our own keeps mmpretrain's tools and inferencers working;
other OpenMMLab projects write ``type='mmpretrain.FusedAttentionViT'`` with
``custom_imports = dict(imports=['fsfm_mm'])``.
"""

from mmengine.registry import FUNCTIONS
from mmpretrain.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
]
