"""A whole batch of samples as arrays: the quick way through the pipeline for faces that lie ready on the disk.

A pipeline usually works on one dictionary a sample. Where pixels are only copied, those dictionaries cost more than
the reading. So :class:`~fsfm_mm.datasets.ArchivedFaces` reads a batch into **columns**, one array under each key:

================  =============================================================================
``planes``        uint8 (N, 3, H, W), RGB: a sample's ``img`` (BGR, channels last) in the model's layout
``patch_labels``  uint16 (N, h, w); not there where no labels are wanted: all is background
================  =============================================================================

and here is what each transform means to them. Random numbers are drawn in the order in which they would be drawn
sample by sample: under one seed both ways give the same batch. A pipeline with any other transform runs sample by
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from fsfm_mm.datasets.transforms.geometry import RandomFaceFlip, ResizeFace, flip_patch_labels, refuse_key
from fsfm_mm.datasets.transforms.loading import LoadFace, PackFaces
from fsfm_mm.datasets.transforms.masking import PatchMask
from fsfm_mm.datasets.transforms.patch_labels import BuildPatchLabels
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.ops.resizing import resize_image

Columns = dict[str, np.ndarray]


class SampleColumns(Sequence):
    """Finished samples as columns: a sequence of dictionaries for any collate function.

    :func:`~fsfm_mm.datasets.dense_collate` takes the arrays as they are.

    Args:
        arrays: One array a key, with the samples along its first axis.
    """

    def __init__(self, arrays: Columns) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: Any) -> Any:
        """Return sample ``index`` as a dictionary of views, or the samples of a slice."""
        values = {key: array[index] for key, array in self.arrays.items()}
        return SampleColumns(values) if isinstance(index, slice) else values


def _resize(transform: ResizeFace, columns: Columns) -> Columns:
    planes = columns['planes']
    if planes.shape[2:] != transform.size:
        pictures = [resize_image(cv2.merge(list(p)), transform.size, transform.interpolation) for p in planes]
        columns['planes'] = np.stack([np.stack(cv2.split(picture)) for picture in pictures])
    return columns


def _flip(transform: RandomFaceFlip, columns: Columns) -> Columns:
    refuse_key(columns, 'mask', transform, 'put the mask transform after it')
    planes = columns['planes']
    chosen = np.flatnonzero(np.random.rand(len(planes)) < transform.prob)
    for sample in chosen:
        stack = planes[sample].reshape(-1, planes.shape[3])  # rows of all three planes
        cv2.flip(stack, 1, dst=stack)
    if 'patch_labels' in columns:
        columns['patch_labels'][chosen] = flip_patch_labels(columns['patch_labels'][chosen])
    return columns


def _build(transform: BuildPatchLabels, columns: Columns) -> Columns:
    if 'patch_labels' not in columns:
        count, _, height, width = columns['planes'].shape
        background = patch_labels(np.zeros((1, height, width), np.uint8), transform.patch_size)
        columns['patch_labels'] = np.repeat(background, count, axis=0)
    return columns


def _mask(transform: PatchMask, columns: Columns) -> Columns:
    if 'patch_labels' not in columns:
        transform.transform_batch([{}])  # says what is missing
    columns['mask'], columns['region_mask'] = transform.masks(columns['patch_labels'])
    return columns


def _pack(transform: PackFaces, columns: Columns) -> Columns:
    packed = {'inputs': columns['planes']}  # in the model's layout already
    return packed | {key: columns[key] for key in ('mask', 'region_mask') if key in columns}


#: Type of a transform, not of those derived from it, which may do anything -> the same on columns.
_STEPS: dict[type, Callable[[Any, Columns], Columns]] = {
    LoadFace: lambda _, columns: columns,  # pixels are there
    ResizeFace: _resize,
    RandomFaceFlip: _flip,
    BuildPatchLabels: _build,
    PackFaces: _pack,
}


def _step(transform: Any) -> Callable[[Any, Columns], Columns] | None:
    if isinstance(transform, PatchMask):  # those of one's own too: their contract is one for whole batches
        return _mask if type(transform).transform_batch is PatchMask.transform_batch else None
    return _STEPS.get(type(transform))


def take_columns(transforms: Sequence[Callable]) -> bool:
    """Whether a pipeline can run on columns: all its transforms do, and the last one packs them."""
    if not transforms or type(transforms[-1]) is not PackFaces:
        return False  # what comes out are single samples, with an ``img`` each
    return all(_step(transform) is not None for transform in transforms)


def run_columns(transforms: Sequence[Callable], columns: Columns) -> SampleColumns:
    """Run a pipeline over columns, see :func:`take_columns`."""
    for transform in transforms:
        step = _step(transform)
        assert step is not None
        columns = step(transform, columns)
    return SampleColumns(columns)
