"""Prepared faces as WebDataset tar shards: few large files, for object stores."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsfm_mm.datasets.packed_format import chunk_name
from fsfm_mm.datasets.shard_format import (
    ENCODINGS,
    FOLDER,
    FORMAT,
    HEADER,
    INDEX,
    MAP_ENDING,
    VERSION,
    shard_key,
)
from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace
from fsfm_mm.preparation.writers.folders import check_jpeg, encode_image, encode_map


class ShardsWriter(FaceWriter):
    """Writes ``OUT/shards/``, one tar a chunk, see :mod:`fsfm_mm.datasets.shard_format`.

    Args:
        image_format: 'jpeg' (4:4:4; about 25 kB a face of 224 pixels) or 'png' (exact; about 80 kB).
        quality: JPEG's quality, 1..100.
        chroma: JPEG's colour resolution, '4:4:4' or '4:2:0'.

    Raises:
        ValueError: An unknown format, or a quality out of range.
    """

    name = 'shards'

    def __init__(self, image_format: str = 'jpeg', quality: int = 95, chroma: str = '4:4:4') -> None:
        if image_format not in ENCODINGS:
            raise ValueError(f'image_format must be one of {", ".join(ENCODINGS)}, found {image_format!r}.')
        check_jpeg(quality, chroma)
        self.image_format, self.quality, self.chroma = image_format, quality, chroma

    def write_chunk(self, out: Path, chunk: int, faces: Sequence[PreparedFace]) -> None:
        """Write one shard and its part of the index.

        Raises:
            OSError: The disk refuses.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.zeros((len(faces), 4), np.int64)
        with (
            replacing(folder / chunk_name(chunk, '.tar')) as part,
            tarfile.open(part, 'w', format=tarfile.PAX_FORMAT) as tar,
        ):
            for row, face in zip(rows, faces):
                self._add(tar, row, face)
        with replacing(folder / chunk_name(chunk, '.npy')) as part, open(part, 'wb') as file:
            np.save(file, rows)

    def finish(self, out: Path, num_chunks: int, records: Sequence[FaceRecord]) -> None:
        """Write the index and, last of all, ``shards.json``.

        Raises:
            ValueError: The shards hold another number of faces than the records.
            OSError: The disk refuses, or a shard is missing.
        """
        folder = Path(out) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        parts, shards = [np.zeros((0, 5), np.int64)], []
        for chunk in range(num_chunks):
            rows = np.load(folder / chunk_name(chunk, '.npy'), allow_pickle=False)
            parts.append(np.insert(rows, 0, chunk, axis=1))
            name = chunk_name(chunk, '.tar')
            shards.append(dict(name=name, faces=len(rows), bytes=os.path.getsize(folder / name)))
        index = np.concatenate(parts)
        written = sum(record.status == 'ok' for record in records)
        if written != len(index):
            raise ValueError(
                f'{folder}: the shards hold {len(index)} faces, the manifest {written}: these are shards of '
                'different runs; write into an empty folder.'
            )
        with replacing(folder / INDEX) as part, open(part, 'wb') as file:
            np.save(file, index)
        header = dict(format=FORMAT, version=VERSION, encoding=self.image_format, shards=shards)
        write_atomically(folder / HEADER, json.dumps(header, indent=1) + '\n', sync=True)

    def _add(self, tar: tarfile.TarFile, row: np.ndarray, face: PreparedFace) -> None:
        """Add a face's files; notes in ``row`` where image and map begin and how long they are."""
        key, record = shard_key(face.key), face.record
        image = encode_image(face.image, ENCODINGS[self.image_format], self.quality, self.chroma)
        record.file, record.sha256 = face.key, hashlib.sha256(image).hexdigest()
        record.map = None if face.labels is None else key + MAP_ENDING
        row[:2] = _add_file(tar, key + ENCODINGS[self.image_format], image)
        if face.labels is not None:
            row[2:] = _add_file(tar, key + MAP_ENDING, encode_map(face.labels, 'png'))
        _add_file(tar, f'{key}.json', record.to_json().encode('utf-8', 'backslashreplace'))


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int]:
    """Add a file; returns where its content begins in the tar, and its length."""
    info = tarfile.TarInfo(name)  # its defaults: no time, owner 0, mode 644
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
    blocks = -(-len(data) // tarfile.BLOCKSIZE)
    return tar.offset - blocks * tarfile.BLOCKSIZE, len(data)
