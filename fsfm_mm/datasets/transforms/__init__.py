"""Pipeline transforms; `fsfm_mm.components` registers them."""

import lazy_loader

from fsfm_mm.files.pictures import BrokenSampleError, read_image, read_parsing_map

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'colour': ['RandomSaturation'],
        'geometry': ['RandomFaceCrop', 'RandomFaceFlip', 'ResizeFace'],
        'loading': ['LoadFace', 'PackFaces'],
        'masking': [
            'CRFRPMask',
            'CRFRRMask',
            'FaskingMask',
            'FRPMask',
            'PatchMask',
            'RandomMask',
            'mask_types',
        ],
        'patch_labels': ['BuildPatchLabels'],
        'timm_augment': ['TimmTrainAugment'],
    },
)
__all__ = ['BrokenSampleError', 'read_image', 'read_parsing_map', *__all__]
