"""Frames of a video that is stored as an HDF5 file, as WMCA's faces are: one group a frame, with one array in it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from fsfm_mm.files.broken import reading
from fsfm_mm.files.picture_headers import check_pixels
from fsfm_mm.files.pictures import BrokenSampleError, refuse_special
from fsfm_mm.preparation.sources.items import FrameChoice
from fsfm_mm.text import few, printable

#: Extensions of such files, lower case.
HDF5_EXTENSIONS = ('.hdf5', '.h5')
#: Name of a frame's group, or of its array where that lies at the top.
#: Groups within groups that are gone through to an array.
_DEEPEST = 8
_FRAME = re.compile(r'frame_?(\d+)', re.IGNORECASE)


def is_hdf5(path: str | os.PathLike) -> bool:
    """Whether a file is called as an HDF5 file."""
    return os.fspath(path).lower().endswith(HDF5_EXTENSIONS)


def check_h5py() -> None:
    """Raise ValueError where HDF5 files cannot be read."""
    if importlib.util.find_spec('h5py') is None:
        raise ValueError('HDF5 files are read with h5py, which is not installed: `pip install h5py`.')


def read_hdf5_frames(path: str | os.PathLike, choice: FrameChoice) -> Iterator[tuple[int, np.ndarray]]:
    """Read the chosen frames of ``Frame_<number>/array``: uint8 of (3, H, W) or (H, W, 3), RGB, or grey (H, W).

    Args:
        path: The file.
        choice: Which frames, counted in the order of their numbers.

    Yields:
        Place of the frame, from 0, ascending, and the frame, uint8 (H, W, 3) BGR.

    Raises:
        ValueError: h5py is not installed.
        BrokenSampleError: The file is no HDF5 file, has no frames, or one of them is no such array.
    """
    check_h5py()
    import h5py  # an extra: only who has such files needs it

    refuse_special(path)
    try:
        with h5py.File(path, 'r') as file:
            numbers = {int(match[1]): name for name in file if (match := _FRAME.fullmatch(name))}
            if not numbers:
                raise BrokenSampleError(
                    f'{printable(path)}: expected groups Frame_0, Frame_1, ... with an array each, found '
                    f'{", ".join(list(file)[:3]) or "nothing"}.'
                )
            names = [numbers[number] for number in sorted(numbers)]
            for index in choice.indices(len(names)).tolist():
                with reading(path, f': {names[index]} cannot be read', error=BrokenSampleError):
                    picture = _picture(file, names[index])
                yield index, picture
    except OSError as error:
        raise BrokenSampleError(f'{printable(path)}: cannot be read as HDF5 ({error}).') from error


def _picture(group: Any, name: str) -> np.ndarray:
    """A frame's array as BGR; raises ValueError where it is none, or larger than a picture may be."""
    import h5py

    for _ in range(_DEEPEST):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError('it is a link, perhaps to another file')
        node = group[name]
        if not hasattr(node, 'keys'):
            break
        group, inside = node, list(node)
        if 'array' not in inside and len(inside) != 1:
            raise ValueError(f'expected one array in it, found {few(inside) or "nothing"}')
        name = 'array' if 'array' in inside else inside[0]
    shape: Any = getattr(node, 'shape', ())
    if (
        node.dtype != np.uint8
        or len(shape) not in (2, 3)
        or (len(shape) == 3 and 3 not in (shape[0], shape[2]))
    ):
        raise ValueError(
            f'expected uint8 of (3, H, W), (H, W, 3) or (H, W), found {node.dtype} of {shape}: take the colour pictures'
        )
    # before it is unpacked: little may stand for much
    height, width = shape if len(shape) == 2 else shape[1:] if shape[0] == 3 else shape[:2]
    check_pixels(width, height)
    array = np.asarray(node)
    if array.ndim == 2:
        return np.stack([array] * 3, axis=2)
    if array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    return np.ascontiguousarray(array[:, :, ::-1])
