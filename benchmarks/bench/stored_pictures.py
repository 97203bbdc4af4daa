"""The same faces stored, and read, in every way that the loaders are compared on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from fsfm_mm.datasets import FaceParsingDataset
from fsfm_mm.datasets.transforms import PatchMask
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.preparation.writers.folders import FoldersWriter
from fsfm_mm.registry import DATASETS

#: A picture, uint8 (S, S, 3) BGR, and its parsing map, uint8 (S, S).
Face = tuple[np.ndarray, np.ndarray]


def read_faces(count: int, size: int, data_root: str | None = None) -> list[Face]:
    """Faces to store: those of a folder in the published layout, or drawn ones.

    Args:
        count: How many; a folder with fewer is repeated.
        size: Side in pixels.
        data_root: Folder with ``images/`` and ``parsing_maps/``.

    Raises:
        ValueError: The folder is missing or has no faces with maps.
    """
    if data_root is None:
        return [draw_face(i, size) for i in range(count)]
    if not os.path.isdir(data_root):
        raise ValueError(f'--data-root: there is no folder {data_root}')
    pipeline = [dict(type='LoadFace'), dict(type='ResizeFace', size=size, interpolation='bicubic')]
    dataset = FaceParsingDataset(data_root, pipeline=pipeline)
    dataset.full_init()
    samples = [dataset[i] for i in range(min(count, len(dataset)))]
    return [
        (samples[i % len(samples)]['img'], samples[i % len(samples)]['parsing_map']) for i in range(count)
    ]


def store(faces: Sequence[Face], folder: Path, patch_size: int) -> dict[str, Path]:
    """Write faces below ``folder`` as files and in archives.

    Args:
        faces: Of one size.
        folder: Empty.
        patch_size: Of the label tables, in pixels.

    Returns:
        Roots by kind: 'png' (with ``.npy`` maps), 'jpeg' (quality 95, 4:4:4, with ``label_table.npy`` in the
        root), 'archive jpeg' (the same pictures), 'archive jpeg 4:2:0' (quality 90), 'archive raw' and
        'archive maps' (that of 'archive jpeg' once more).
    """
    writers: dict[str, FaceWriter] = {
        'png': FoldersWriter(),
        'jpeg': FoldersWriter('jpeg', 95),
        'archive jpeg': ArchiveWriter('jpeg', 95, patch_size=patch_size),
        'archive jpeg 4:2:0': ArchiveWriter('jpeg', 90, '4:2:0', patch_size),
        'archive raw': ArchiveWriter('raw', patch_size=patch_size),
    }
    records = [FaceRecord(source=f'{number:06d}') for number in range(len(faces))]
    prepared = [
        PreparedFace(record.source, image, labels, record) for (image, labels), record in zip(faces, records)
    ]
    roots = {kind: folder / str(number) for number, kind in enumerate(writers)}
    for kind, writer in writers.items():
        writer.write_chunk(roots[kind], 0, prepared)
        writer.finish(roots[kind], 1, records)
    np.save(roots['jpeg'] / 'label_table.npy', np.stack([patch_labels(m, patch_size) for _, m in faces]))
    return {**roots, 'archive maps': roots['archive jpeg']}


def open_stored(kind: str, root: Path, mask: PatchMask, size: int, patch_size: int) -> Dataset:
    """The library's data set over one of the roots of :func:`store`, with the pipeline of pretraining.

    Args:
        kind: Key of the root.
        root: The root.
        mask: Made for every sample.
        size: Side that pictures are resized to, in pixels.
        patch_size: Side of a patch in pixels.
    """
    pipeline = [
        dict(type='LoadFace'),
        dict(type='ResizeFace', size=size, interpolation='bicubic'),
        dict(type='BuildPatchLabels', patch_size=patch_size),
        dict(type='PackFaces'),
    ]
    cfg = dict(type='FaceParsingDataset', data_root=str(root), mask=mask, pipeline=pipeline)
    if kind == 'jpeg':
        cfg['label_table'] = str(root / 'label_table.npy')
    elif kind.startswith('archive'):
        cfg.update(type='ArchivedFaces', read_maps=kind == 'archive maps')
    dataset = DATASETS.build(cfg)
    dataset.full_init()
    return dataset
