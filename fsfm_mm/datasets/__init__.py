"""Data sets, pipeline transforms and collate functions; importing this package registers them."""

from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.datasets.collate import dense_collate
from fsfm_mm.datasets.labelled.antispoof import AntiSpoofDataset
from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.folders import LabelledFaces
from fsfm_mm.datasets.labelled.forgery_set import NamedForgerySet
from fsfm_mm.datasets.labelled.lists import FaceListDataset
from fsfm_mm.datasets.labelled.sampler import DomainBalancedSampler, check_balanced_loader
from fsfm_mm.datasets.labelled.splits import check_splits, entries_of
from fsfm_mm.datasets.pretraining.archive_sampler import ShardSampler
from fsfm_mm.datasets.pretraining.archived_faces import ArchivedFaces
from fsfm_mm.datasets.pretraining.folders import FaceParsingDataset, LabelTable
from fsfm_mm.files.pictures import BrokenSampleError

__all__ = [
    'AntiSpoofDataset',
    'ArchivedFaces',
    'BrokenSampleError',
    'DomainBalancedSampler',
    'FaceDataset',
    'FaceListDataset',
    'FaceParsingDataset',
    'LabelTable',
    'LabelledDataset',
    'LabelledFaces',
    'NamedForgerySet',
    'ShardSampler',
    'check_balanced_loader',
    'check_splits',
    'dense_collate',
    'entries_of',
]
