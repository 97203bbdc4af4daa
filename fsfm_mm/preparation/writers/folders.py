"""Prepared faces as plain files: ``images/`` and ``parsing_maps/``, the published layout."""

from __future__ import annotations

import errno
import hashlib
import io
import posixpath
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.files import write_atomically
from fsfm_mm.preparation.writers.base import FaceWriter, PreparedFace

IMAGE_FORMATS = ('png', 'jpeg')
MAP_FORMATS = ('npy', 'png')
#: Colour resolution of JPEGs, and what OpenCV calls it.
CHROMA = {'4:4:4': cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, '4:2:0': cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420}
#: Flat areas compress best unfiltered: half the bytes of OpenCV's default and read three times as fast (measured).
_MAP_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 6),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
]
#: Errors of a name that this file system does not take: they cost the face, not the run.
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class FoldersWriter(FaceWriter):
    """Writes ``OUT/images/<key>.png`` and ``OUT/parsing_maps/<key>.npy``.

    Args:
        image_format: 'png' (exact) or 'jpeg' (a quarter of the size).
        quality: JPEG's quality, 1..100.
        chroma: JPEG's colour resolution: '4:4:4' (full) or '4:2:0' (half in each direction: smaller, and
            decoded half as fast again).
        map_format: 'npy', int8 (1, S, S) as published, or 'png', whose grey values are the labels (a
            twentieth of the size).
        image_folder: Folder of the images below the output; '' for the output itself.

    Raises:
        ValueError: An unknown format or quality.
    """

    def __init__(
        self,
        image_format: str = 'png',
        quality: int = 95,
        chroma: str = '4:4:4',
        map_format: str = 'npy',
        image_folder: str = 'images',
    ) -> None:
        if image_format not in IMAGE_FORMATS:
            raise ValueError(
                f'image_format must be one of {", ".join(IMAGE_FORMATS)}, found {image_format!r}.'
            )
        if map_format not in MAP_FORMATS:
            raise ValueError(f'map_format must be one of {", ".join(MAP_FORMATS)}, found {map_format!r}.')
        check_jpeg(quality, chroma)
        self.ending = '.png' if image_format == 'png' else '.jpg'
        self.quality, self.chroma, self.map_format = quality, chroma, map_format
        self.image_folder = image_folder

    def write_chunk(self, out: Path, chunk: int, faces: Iterable[PreparedFace]) -> None:
        """Write one image, and one map where there are labels, for each face.

        A face whose name the file system does not take (too long, most often) gets the status 'unwritable'.

        Raises:
            OSError: The disk refuses.
        """
        for face in faces:
            self._write_or_note(Path(out), face)

    def _write_or_note(self, out: Path, face: PreparedFace) -> None:
        try:
            self._write(out, face)
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            face.record.status = 'unwritable'
            face.record.message = f'the name {face.key + self.ending!r}: {error.strerror}'
            face.record.file = face.record.map = face.record.sha256 = None

    def _write(self, out: Path, face: PreparedFace) -> None:
        image = encode_image(face.image, self.ending, self.quality, self.chroma)
        face.record.file = posixpath.join(self.image_folder, face.key + self.ending)
        face.record.sha256 = hashlib.sha256(image).hexdigest()
        if face.labels is not None:  # first: nobody then finds an image without its map
            face.record.map = f'parsing_maps/{face.key}.{self.map_format}'
            write_atomically(out / face.record.map, encode_map(face.labels, self.map_format))
        write_atomically(out / face.record.file, image)


def check_jpeg(quality: int, chroma: str) -> None:
    """Refuse a quality or colour resolution that JPEG does not have.

    Raises:
        ValueError: It has not.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f'quality must lie within 1 and 100, found {quality}.')
    if chroma not in CHROMA:
        raise ValueError(f'chroma must be one of {", ".join(CHROMA)}, found {chroma!r}.')


def encode_image(image: np.ndarray, ending: str, quality: int = 95, chroma: str = '4:4:4') -> bytes:
    """Encode an image, the same bytes for the same pixels.

    Args:
        image: uint8 (H, W, 3) BGR.
        ending: '.png' or '.jpg'.
        quality: JPEG's quality, 1..100.
        chroma: JPEG's colour resolution, '4:4:4' or '4:2:0'.
    """
    options = []
    if ending == '.jpg':
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, CHROMA[chroma]]
    return cv2.imencode(ending, image, options)[1].tobytes()


def encode_map(labels: np.ndarray, map_format: str) -> bytes:
    """Encode a parsing map.

    Args:
        labels: uint8 (H, W), labels 0..10.
        map_format: 'npy' (int8 (1, H, W)) or 'png' (grey values are the labels).
    """
    if map_format == 'png':
        return cv2.imencode('.png', labels, _MAP_OPTIONS)[1].tobytes()
    file = io.BytesIO()
    np.save(file, labels.astype(np.int8)[None])
    return file.getvalue()
