"""fsfm_mm: face-security foundation models on the OpenMMLab stack.

Importing the package registers all of its components into mmpretrain's registries, so a config needs
only ``custom_imports = dict(imports=['fsfm_mm'])`` and ``default_scope = 'mmpretrain'``.
"""

from fsfm_mm._startup import check_single_family, import_third_parties
from fsfm_mm.version import __version__

check_single_family()
import_third_parties()

from fsfm_mm import checkpoints, datasets, drawn, engine, evaluation, models  # noqa: E402

__all__ = ['__version__', 'checkpoints', 'datasets', 'drawn', 'engine', 'evaluation', 'models']
