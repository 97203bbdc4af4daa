"""Pipeline transforms; importing this package registers them."""

from fsfm_mm.datasets.transforms.geometry import RandomFaceCrop, RandomFaceFlip, ResizeFace
from fsfm_mm.datasets.transforms.loading import LoadFace
from fsfm_mm.datasets.transforms.masking import (
    CRFRPMask,
    CRFRRMask,
    FaskingMask,
    FRPMask,
    PatchMask,
    RandomMask,
    mask_types,
)
from fsfm_mm.datasets.transforms.packing import PackFaces
from fsfm_mm.datasets.transforms.patch_labels import BuildPatchLabels
from fsfm_mm.datasets.transforms.timm_augment import TimmTrainAugment
from fsfm_mm.files.pictures import BrokenSampleError, read_image, read_parsing_map

__all__ = [
    'BrokenSampleError',
    'BuildPatchLabels',
    'CRFRPMask',
    'CRFRRMask',
    'FRPMask',
    'FaskingMask',
    'LoadFace',
    'PackFaces',
    'PatchMask',
    'RandomFaceCrop',
    'RandomFaceFlip',
    'RandomMask',
    'ResizeFace',
    'TimmTrainAugment',
    'mask_types',
    'read_image',
    'read_parsing_map',
]
