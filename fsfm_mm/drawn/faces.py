"""Drawn faces with exact parsing maps: pretraining, tests and benchmarks without any data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fsfm_mm.datasets.base import FaceDataset
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.regions import LABEL_NAMES
from fsfm_mm.registry import DATASETS


def _draw_read_only(number: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face to keep: nobody may change it in place."""
    img, labels = draw_face(number, size, seed)
    img.flags.writeable = labels.flags.writeable = False
    return img, labels


@DATASETS.register_module()
class GeneratedFaces(FaceDataset):
    """A data set of drawn faces, deterministic by index; it reads and stores nothing.

    A sample has ``img`` (uint8 (S, S, 3), BGR), ``parsing_map`` (uint8 (S, S)), ``img_path`` (a name such as
    'generated/000123') and ``sample_idx`` before the pipeline, which therefore needs no LoadFace.

    Args:
        length: Number of faces.
        img_size: Side S of the pictures in pixels, 32 or more.
        seed: Another seed, another set of faces.
        start: Number of the first face: disjoint ranges of the same seed are disjoint splits.
        cache: Keep drawn faces in memory, 4 * S * S bytes each, in every worker process.
        pipeline: Transforms.
        **kwargs: ``lazy_init``, ``metainfo`` ... of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: ``length`` is below 1, ``img_size`` below 32, or ``start`` or ``seed`` below 0.
    """

    METAINFO = {'label_names': LABEL_NAMES}

    def __init__(
        self,
        length: int = 10000,
        img_size: int = 224,
        seed: int = 0,
        start: int = 0,
        cache: bool = False,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        if length < 1 or img_size < 32 or min(start, seed) < 0:
            raise ValueError(
                'GeneratedFaces needs length >= 1, img_size >= 32 and start, seed >= 0, but got '
                f'length={length}, img_size={img_size}, start={start}, seed={seed}.'
            )
        self.length, self.img_size, self.seed, self.start = length, img_size, seed, start
        self._draw = functools.cache(_draw_read_only) if cache else draw_face
        super().__init__(pipeline=list(pipeline), serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return nothing: samples are drawn by their index, so no list of them is kept."""
        return []

    def __len__(self) -> int:
        return self.length

    def get_data_info(self, idx: int) -> dict:
        """Draw sample ``idx``; raises IndexError outside the data set, so that it can be iterated."""
        number = self._number(idx)
        img, labels = self._draw(number, self.img_size, self.seed)
        index = number - self.start
        return {'img': img, 'parsing_map': labels, 'img_path': self.data_path(idx), 'sample_idx': index}

    def data_path(self, idx: int) -> str:
        """Name of sample ``idx``; there is no file of that name."""
        return f'generated/{self._number(idx):06d}'

    def _number(self, idx: int) -> int:
        if not -self.length <= idx < self.length:
            raise IndexError(f'sample {idx} of a data set of {self.length}')
        return self.start + idx % self.length

    def get_subset_(self, indices: Sequence[int] | int) -> NoReturn:
        """Not supported: choose with ``start`` and ``length``."""
        raise ValueError('GeneratedFaces keeps no list of samples: choose a subset with start and length.')

    get_subset = get_subset_
