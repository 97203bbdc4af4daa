"""The 3C losses: two reconstructions and the similarity losses."""

from .reconstruction import MaskedReconstructionLoss, RegionReconstructionLoss
from .similarity import BYOLLoss, InfoNCELoss, MoCoV3SimilarityLoss, SimCLRLoss, SimilarityLoss, SimSiamLoss

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
