"""Models; importing this registers them. What a folder in here names in its ``__all__`` is public here, too."""

from fsfm_mm._startup import import_third_parties

import_third_parties()  # first: filters import noise

from fsfm_mm.models import backbones, heads, losses, necks, selfsup  # noqa: E402
from fsfm_mm.models.augment import FaceClsDataPreprocessor, TimmBatchAugment  # noqa: E402
from fsfm_mm.models.backbones import *  # noqa: E402, F403
from fsfm_mm.models.heads import *  # noqa: E402, F403
from fsfm_mm.models.losses import *  # noqa: E402, F403
from fsfm_mm.models.necks import *  # noqa: E402, F403
from fsfm_mm.models.preprocessors import FaceDataPreprocessor  # noqa: E402
from fsfm_mm.models.selfsup import *  # noqa: E402, F403
from fsfm_mm.models.target import MomentumTarget  # noqa: E402

__all__ = ['FaceClsDataPreprocessor', 'FaceDataPreprocessor', 'MomentumTarget', 'TimmBatchAugment']
__all__ += backbones.__all__
__all__ += heads.__all__
__all__ += losses.__all__
__all__ += necks.__all__
__all__ += selfsup.__all__
