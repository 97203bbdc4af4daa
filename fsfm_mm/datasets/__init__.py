"""Data sets, pipeline transforms and collate functions; `fsfm_mm.components` registers them."""

import lazy_loader

from fsfm_mm.files.pictures import BrokenSampleError

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        'base': ['FaceDataset'],
        'collate': ['dense_collate'],
        'labelled.antispoof': ['AntiSpoofDataset'],
        'labelled.base': ['LabelledDataset'],
        'labelled.folders': ['LabelledFaces'],
        'labelled.forgery_set': ['NamedForgerySet'],
        'labelled.lists': ['FaceListDataset'],
        'labelled.sampler': ['DomainBalancedSampler', 'check_balanced_loader'],
        'labelled.splits': ['check_splits', 'entries_of'],
        'pretraining.archive_sampler': ['ShardSampler'],
        'pretraining.archived_faces': ['ArchivedFaces'],
        'pretraining.folders': ['FaceParsingDataset', 'LabelTable'],
    },
)
__all__ = ['BrokenSampleError', *__all__]
