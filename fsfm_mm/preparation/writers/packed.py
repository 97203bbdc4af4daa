"""Prepared faces in few large files with one table of label sets: the fastest to read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.datasets.packed_format import (
    ENCODINGS,
    FOLDER,
    HEADER,
    INDEX,
    KEYS,
    LABELS,
    PackedHeader,
    chunk_name,
)
from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.preparation.writers.folders import check_jpeg, encode_image


class PackedWriter(FaceWriter):
    """Writes ``OUT/packed/``, see :mod:`fsfm_mm.datasets.packed_format`.

    Args:
        encoding: 'jpeg' (about 25 kB a face of 224 pixels) or 'raw' (exact; 147 kB).
        quality: JPEG's quality, 1..100.
        chroma: JPEG's colour resolution, '4:4:4' or '4:2:0'.
        patch_size: Side of the patches of the label table in pixels: that of the backbone. Divides the faces'
            size.

    Raises:
        ValueError: An unknown encoding, or a quality or patch size out of range.
    """

    name = 'packed'

    def __init__(
        self, encoding: str = 'jpeg', quality: int = 95, patch_size: int = 16, chroma: str = '4:4:4'
    ) -> None:
        if encoding not in ENCODINGS:
            raise ValueError(f'encoding must be one of {", ".join(ENCODINGS)}, found {encoding!r}.')
        check_jpeg(quality, chroma)
        if patch_size < 1:
            raise ValueError(f'patch_size must be 1 or more, found {patch_size}.')
        self.encoding, self.quality, self.chroma, self.patch_size = encoding, quality, chroma, patch_size

    def write_chunk(self, out: Path, chunk: int, faces: Sequence[PreparedFace]) -> None:
        """Write the faces of one chunk and the rows of its table.

        Raises:
            ValueError: Faces of different sizes, of a size that is not a multiple of the patch's, or with a map
                here and without one there.
            OSError: The disk refuses.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        first = faces[0] if faces else None
        size = 0 if first is None else first.image.shape[0]
        grid = 0 if first is None or first.labels is None else size // self.patch_size
        row_type = [('length', '<i8'), ('size', '<i4'), ('labels', '<u2', (grid, grid))]
        rows = np.zeros(len(faces), row_type)
        with replacing(folder / self._faces_file(chunk)) as part, open(part, 'wb') as file:
            for row, face in zip(rows, faces):
                self._check(face, first or face)
                data = self._encode(face.image)
                file.write(data)
                row['length'], row['size'] = len(data), size
                face.record.file, face.record.sha256 = face.key, hashlib.sha256(data).hexdigest()
                if face.labels is not None:
                    row['labels'] = patch_labels(face.labels, self.patch_size)
                    face.record.map = f'{FOLDER}/{LABELS}'
        with replacing(folder / chunk_name(chunk, '.npy')) as part, open(part, 'wb') as file:
            np.save(file, rows)

    def finish(self, out: Path, num_chunks: int, records: Sequence[FaceRecord]) -> None:
        """Write index, label table, keys and, last of all, ``packed.json``.

        Raises:
            ValueError: The chunks do not fit together, or not to the records.
            OSError: The disk refuses, or a chunk is missing.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        chunks = [np.load(folder / chunk_name(c, '.npy'), allow_pickle=False) for c in range(num_chunks)]
        filled = [rows for rows in chunks if len(rows)]
        kinds = {(int(rows['size'][0]), rows['labels'].shape[1]) for rows in filled} or {(0, 0)}
        keys = [record.file for record in records if record.status == 'ok']
        count = sum(map(len, filled))
        if len(kinds) > 1 or len(keys) != count:
            raise ValueError(
                f'{folder}: the chunks hold {count} faces of (size, patches a side) {sorted(kinds)}, the manifest '
                f'{len(keys)} faces: these are chunks of different runs; write into an empty folder.'
            )
        ((size, grid),) = kinds
        _save(folder / INDEX, _index(chunks))
        if grid:
            _save(folder / LABELS, np.concatenate([r['labels'].reshape(len(r), -1) for r in filled]))
        lines = ''.join(str(key).replace('\n', '\\n') + '\n' for key in keys)
        write_atomically(folder / KEYS, lines.encode('utf-8', 'backslashreplace'), sync=True)
        sizes = [os.path.getsize(folder / self._faces_file(chunk)) for chunk in range(num_chunks)]
        header = PackedHeader(self.encoding, size, self.patch_size if grid else None, count, sizes)
        write_atomically(folder / HEADER, header.to_json(), sync=True)

    def _faces_file(self, chunk: int) -> str:
        return chunk_name(chunk, ENCODINGS[self.encoding])

    def _encode(self, image: np.ndarray) -> bytes:
        if self.encoding == 'jpeg':
            return encode_image(image, '.jpg', self.quality, self.chroma)
        return np.stack(cv2.split(image)[::-1]).tobytes()

    def _check(self, face: PreparedFace, first: PreparedFace) -> None:
        shape = face.image.shape
        if shape != (shape[0], shape[0], 3) or shape != first.image.shape:
            raise ValueError(
                f'{face.key}: a packed set holds square faces of one size, but this one is '
                f'{shape[1]}x{shape[0]} and {first.key} is {first.image.shape[1]}x{first.image.shape[0]}.'
            )
        if shape[0] % self.patch_size:
            raise ValueError(
                f'{face.key}: its {shape[0]} pixels cannot be cut into patches of {self.patch_size}: choose '
                'another size or patch_size.'
            )
        if (face.labels is None) != (first.labels is None):
            raise ValueError(f'{first.key} and {face.key}: only one of the two has a map.')


def _index(chunks: Sequence[np.ndarray]) -> np.ndarray:
    """Chunk, offset and length of every face, int64 (N, 3)."""
    parts = []
    for chunk, rows in enumerate(chunks):
        length = rows['length'].astype(np.int64)
        parts.append(np.stack([np.full_like(length, chunk), np.cumsum(length) - length, length], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.int64)


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as part, open(part, 'wb') as file:
        np.save(file, array)
