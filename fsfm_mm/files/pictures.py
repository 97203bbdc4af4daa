"""Reading face images and parsing maps, and saying precisely what is wrong with a broken file."""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from fsfm_mm.files.broken import broken, reading, reason
from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.files.opening import read_bytes
from fsfm_mm.files.picture_headers import (
    check_pixels,
    max_bytes,
    max_pixels,
    size_in_header,
    too_many_scans,
    unpacks_too_far,
    without_texts,
)
from fsfm_mm.regions import NUM_LABELS
from fsfm_mm.text import printable

# PIL's warnings do not say which file they are about; what is wrong is told by our own sentences
warnings.filterwarnings('ignore', module=r'PIL\.')

#: Pixels exactly as stored: parsing maps belong to the stored pixels, so an EXIF rotation is not applied.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
#: Image modes of PIL that hold one integer a pixel; in 'P' (palette) it is the palette's index.
_INDEX_MODES = ('P', 'L', 'I', 'I;16')


class BrokenSampleError(ValueError):
    """A picture, video or map, or the rest of it, cannot be used; one sentence that names it and says why.

    The only error that a dataset with ``on_broken='skip'`` passes over (with a count and a log line).
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))  # it goes into logs, pages and pictures


class WrongSizeError(BrokenSampleError):
    """A picture or map has another size than is expected.

    Attributes:
        size: Width and height that it has, pixels.
    """

    size: tuple[int, int] = (0, 0)


@contextlib.contextmanager
def only_errors(level: int = cv2.utils.logging.LOG_LEVEL_ERROR) -> Iterator[None]:
    """Keep OpenCV's warnings, or less, from the terminal: a sentence of ours says the same or nothing is wrong."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(level)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def refuse_special(path: str | os.PathLike) -> None:
    """Refuse a sample that is no file, see :func:`fsfm_mm.files.listing.stat_of_file`.

    Raises:
        BrokenSampleError: It is not there, or something else, such as a folder.
    """
    try:
        stat_of_file(path, BrokenSampleError)
    except OSError as error:
        raise _refused(path, f': cannot be read ({reason(error)}).') from error


def _refused(path: str | os.PathLike, told: str) -> ValueError:
    return broken(path, told, BrokenSampleError)


def read_sample(path: str | os.PathLike, most: int | None = None) -> bytes:
    """Read the file of a picture or map.

    Args:
        path: The file.
        most: Bytes that it may have; None for :func:`~fsfm_mm.files.picture_headers.max_bytes`.

    Raises:
        BrokenSampleError: It cannot be read, is no file, or larger.
    """
    try:
        return read_bytes(path, max_bytes() if most is None else most, BrokenSampleError)
    except OSError as error:
        raise _refused(path, f': cannot be read ({reason(error)}).') from error


def check_header(data: bytes, path: str | os.PathLike, shape: tuple[int, int] | None = None) -> bool:
    """Look at a picture's size before it is decoded.

    Args:
        data: The bytes.
        path: What to call them in a message.
        shape: Height and width that it must have; None for any that are allowed.

    Returns:
        Whether its header says a size, see :func:`~fsfm_mm.files.picture_headers.size_in_header`.

    Raises:
        BrokenSampleError: It has too many pixels, or others than it must have (:class:`WrongSizeError`).
    """
    size = size_in_header(data)
    if size is None:
        return False
    if too_many_scans(data):
        raise _refused(path, ': is a JPEG of too many scans to be a picture.')
    _check_size(size, path, shape)
    if unpacks_too_far(data):
        raise _refused(path, ': is a PNG that holds more than its pixels.')
    return True


def _check_size(size: tuple[int, int], path: str | os.PathLike, shape: tuple[int, int] | None) -> None:
    if shape is not None and size != shape[::-1]:
        error = WrongSizeError(f'{path}: has {size[0]}x{size[1]} pixels, not {shape[1]}x{shape[0]}.')
        error.size = size
        raise error
    try:
        check_pixels(*size)
    except ValueError as error:
        raise _refused(path, f': {error}.') from error


def is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG lacks its end: some OpenCV versions fill the missing part with grey and say nothing.

    FFDA (start of scan) and FFD9 (end of image) cannot occur inside entropy-coded data, and the last scan
    must have an end after it; looking at the last bytes only would refuse files with a harmless appendix.
    """
    return data.startswith(b'\xff\xd8') and data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda')


def read_image(path: str) -> np.ndarray:
    """Read an image file as OpenMMLab does, but with the pixels as they are stored.

    Grey images get three equal channels, 16-bit ones are reduced to their high byte, an alpha channel is
    dropped. An EXIF orientation is *not* applied: a parsing map describes the stored pixels.

    Args:
        path: Path of the file; any characters that the file system allows.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        BrokenSampleError: The file cannot be read, is cut off, has too many pixels, or is not a JPEG, PNG, WebP, BMP
            or GIF.
    """
    return decode_image(read_sample(path), path)


def decode_image(data: bytes, path: str, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image file's bytes, see :func:`read_image`.

    Args:
        data: The bytes.
        path: What to call them in a message.
        shape: Height and width that it must have, as its header says, before it is decoded.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        BrokenSampleError: They are cut off or no image, or have too many pixels or others than ``shape``
            (:class:`WrongSizeError`).
    """
    try:
        whole = check_header(data, path, shape) and not is_cut_jpeg(data)
        image = cv2.imdecode(np.frombuffer(without_texts(data), np.uint8), _AS_STORED) if whole else None
    except cv2.error as error:  # OpenCV has limits of its own
        told = f': cannot be decoded as an image ({len(data)} bytes; OpenCV: {error.err}).'
        raise _refused(path, told) from error
    if image is None:
        raise _refused(
            path, f': cannot be decoded as an image ({len(data)} bytes; truncated or not an image file).'
        )
    return np.asarray(image)


