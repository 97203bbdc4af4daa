"""One small data set in every format, for the tests of archives."""

from pathlib import Path

import numpy as np
from face_files import COLOURS, label_map

from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, LoadFace, PackFaces, ResizeFace
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.preparation.writers.folders import FoldersWriter

#: Faces of each chunk; an empty one in between.
CHUNKS = (5, 0, 7, 1, 3)
COUNT = sum(CHUNKS)
SIZE, PATCH = 32, 8

WRITERS = {
    'folders': FoldersWriter,
    'raw': lambda: ArchiveWriter('raw', patch_size=PATCH),
    'jpeg': lambda: ArchiveWriter('jpeg', patch_size=PATCH),
    'png': lambda: ArchiveWriter('png', patch_size=PATCH),
    'png maps': lambda: ArchiveWriter('png', patch_size=None),
    'jpeg maps': lambda: ArchiveWriter('jpeg', patch_size=None),
}


def picture(number: int, size: int = SIZE) -> np.ndarray:
    """A picture whose every pixel differs from its neighbours, uint8 (size, size, 3)."""
    noise = np.random.default_rng(number).integers(0, 20, (size, size, 3), dtype=np.uint8)
    return np.clip(COLOURS[label_map(number, size)].astype(int) + noise, 0, 255).astype(np.uint8)


def face(number: int, key: str | None = None, with_map: bool = True, size: int = SIZE) -> PreparedFace:
    """Face ``number`` of the data set."""
    key = key or f'f{number:03d}'
    labels = label_map(number, size) if with_map else None
    return PreparedFace(key, picture(number, size), labels, FaceRecord(source=f'{key}.jpg'))


def write(writer, out: Path, chunks=CHUNKS, with_map: bool = True) -> list[FaceRecord]:
    """Write the data set below ``out``; returns its records."""
    records, number = [], 0
    for chunk, size in enumerate(chunks):
        faces = [face(number + i, with_map=with_map) for i in range(size)]
        writer.write_chunk(out, chunk, faces)
        records += [one.record for one in faces]
        number += size
    writer.finish(out, len(chunks), records)
    return records


def written(kind: str, out: Path, **options) -> str:
    """Write the data set in a format of :data:`WRITERS`; returns its root."""
    write(WRITERS[kind](), out, **options)
    return str(out)


def pipeline(mask=CRFRPMask, size=SIZE, before=()):
    return [LoadFace(), ResizeFace(size), *before, BuildPatchLabels(PATCH), mask(0.75), PackFaces()]
