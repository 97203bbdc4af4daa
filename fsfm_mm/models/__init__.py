"""Models; importing this registers them."""

from fsfm_mm._startup import import_third_parties

import_third_parties()  # first: filters import noise

from fsfm_mm.models.augment import FaceClsDataPreprocessor, TimmBatchAugment  # noqa: E402
from fsfm_mm.models.backbones import FusedAttentionViT  # noqa: E402
from fsfm_mm.models.heads import AdapterHead, AntiSpoofHead, ProjectionMLP  # noqa: E402
from fsfm_mm.models.losses import (  # noqa: E402
    BYOLLoss,
    InfoNCELoss,
    MaskedReconstructionLoss,
    MoCoV3SimilarityLoss,
    RealAnchorContrastiveLoss,
    RegionReconstructionLoss,
    SimCLRLoss,
    SimSiamLoss,
)
from fsfm_mm.models.necks import MAEPixelDecoder, SiameseRepDecoder  # noqa: E402
from fsfm_mm.models.preprocessors import FaceDataPreprocessor  # noqa: E402
from fsfm_mm.models.selfsup import FSFM, FaceMAE  # noqa: E402
from fsfm_mm.models.target import MomentumTarget  # noqa: E402

__all__ = [
    'FSFM',
    'AdapterHead',
    'AntiSpoofHead',
    'BYOLLoss',
    'FaceClsDataPreprocessor',
    'FaceDataPreprocessor',
    'FaceMAE',
    'FusedAttentionViT',
    'InfoNCELoss',
    'MAEPixelDecoder',
    'MaskedReconstructionLoss',
    'MoCoV3SimilarityLoss',
    'MomentumTarget',
    'ProjectionMLP',
    'RealAnchorContrastiveLoss',
    'RegionReconstructionLoss',
    'SiameseRepDecoder',
    'SimCLRLoss',
    'SimSiamLoss',
    'TimmBatchAugment',
]
