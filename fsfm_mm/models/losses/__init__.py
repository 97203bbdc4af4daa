"""The 3C losses: two reconstructions and the similarity losses."""

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
    'RegionReconstructionLoss',
    'SimCLRLoss',
    'SimSiamLoss',
    'SimilarityLoss',
]
