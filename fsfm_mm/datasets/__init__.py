"""Data sets, pipeline transforms and collate functions; importing this package registers them."""

from fsfm_mm.datasets.antispoof import AntiSpoofDataset
from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.datasets.collate import dense_collate
from fsfm_mm.datasets.face_parsing import FaceParsingDataset, LabelTable
from fsfm_mm.datasets.labelled_base import LabelledDataset
from fsfm_mm.datasets.labelled_faces import LabelledFaces
from fsfm_mm.datasets.list_files import FaceListDataset
from fsfm_mm.datasets.named_sets import NamedForgerySet
from fsfm_mm.datasets.packed_faces import PackedFaces
from fsfm_mm.datasets.samplers import DomainBalancedSampler, check_balanced_loader
from fsfm_mm.datasets.shard_sampler import ShardSampler
from fsfm_mm.datasets.sharded_faces import ShardedFaces
from fsfm_mm.datasets.splits import check_splits, entries_of
from fsfm_mm.datasets.transforms import BrokenSampleError

__all__ = [
    'AntiSpoofDataset',
    'BrokenSampleError',
    'DomainBalancedSampler',
    'FaceDataset',
    'FaceListDataset',
    'FaceParsingDataset',
    'LabelTable',
    'LabelledDataset',
    'LabelledFaces',
    'NamedForgerySet',
    'PackedFaces',
    'ShardSampler',
    'ShardedFaces',
    'check_balanced_loader',
    'check_splits',
    'dense_collate',
    'entries_of',
]
