"""Faces to be written, for the tests of the writers."""

import numpy as np

from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.base import PreparedFace


def face(number, size=32, key=None, with_map=True):
    rng = np.random.default_rng(number)
    labels = np.kron(rng.integers(0, 11, (size // 4, size // 4), np.uint8), np.ones((4, 4), np.uint8))
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    return PreparedFace(
        key or f'f{number}', image, labels if with_map else None, FaceRecord(source=f'{number}.jpg')
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(writer, out, chunks=((0, 1, 2), (), (3,))):
    records = []
    for number, chunk in enumerate(chunks):
        faces = [face(i) for i in chunk]
        writer.write_chunk(out, number, faces)
        records += [one.record for one in faces] + [FaceRecord(source='x', status='no_face')]
    writer.finish(out, len(chunks), records)
    return records
