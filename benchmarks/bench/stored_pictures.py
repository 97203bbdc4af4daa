"""The same faces stored, and read, in every way that the loaders are compared on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from bench.inputs import Bench
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
    """Faces to store: those of a folder in the published layout (one with fewer is repeated), or drawn ones.

    Raises:
        ValueError: The folder is missing or has no faces with maps.
    """
    if data_root is None:
        return [draw_face(i, size) for i in range(count)]
    if not os.path.isdir(data_root):
        raise ValueError(f'--data-root: there is no folder {data_root}')
    dataset = FaceParsingDataset(data_root, pipeline=_pipeline(size))
    dataset.full_init()
    samples = [dataset[i] for i in range(min(count, len(dataset)))]
    faces = [(sample['img'], sample['parsing_map']) for sample in samples]
    return [faces[i % len(faces)] for i in range(count)]


def _pipeline(size: int) -> list[dict]:
    return [dict(type='LoadFace'), dict(type='ResizeFace', size=size, interpolation='bicubic')]


def store(faces: Sequence[Face], folder: Path, patch_size: int) -> dict[str, Path]:
    """Write faces of one size below an empty folder as files and in archives.

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


def open_stored(bench: Bench, kind: str, root: Path, mask: PatchMask) -> Dataset:
    """The library's data set over one of the roots of :func:`store`, with the pipeline of pretraining."""
    last = [dict(type='BuildPatchLabels', patch_size=bench.patch_size), dict(type='PackFaces')]
    cfg = dict(data_root=str(root), mask=mask, pipeline=[*_pipeline(bench.size), *last])
    if kind.startswith('archive'):
        cfg.update(type='ArchivedFaces', read_maps=kind == 'archive maps')
    else:
        cfg.update(
            type='FaceParsingDataset', label_table=str(root / 'label_table.npy') if kind == 'jpeg' else None
        )
    dataset = DATASETS.build(cfg)
    dataset.full_init()
    return dataset