def decode_npy(data: bytes, path: str) -> np.ndarray:
    """Decode the bytes of a ``.npy`` file; raises BrokenSampleError where they are none, or hold objects."""
    stream = io.BytesIO(data)
    with reading(path, ': is not a readable .npy array', error=BrokenSampleError):
        # Not np.load: it would also open pickles and archives. The header alone first: it may promise an array
        # that no memory holds, and numpy makes room before it reads.
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        if math.prod(shape) * dtype.itemsize > len(data):
            raise ValueError(f'it holds {len(data)} bytes, too few for {dtype} {shape}')
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def map_npy(path: str | os.PathLike, what: str = '') -> np.memmap:
    """Map the array of a ``.npy`` file into memory, to be read only.

    Args:
        path: The file. It cannot hold objects, so no pickle is ever read, nor an archive of arrays.
        what: Stands before the verb of the message.

    Raises:
        ValueError: It is not there, or no such file.
    """
    with reading(path, f': {what}cannot be opened as a .npy file'):
        stat_of_file(path)
        return np.lib.format.open_memmap(os.fspath(path), mode='r')


def open_picture(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """PIL's picture of some bytes, not decoded yet; raises ValueError where it has too many pixels."""
    if Image.MAX_IMAGE_PIXELS is not None:  # a larger limit of ours was asked for
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels())
    picture = Image.open(io.BytesIO(data), formats=formats)
    check_pixels(*picture.size)
    return picture


def _decode_png(path: str, data: bytes, shape: tuple[int, int] | None) -> np.ndarray:
    whole = check_header(data, path, shape)
    with reading(path, ': cannot be decoded as a PNG parsing map', error=BrokenSampleError):
        if not whole:
            raise ValueError('cut off, or no PNG')
        # PIL, since OpenCV replaces the indices of a palette image by the palette's colours.
        with open_picture(data, ('PNG',)) as picture:
            mode = picture.mode
            if mode in _INDEX_MODES:
                return np.array(picture)
    raise _refused(
        path, f': a parsing map must hold one label a pixel (palette or grey PNG), but its mode is {mode}.'
    )


def read_parsing_map(
    path: str, shape: tuple[int, int] | None = None, num_labels: int = NUM_LABELS
) -> np.ndarray:
    """Read a parsing map.

    ``.npy`` files hold integers of shape (H, W) or (1, H, W); PNG files are palette or grey images, and a
    palette image's *indices* are the labels, whatever its colours.

    Args:
        path: Path of a ``.npy`` or ``.png`` file.
        shape: Height and width of its picture: a map of another size is refused before it is decoded.
        num_labels: How many labels there are: of other label sets 256 at most.

    Returns:
        uint8 (H, W), labels from 0.

    Raises:
        BrokenSampleError: The file cannot be read, is not a map of such labels, or has too many pixels or others
            than ``shape`` (:class:`WrongSizeError`).
    """
    most = None
    if shape is not None and path.lower().endswith('.npy'):  # 64-bit integers and the header
        most = 8 * math.prod(shape) + (1 << 16)
    return decode_parsing_map(read_sample(path, most), path, shape, num_labels)


def decode_parsing_map(
    data: bytes, path: str, shape: tuple[int, int] | None = None, num_labels: int = NUM_LABELS
) -> np.ndarray:
    """Decode a parsing map's bytes, see :func:`read_parsing_map`.

    Args:
        data: The bytes of a ``.npy`` or PNG file.
        path: What to call them in a message; its ending says which of the two they are.
        shape: As of :func:`read_parsing_map`.
        num_labels: As of :func:`read_parsing_map`.

    Returns:
        uint8 (H, W), labels from 0.

    Raises:
        BrokenSampleError: They are not a map of such labels; see :func:`read_parsing_map`.
    """
    is_npy = os.path.splitext(path)[1].lower() == '.npy'
    labels = decode_npy(data, path) if is_npy else _decode_png(path, data, shape)
    return _checked_labels(path, labels, shape, num_labels)


def _checked_labels(
    path: str, labels: np.ndarray, size: tuple[int, int] | None, num_labels: int
) -> np.ndarray:
    if labels.dtype.kind not in 'iu':
        raise _refused(path, f': a parsing map must hold integers, but holds {labels.dtype}.')
    shape = labels.shape
    if labels.ndim == 3 and shape[0] == 1:
        labels = labels[0]
    if labels.ndim != 2 or labels.size == 0:
        raise _refused(path, f': a parsing map must have the shape (H, W) or (1, H, W), but has {shape}.')
    _check_size(labels.shape[::-1], path, size)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_labels:
        raise _refused(
            path, f': parsing labels must lie in 0..{num_labels - 1}, but range from {low} to {high}.'
        )
    return np.ascontiguousarray(labels, dtype=np.uint8)
