"""The same faces stored in every way that the loaders are compared on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.datasets import FaceParsingDataset
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.preparation.writers.folders import encode_image

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
    packed: dict[str, FaceWriter] = {
        'archive jpeg': ArchiveWriter('jpeg', 95, patch_size=patch_size),
        'archive jpeg 4:2:0': ArchiveWriter('jpeg', 90, '4:2:0', patch_size),
        'archive raw': ArchiveWriter('raw', patch_size=patch_size),
    }
    roots = {kind: folder / str(number) for number, kind in enumerate(('png', 'jpeg', *packed))}
    for sub in (roots['png'] / 'images', roots['png'] / 'parsing_maps', roots['jpeg'] / 'images'):
        sub.mkdir(parents=True)
    for number, (image, labels) in enumerate(faces):
        name = f'{number:06d}'
        cv2.imwrite(str(roots['png'] / 'images' / f'{name}.png'), image)
        np.save(roots['png'] / 'parsing_maps' / f'{name}.npy', labels.astype(np.int8))
        (roots['jpeg'] / 'images' / f'{name}.jpg').write_bytes(encode_image(image, '.jpg', 95))
    np.save(roots['jpeg'] / 'label_table.npy', np.stack([patch_labels(m, patch_size) for _, m in faces]))
    for kind, writer in packed.items():
        _pack(faces, roots[kind], writer)
    return {**roots, 'archive maps': roots['archive jpeg']}


def _pack(faces: Sequence[Face], root: Path, writer: FaceWriter) -> None:
    records = [FaceRecord(source=f'{number:06d}') for number in range(len(faces))]
    prepared = [
        PreparedFace(record.source, image, labels, record) for (image, labels), record in zip(faces, records)
    ]
    writer.write_chunk(root, 0, prepared)
    writer.finish(root, 1, records)
