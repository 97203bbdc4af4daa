"""Faces from packed files: the fastest input, where crops are fixed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fsfm_mm.datasets.archived_faces import ArchivedFaces
from fsfm_mm.datasets.columns import run_columns, take_columns
from fsfm_mm.datasets.open_files import OpenFiles
from fsfm_mm.datasets.packed_format import FOLDER, PackedSet
from fsfm_mm.datasets.reading import BrokenSampleError, decode_image
from fsfm_mm.regions import NUM_LABELS
from fsfm_mm.registry import DATASETS


@DATASETS.register_module()
class PackedFaces(ArchivedFaces[PackedSet]):
    """Faces packed by ``tools/data/prepare_pretrain.py`` or ``tools/data/pack.py``.

    A sample has ``img`` (uint8 (S, S, 3), BGR), ``patch_labels`` (uint16 (h, w)), ``img_path`` (file and key)
    and ``sample_idx`` before the pipeline. It takes the pipeline of :class:`FaceParsingDataset`: LoadFace finds
    the image there, BuildPatchLabels the labels; so in a config ``type`` and ``data_root`` change, nothing else.
    Pixels lie at one size and labels in one grid of patches: flips are possible, crops are not.

    Batches are read into one array and run through the pipeline as columns
    (:mod:`fsfm_mm.datasets.columns`), as long as all its transforms can; the result is the same.

    Args:
        data_root: Folder that holds ``packed/`` (or that folder itself), or several, whose faces follow one
            another; all of one size and patch size.
        **kwargs: ``mask``, ``pipeline`` (by default the packing alone), ``on_broken``, ``need_maps``, ``indices``
            ...: see :class:`~fsfm_mm.datasets.archived_faces.ArchivedFaces`.

    Raises:
        ValueError: A file is missing, cut off, of another version, or does not belong to the others; a set has
            no labels although they are needed.
    """

    def __init__(self, data_root: str | Sequence[str], **kwargs: Any) -> None:
        self._files = OpenFiles()
        super().__init__(data_root, **kwargs)

    def open_set(self, root: str) -> PackedSet:
        """Open the packed set of one root."""
        folder = Path(root) / FOLDER
        return PackedSet(folder if folder.is_dir() else Path(root))

    def load_data_list(self) -> Any:
        """Open the sets and check that they are alike; returns the numbers of all faces, int64 (N,)."""
        rows = super().load_data_list()
        first = self.sets[0]
        for pack in self.sets:
            ours, theirs = pack.header, first.header
            if ours.size != theirs.size or (self.need_maps and ours.patch_size != theirs.patch_size):
                raise ValueError(
                    f'{pack.folder} has faces of {ours.size} pixels in patches of {ours.patch_size}, '
                    f'{first.folder} of {theirs.size} in {theirs.patch_size}: pack them alike.'
                )
        return rows

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict]:
        """Return the samples ``indices`` after the pipeline: as columns where all its transforms take them."""
        self.full_init()
        indices = list(indices)  # seeds this process where the batch is a SeededBatch
        if not take_columns(self.pipeline.transforms):
            return super().__getitems__(indices)
        size, grid = self.sets[0].header.size, self.sets[0].header.grid
        columns = {'planes': np.empty((len(indices), 3, size, size), np.uint8)}
        if self.need_maps:
            columns['patch_labels'] = np.empty((len(indices), grid, grid), np.uint16)
        else:
            columns['parsing_map'] = np.zeros((len(indices), size, size), np.uint8)
        for place, idx in enumerate(indices):
            self.first_readable(idx, functools.partial(self._read_into, columns, place))
        return run_columns(self.pipeline.transforms, columns)

    def get_data_info(self, idx: int) -> dict:
        """Read sample ``idx``; raises BrokenSampleError where it is unusable."""
        self.full_init()
        size = self.sets[0].header.size
        planes = np.empty((3, size, size), np.uint8)
        labels = self._read(idx, planes)
        info = {'img': cv2.merge([planes[2], planes[1], planes[0]])}
        if labels is None:
            info['parsing_map'] = np.zeros((size, size), np.uint8)
        else:
            info['patch_labels'] = np.array(labels)
        return info | {'img_path': self.data_path(idx), 'sample_idx': int(idx % len(self))}

    def _read_into(self, columns: dict[str, np.ndarray], place: int, idx: int) -> None:
        labels = self._read(idx, columns['planes'][place])
        if labels is not None:
            columns['patch_labels'][place] = labels

    def _read(self, idx: int, planes: np.ndarray) -> np.ndarray | None:
        """Read the pixels of sample ``idx`` into uint8 (3, S, S); returns its label sets, a view (h, w)."""
        which, row = self.place(idx)
        pack = self.sets[which]
        chunk, offset, length = pack.index[row].tolist()
        try:
            if pack.header.encoding == 'raw':
                found = self._files.read_into(pack.files[chunk], offset, planes)
            else:
                data = self._files.read(pack.files[chunk], offset, length)
                found = len(data)
        except OSError as error:
            raise BrokenSampleError(f'{pack.path(row)}: cannot be read ({error.strerror}).') from error
        if found != length:
            raise BrokenSampleError(
                f'{pack.path(row)}: the file has become shorter, {found} of {length} bytes are left.'
            )
        if pack.header.encoding == 'jpeg':
            _decode_into(data, pack, row, planes)
        return self._labels(pack, row) if self.need_maps else None

    def _labels(self, pack: PackedSet, row: int) -> np.ndarray:
        assert pack.labels is not None
        labels = pack.labels[row]
        if labels.max() >= 1 << NUM_LABELS:
            raise BrokenSampleError(
                f'{pack.path(row)}: its label sets reach {labels.max()}, but {NUM_LABELS} labels make sets below '
                f'{1 << NUM_LABELS}.'
            )
        return labels


def _decode_into(data: bytes, pack: PackedSet, row: int, planes: np.ndarray) -> None:
    # the name in a message costs a look into the keys, so it is found only when needed
    try:
        image = decode_image(data, '')
    except BrokenSampleError as error:
        raise BrokenSampleError(f'{pack.path(row)}{error}') from error
    if image.shape != (*planes.shape[1:], 3):
        raise BrokenSampleError(
            f'{pack.path(row)}: is {image.shape[1]}x{image.shape[0]} pixels, but the set {planes.shape[2]}.'
        )
    cv2.split(image, [planes[2], planes[1], planes[0]])
