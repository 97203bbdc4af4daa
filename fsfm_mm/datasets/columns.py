"""A batch of samples kept as arrays: what data sets that read many samples at once hand to the pipeline.

A pipeline usually works on one dictionary a sample. Where the pixels lie ready on the disk, those dictionaries
cost more than the reading. So a data set may make **columns** instead, one array for a whole batch under each
key, and run them through transforms that have a method ``transform_columns(columns) -> columns``:

================  =============================================================================
``planes``        uint8 (N, 3, H, W), RGB: a sample's ``img`` (BGR, channels last) in the model's layout
``patch_labels``  uint16 (N, h, w)
``parsing_map``   uint8 (N, H, W), instead of ``patch_labels``
================  =============================================================================

Transforms add and replace columns as they do a sample's keys, and draw their random numbers in the order in
which they would draw them sample by sample: under one seed both ways give the same batch. A pipeline with a
transform that lacks the method runs sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fsfm_mm.datasets.transforms.packing import PackFaces


class SampleColumns(Sequence):
    """Finished samples as columns: a sequence of dictionaries for any collate function.

    :func:`~fsfm_mm.datasets.dense_collate` takes the arrays as they are.

    Args:
        arrays: One array a key, with the samples along its first axis.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: Any) -> Any:
        """Return sample ``index`` as a dictionary of views, or the samples of a slice."""
        values = {key: array[index] for key, array in self.arrays.items()}
        return SampleColumns(values) if isinstance(index, slice) else values


def take_columns(transforms: Sequence[Callable]) -> bool:
    """Whether a pipeline can run on columns: all its transforms do, and the last one packs them."""
    if not transforms or not isinstance(transforms[-1], PackFaces):
        return False  # what comes out are single samples, with an ``img`` each
    return all(hasattr(transform, 'transform_columns') for transform in transforms)


def run_columns(transforms: Sequence[Any], columns: dict[str, np.ndarray]) -> SampleColumns:
    """Run a pipeline over columns, see :func:`take_columns`."""
    for transform in transforms:
        columns = transform.transform_columns(columns)
    return SampleColumns(columns)
