"""The 3C losses (two reconstructions and the similarity losses), and the adapter's contrastive loss."""

from fsfm_mm.models.losses.real_anchor import RealAnchorContrastiveLoss
from fsfm_mm.models.losses.reconstruction import MaskedReconstructionLoss, RegionReconstructionLoss
from fsfm_mm.models.losses.similarity import (
    BYOLLoss,
    InfoNCELoss,
    MoCoV3SimilarityLoss,
    SimCLRLoss,
    SimilarityLoss,
    SimSiamLoss,
)

__all__ = [
    'BYOLLoss',
    'InfoNCELoss',
    'MaskedReconstructionLoss',
    'MoCoV3SimilarityLoss',
    'RealAnchorContrastiveLoss',
    'RegionReconstructionLoss',
    'SimCLRLoss',
    'SimSiamLoss',
    'SimilarityLoss',
]
