"""The packed format: the pixels of many faces in few files, and one table of their label sets.

::

    packed/packed.json         what it is: size, patch size, encoding, bytes of each chunk
    packed/faces-000012.raw    uint8 (n, 3, S, S), RGB planes; or .jpg.bin: n JPEG files one after the other
    packed/faces-000012.npy    one row a face of that chunk: bytes and label sets (for the writer)
    packed/index.npy           int64 (N, 3): chunk, offset and length in bytes of every face
    packed/labels.npy          uint16 (N, L): label sets of its L patches; not there where no maps were made
    packed/keys.txt            N names, one a line

Planes in the order of the model's input: reading a batch is one copy a face (measured: a quarter faster than
channels last, which has to be split). Names of files are never taken from a file: they follow from the chunk.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

FOLDER, HEADER, INDEX, LABELS, KEYS = 'packed', 'packed.json', 'index.npy', 'labels.npy', 'keys.txt'
FORMAT, VERSION = 'fsfm_mm packed faces', 1
#: Encoding -> ending of the file that holds the faces of a chunk.
ENCODINGS = {'raw': '.raw', 'jpeg': '.jpg.bin'}


def chunk_name(chunk: int, ending: str) -> str:
    """File name of a chunk: ``faces-000012`` with an ending."""
    return f'faces-{chunk:06d}{ending}'


@dataclass(frozen=True)
class PackedHeader:
    """Content of ``packed.json``.

    Attributes:
        encoding: One of :data:`ENCODINGS`.
        size: Side S of the faces in pixels; 0 where there is none.
        patch_size: Side of a patch of the label table in pixels, a divisor of S; None without a table.
        faces: Number N of faces.
        chunk_bytes: Bytes of each chunk's file, from chunk 0.
        format: :data:`FORMAT`.
        version: :data:`VERSION`.
    """

    encoding: str
    size: int
    patch_size: int | None
    faces: int
    chunk_bytes: list[int]
    format: str = FORMAT
    version: int = VERSION

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return 0 if self.patch_size is None else self.size // self.patch_size

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self), indent=1) + '\n'


def read_header(path: Path) -> PackedHeader:
    """Read and check ``packed.json``.

    Raises:
        ValueError: It is missing, of another format or version, or makes no sense.
    """
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise ValueError(
            f'{path}: no such file; a folder of packed faces has it once its run is complete.'
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: cannot be read as JSON ({error}).') from error
    check_format(values, str(path), FORMAT, VERSION)
    kinds: dict[str, tuple] = {f.name: (int,) for f in fields(PackedHeader)}
    kinds |= {'encoding': (str,), 'patch_size': (int, type(None)), 'chunk_bytes': (list,), 'format': (str,)}
    wrong = [key for key, kind in kinds.items() if not isinstance(values.get(key), kind)]
    if wrong or set(values) != set(kinds):
        raise ValueError(f'{path}: expected the keys {", ".join(kinds)}, found {", ".join(values)}.')
    header = PackedHeader(**values)
    if header.encoding not in ENCODINGS:
        raise ValueError(
            f'{path}: encoding must be one of {", ".join(ENCODINGS)}, but is {header.encoding!r}.'
        )
    patch = header.patch_size
    if header.size < 0 or header.faces < 0 or (patch is not None and (patch < 1 or header.size % patch)):
        raise ValueError(
            f'{path}: size {header.size}, patch_size {patch} and faces {header.faces} do not fit together.'
        )
    if not all(isinstance(size, int) and size >= 0 for size in header.chunk_bytes):
        raise ValueError(f'{path}: chunk_bytes must be a list of numbers of bytes.')
    return header


def check_format(values: object, path: str, expected: str, version: int) -> None:
    """Raise a ValueError unless ``values`` is an object with this format and version."""
    found = (values.get('format'), values.get('version')) if isinstance(values, dict) else ('something else',)
    if found != (expected, version):
        raise ValueError(
            f'{path}: expected {expected!r} version {version}, found {" version ".join(map(str, found))}.'
        )


def open_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Map a ``.npy`` file into memory, read-only.

    Raises:
        ValueError: It is no such file, cut off, or of another type or shape.
    """
    try:
        array = np.lib.format.open_memmap(path, mode='r')  # cannot hold objects, so no pickle is ever read
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ValueError(f'{path}: cannot be opened as a .npy file ({error}).') from error
    return check_array(array.view(np.ndarray), str(path), dtype, shape)  # rows of a memmap are slower to take


def check_array(array: np.ndarray, where: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that has this type and shape; else raise a ValueError that names its file."""
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f'{where}: expected {np.dtype(dtype)} {shape}, found {array.dtype} {array.shape}.')
    return array


class PackedSet:
    """An opened packed set: what lies where. Pixels are read by :class:`~fsfm_mm.datasets.PackedFaces`.

    Args:
        folder: The folder with ``packed.json``.

    Attributes:
        header: What it is.
        index: int64 (N, 3), chunk, offset and length, mapped into memory.
        files: Path of each chunk's file.
        labels: uint16 (N, h, w), mapped into memory; None without a table.

    Raises:
        ValueError: A file is missing, cut off, of another version, or two do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.header = read_header(self.folder / HEADER)
        count, grid = self.header.faces, self.header.grid
        self.index = open_array(self.folder / INDEX, np.int64, (count, 3))
        self._check_index()
        ending = ENCODINGS[self.header.encoding]
        self.files = [str(self.folder / chunk_name(c, ending)) for c in range(len(self.header.chunk_bytes))]
        self._check_files()
        self.labels: np.ndarray | None = None
        if self.header.patch_size is not None:
            table = open_array(self.folder / LABELS, np.uint16, (count, grid * grid))
            self.labels = table.reshape(count, grid, grid)

    def __len__(self) -> int:
        return self.header.faces

    @property
    def has_maps(self) -> bool:
        """Whether there is a label table."""
        return self.labels is not None

    def path(self, row: int) -> str:
        """What to call face ``row``: its file and its key."""
        keys = self._keys
        return f'{self.files[self.index[row, 0]]}#{keys[row] if row < len(keys) else row}'

    @functools.cached_property
    def _keys(self) -> list[str]:
        text = (self.folder / KEYS).read_text(encoding='utf-8')
        return text.split('\n')[:-1]

    def _check_index(self) -> None:
        header, sizes = self.header, np.array(self.header.chunk_bytes, np.int64)
        chunk, offset, length = self.index.T
        valid = (chunk >= 0) & (chunk < len(sizes)) & (offset >= 0) & (length > 0)
        if len(self.index):
            valid[valid] &= (offset + length)[valid] <= sizes[chunk[valid]]
        if header.encoding == 'raw':
            valid &= length == 3 * header.size**2
        if not valid.all():
            row = int(np.argmin(valid))
            raise ValueError(
                f'{self.folder / INDEX}: row {row} is {self.index[row].tolist()} (chunk, offset, length), which '
                f'does not fit {HEADER}.'
            )

    def _check_files(self) -> None:
        for path, size in zip(self.files, self.header.chunk_bytes):
            try:
                found = os.stat(path).st_size
            except OSError as error:
                raise ValueError(f'{path}: cannot be opened ({error.strerror}).') from error
            if found != size:
                raise ValueError(f'{path}: expected {size} bytes, found {found}: copy or pack it again.')

    def __reduce__(self) -> tuple[Callable, tuple]:
        # copies and spawned workers open the files again: pickling a memory map would read all of it
        return PackedSet, (self.folder,)
