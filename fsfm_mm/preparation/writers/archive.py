"""Prepared faces in archives: few large tar files with an index and a table of label sets."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fsfm_mm.datasets.pretraining.archive_format import (
    ENCODINGS,
    FOLDER,
    HEADER,
    INDEX,
    KEYS,
    LABELS,
    MAP_ENDING,
    ROW,
    ArchiveHeader,
    chunk_name,
    line_of,
    member_name,
)
from fsfm_mm.datasets.pretraining.archive_store import crc32_of
from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.preparation.writers.folders import check_jpeg, encode_image, encode_map


class ArchiveWriter(FaceWriter):
    """Writes ``OUT/archive/``, one tar a chunk, see :mod:`fsfm_mm.datasets.pretraining.archive_format`.

    Args:
        image_format: 'jpeg' (about 25 kB a face of 224 pixels), 'png' (exact; about 80 kB) or 'raw' (exact; 150 kB).
        quality: JPEG's quality, 1..100.
        chroma: JPEG's colour resolution, '4:4:4' or '4:2:0'.
        patch_size: Side of the patches of the label table in pixels: that of the backbone; None for no table.
            Faces of several sizes, or of one that patches do not divide, get none either: their maps are read.

    Raises:
        ValueError: An unknown format, or a quality or patch size out of range.
    """

    def __init__(
        self,
        image_format: str = 'jpeg',
        quality: int = 95,
        chroma: str = '4:4:4',
        patch_size: int | None = 16,
    ) -> None:
        if image_format not in ENCODINGS:
            raise ValueError(f'image_format must be one of {", ".join(ENCODINGS)}, found {image_format!r}.')
        check_jpeg(quality, chroma)
        if patch_size is not None and patch_size < 1:
            raise ValueError(f'patch_size must be 1 or more, found {patch_size}.')
        self.image_format, self.patch_size = image_format, patch_size
        self.quality, self.chroma = quality, chroma

    def write_chunk(self, out: Path, chunk: int, faces: Iterable[PreparedFace]) -> None:
        """Write one shard, and its rows of the index and of the label table.

        Raises:
            ValueError: Faces with a map here and without one there.
            OSError: The disk refuses.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[Any] = []
        tables: list[np.ndarray] = []
        with (
            replacing(folder / chunk_name(chunk)) as part,
            tarfile.open(part, 'w', format=tarfile.PAX_FORMAT, encoding='utf-8') as tar,
        ):
            for face in faces:
                rows.append(self._add(tar, face))
                tables.append(self._table(face))
                if (rows[-1]['map_bytes'] > 0) != (rows[0]['map_bytes'] > 0):
                    raise ValueError(
                        f'{face.key} and the first face of its chunk: only one of the two has a map.'
                    )
        grids = {table.shape for table in tables}
        grid = grids.pop() if len(grids) == 1 else (0, 0)
        content = np.zeros(len(rows), [*ROW.descr, ('labels', '<u2', grid)])
        content[list(ROW.names or ())] = np.array(rows, ROW)
        if grid != (0, 0):
            content['labels'] = tables
        _save(folder / chunk_name(chunk, '.npy'), content)

    def finish(self, out: Path, num_chunks: int, records: Iterable[FaceRecord]) -> None:
        """Write index, label table, keys and, last of all, ``archive.json``.

        Raises:
            ValueError: The chunks do not fit together, or not to the records.
            OSError: The disk refuses, or a chunk is missing.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        chunks = [np.load(folder / chunk_name(c, '.npy'), allow_pickle=False) for c in range(num_chunks)]
        filled = [rows for rows in chunks if len(rows)]
        index = np.zeros(sum(map(len, chunks)), ROW)
        if filled:
            index[:] = np.concatenate([rows[list(ROW.names or ())] for rows in filled])
        index['shard'] = np.repeat(np.arange(num_chunks), [len(rows) for rows in chunks])
        keys = [line_of(str(record.file)) for record in records if record.status == 'ok']
        sizes = np.unique(np.stack([index['height'], index['width']], axis=1), axis=0)
        grids = {rows['labels'].shape[1:] for rows in filled} or {(0, 0)}
        maps = np.unique(index['map_bytes'] > 0)
        if len(keys) != len(index) or len(maps) > 1 or (len(grids) > 1 and len(sizes) == 1):
            raise ValueError(
                f'{folder}: the chunks hold {len(index)} faces (patches {sorted(grids)}, {len(maps)} kinds of maps), '
                f'the manifest {len(keys)} faces: these are chunks of different runs; write into an empty folder.'
            )
        _save(folder / INDEX, index)
        write_atomically(folder / KEYS, ''.join(f'{key}\n' for key in keys).encode(), sync=True)
        table = len(grids) == 1 and grids != {(0, 0)}
        if table:
            _save(folder / LABELS, np.concatenate([r['labels'].reshape(len(r), -1) for r in filled]))
        names = [INDEX, KEYS, *([LABELS] if table else [])]
        header = ArchiveHeader(
            encoding=self.image_format,
            faces=len(index),
            size=sizes[0].tolist() if len(sizes) == 1 else None,
            maps=bool(maps.any()),
            patch_size=self.patch_size if table else None,
            shards=[[len(rows), os.path.getsize(folder / chunk_name(c))] for c, rows in enumerate(chunks)],
            crc32={name: crc32_of(folder / name) for name in names},
        )
        write_atomically(folder / HEADER, header.to_json(), sync=True)

    def _add(self, tar: tarfile.TarFile, face: PreparedFace) -> Any:
        """Add a face's files and complete its record; returns its row of the index: what lies where."""
        row = np.zeros(1, ROW)[0]
        line, record = line_of(face.key), face.record
        image, ending = self._encode(face.image), ENCODINGS[self.image_format]
        record.file, record.sha256 = face.key, hashlib.sha256(image).hexdigest()
        record.map = None if face.labels is None else member_name(line, MAP_ENDING)
        row['height'], row['width'] = face.image.shape[:2]
        place = _add_file(tar, member_name(line, ending), image)
        row['image'], row['image_bytes'], row['image_crc32'] = place
        if face.labels is not None:
            labels = encode_map(face.labels, 'png')
            place = _add_file(tar, member_name(line, MAP_ENDING), labels)
            row['map'], row['map_bytes'], row['map_crc32'] = place
        about = record.to_json().encode('utf-8', 'backslashreplace')
        _add_file(tar, member_name(line, '.json'), about)
        return row

    def _encode(self, image: np.ndarray) -> bytes:
        if self.image_format == 'raw':
            return np.stack(cv2.split(image)[::-1]).tobytes()
        return encode_image(image, ENCODINGS[self.image_format], self.quality, self.chroma)

    def _table(self, face: PreparedFace) -> np.ndarray:
        """Label sets of a face, uint16 (h, w); (0, 0) where it has none or cannot be cut into patches."""
        patch = self.patch_size
        if face.labels is None or patch is None or any(side % patch for side in face.labels.shape):
            return np.zeros((0, 0), np.uint16)
        return patch_labels(face.labels, patch)


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int, int]:
    """Add a file; returns where its content begins in the tar, its length and its checksum."""
    info = tarfile.TarInfo(name)  # its defaults: no time, owner 0, mode 644
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
    blocks = -(-len(data) // tarfile.BLOCKSIZE)
    return tar.offset - blocks * tarfile.BLOCKSIZE, len(data), zlib.crc32(data)


def _save(path: Path, array: np.ndarray) -> None:
    with replacing(path) as part, open(part, 'wb') as file:
        np.save(file, array)
