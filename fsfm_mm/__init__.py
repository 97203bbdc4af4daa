"""fsfm_mm: face-security foundation models on the OpenMMLab stack.

Importing the package is quick: neither torch nor mmpretrain is loaded before something of it is used
(``fsfm_mm.models.FusedAttentionViT``). ``fsfm_mm.load(FILE)`` gives a checkpoint's model and card,
``fsfm_mm.Detector(FILE)(PICTURE)`` scores faces. ``import fsfm_mm.components`` registers all components, so a config
needs ``custom_imports = dict(imports=['fsfm_mm.components'])`` and ``default_scope = 'mmpretrain'``.
"""

import lazy_loader

from fsfm_mm._startup import check_single_family
from fsfm_mm.version import __version__

check_single_family()

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    [
        'apis',
        'checkpoints',
        'components',
        'datasets',
        'engine',
        'evaluation',
        'files',
        'models',
        'ops',
        'prediction',
        'regions',
        'registry',
        'schedules',
        'visualization',
    ],
    # both register what checkpoints are made of
    submod_attrs={'components': ['load'], 'prediction': ['Detector']},
)
__all__ = [*__all__, '__version__']
