"""Data sets, pipeline transforms and collate functions; importing this package registers them."""

from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.datasets.collate import dense_collate
from fsfm_mm.datasets.face_parsing import FaceParsingDataset, LabelTable
from fsfm_mm.datasets.generated_faces import GeneratedFaces
from fsfm_mm.datasets.transforms import BrokenSampleError

__all__ = [
    'BrokenSampleError',
    'FaceDataset',
    'FaceParsingDataset',
    'GeneratedFaces',
    'LabelTable',
    'dense_collate',
]
