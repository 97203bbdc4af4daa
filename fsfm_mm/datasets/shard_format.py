"""The shard format: WebDataset's tar files of faces, with an index that makes every face readable by itself.

::

    shards/shards.json          what it is: encoding, and name, faces and bytes of each shard
    shards/faces-000012.tar     KEY.png or KEY.jpg, KEY.map.png (grey values are the labels), KEY.json (its record)
    shards/faces-000012.npy     int64 (n, 4): see index.npy (for the writer)
    shards/index.npy            int64 (N, 5): shard; offset and bytes of the image; offset and bytes of the map

Any WebDataset reader takes the tars alone. WebDataset ends a key at the first dot of a name, so dots in keys are
escaped, see :func:`shard_key`. Names of shards are plain names below the root: a list from elsewhere cannot
lead to another place, and no reader of this project starts a command ('pipe:') for a name.
"""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.datasets.packed_format import check_format
from fsfm_mm.datasets.reading import BrokenSampleError
from fsfm_mm.datasets.shard_store import ShardStore, open_store

FOLDER, HEADER, INDEX = 'shards', 'shards.json', 'index.npy'
FORMAT, VERSION = 'fsfm_mm face shards', 1
#: Encoding of the images -> their ending in the tar.
ENCODINGS = {'png': '.png', 'jpeg': '.jpg'}
MAP_ENDING = '.map.png'
_PLAIN = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def shard_key(key: str) -> str:
    """A key as WebDataset needs it: '%' and '.' become '%25' and '%2E' (``urllib.parse.unquote`` undoes it)."""
    return key.replace('%', '%25').replace('.', '%2E')


@dataclass(frozen=True)
class Shard:
    """One tar file.

    Attributes:
        name: File name below the root.
        faces: Number of faces in it.
        bytes: Its size.
    """

    name: str
    faces: int
    bytes: int


def parse_shards(values: Any, where: str) -> tuple[str, list[Shard]]:
    """Check the content of ``shards.json``.

    Args:
        values: The JSON object.
        where: The file, for messages.

    Returns:
        The encoding and the shards.

    Raises:
        ValueError: Another format or version, or a shard that is not a plain name with two numbers.
    """
    check_format(values, where, FORMAT, VERSION)
    encoding, rows = values.get('encoding'), values.get('shards')
    if encoding not in ENCODINGS or not isinstance(rows, list):
        raise ValueError(f'{where}: expected an encoding ({", ".join(ENCODINGS)}) and a list of shards.')
    shards = []
    for row in rows:
        known = isinstance(row, dict) and set(row) == {'name', 'faces', 'bytes'}
        if not known or not isinstance(row['name'], str) or not _PLAIN.fullmatch(row['name']):
            raise ValueError(
                f'{where}: a shard needs a plain file name, its number of faces and its bytes, found {row!r}.'
            )
        if not all(isinstance(row[key], int) and row[key] >= 0 for key in ('faces', 'bytes')):
            raise ValueError(f'{where}: faces and bytes of {row["name"]} must be numbers, 0 or more.')
        shards.append(Shard(**row))
    return encoding, shards


class ShardSet:
    """An opened set of shards: what lies where, and how to get it.

    Args:
        root: Local folder with ``shards.json``, or the same as an address (``s3://...``).
        options: See :func:`~fsfm_mm.datasets.shard_store.open_store`.

    Attributes:
        shards: All tar files.
        index: int64 (N, 5), see the module; mapped into memory where local.

    Raises:
        ValueError: A file is missing, of another version, or the index does not fit the shards.
    """

    def __init__(self, root: str, options: dict[str, Any]) -> None:
        self.root, self.options = root, options
        self.store: ShardStore = open_store(root, **options)
        where = f'{root}/{HEADER}'
        try:
            header = json.loads(self.store.read_file(HEADER))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f'{where}: cannot be read as JSON ({error}).') from error
        self.encoding, self.shards = parse_shards(header, where)
        counts = [shard.faces for shard in self.shards]
        self.index = self.store.open_array(INDEX, np.int64, (sum(counts), 5))
        self._firsts = np.cumsum([0, *counts])
        self._check_index()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def has_maps(self) -> bool:
        """Whether the faces have parsing maps: the first one tells."""
        return len(self.index) > 0 and int(self.index[0, 4]) > 0

    def path(self, row: int) -> str:
        """What to call face ``row``: its shard and its number there, from 0."""
        shard = int(self.index[row, 0])
        return f'{self.root}/{self.shards[shard].name}#{row - self._firsts[shard]}'

    def read(self, row: int) -> tuple[bytes, bytes | None]:
        """Image and map file of face ``row``, as bytes; the map is None where it has none.

        Raises:
            BrokenSampleError: The shard cannot be read, is cut off, or is not the one that the index describes.
        """
        number, *places = self.index[row].tolist()
        shard = self.shards[number]
        pieces = [(places[0], places[1], ENCODINGS[self.encoding])]
        if places[3]:
            pieces.append((places[2], places[3], MAP_ENDING))
        begin = pieces[0][0] - tarfile.BLOCKSIZE
        end = pieces[-1][0] + pieces[-1][1]
        try:
            data = self.store.read(shard, begin, end - begin)
        except OSError as error:
            raise BrokenSampleError(f'{self.path(row)}: cannot be read ({error}).') from error
        if len(data) != end - begin:
            raise BrokenSampleError(
                f'{self.path(row)}: the shard is cut off, {len(data)} of {end - begin} bytes are left.'
            )
        files = [self._member(row, data, offset - begin, size, ending) for offset, size, ending in pieces]
        return files[0], files[1] if len(files) == 2 else None

    def _member(self, row: int, data: bytes, offset: int, size: int, ending: str) -> bytes:
        """A file out of a piece of a tar, after a look at its header: is this the shard that was indexed?"""
        try:
            header = tarfile.TarInfo.frombuf(
                data[offset - tarfile.BLOCKSIZE : offset], 'utf-8', 'surrogateescape'
            )
        except tarfile.HeaderError as error:
            raise BrokenSampleError(f'{self.path(row)}: damaged tar header ({error}).') from error
        if header.size != size or not header.isreg():
            raise BrokenSampleError(
                f'{self.path(row)}: the shard has {header.name!r} of {header.size} bytes where the index has a '
                f'{ending} of {size}.'
            )
        return data[offset : offset + size]

    def _check_index(self) -> None:
        shard, image, image_bytes, labels, label_bytes = self.index.T
        counts = np.array([s.faces for s in self.shards], np.int64)
        sizes = np.array([s.bytes for s in self.shards], np.int64)
        expected = np.repeat(np.arange(len(counts)), counts)
        valid = (shard == expected) & (image >= tarfile.BLOCKSIZE) & (image_bytes > 0) & (label_bytes >= 0)
        end = np.where(label_bytes > 0, labels + label_bytes, image + image_bytes)
        valid &= (end <= sizes[expected]) & ((label_bytes == 0) | (labels >= image + image_bytes))
        if not valid.all():
            row = int(np.argmin(valid))
            raise ValueError(
                f'{self.root}/{INDEX}: row {row} is {self.index[row].tolist()}, which does not fit {HEADER}.'
            )

    def __reduce__(self) -> tuple:
        # copies and spawned workers open the files again: pickling a memory map would read all of it
        return ShardSet, (self.root, self.options)


def local_folder(root: str) -> str:
    """A root, or the folder ``shards`` in it where there is one; addresses stay as they are."""
    folder = Path(root) / FOLDER
    return str(folder) if '://' not in root and folder.is_dir() else root
