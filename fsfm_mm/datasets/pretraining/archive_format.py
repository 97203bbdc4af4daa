"""The archive format: many faces in few tar files, with an index that makes every face readable by itself.

::

    archive/archive.json        what it is, see :class:`ArchiveHeader`
    archive/faces-000012.tar    KEY.png, .jpg or .raw; KEY.map.png (grey values are the labels); KEY.json (its record)
    archive/faces-000012.npy    rows of its faces and their label sets (for the writer)
    archive/index.npy           one row a face, see :data:`ROW`
    archive/labels.npy          uint16 (N, L): label sets of the L patches of each face
    archive/keys.txt            N names, one a line

A ``.raw`` member is uint8 (3, H, W), RGB planes: the layout of the model's input, so reading a batch is one copy a
face. ``labels.npy`` saves decoding the maps; it is there where the faces have maps and one size that patches divide.

Any WebDataset reader takes the tars alone. WebDataset ends a key at the first dot of a name, so dots in keys are
escaped, see :func:`member_name`. Names of files are never taken from a file: they follow from the shard's number.
"""

from __future__ import annotations

import functools
import json
import tarfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.datasets.pretraining.archive_store import RemoteStore, ShardStore, check_sum
from fsfm_mm.files.broken import broken, parse_json, reading
from fsfm_mm.files.opening import MAX_TEXT
from fsfm_mm.files.picture_headers import VARIABLE, max_bytes, max_pixels
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.text import brief, shortened

FOLDER, HEADER, INDEX, LABELS, KEYS = 'archive', 'archive.json', 'index.npy', 'labels.npy', 'keys.txt'
FORMAT, VERSION = 'fsfm_mm face archive', 1
#: Encoding of the images -> their ending in the tar.
ENCODINGS = {'raw': '.raw', 'png': '.png', 'jpeg': '.jpg'}
MAP_ENDING = '.map.png'
#: Row of a face: its shard, size in pixels, and where its files lie in the tar; no bytes of a map: it has none.
ROW = np.dtype(
    [
        *[('shard', '<u4'), ('height', '<u4'), ('width', '<u4')],
        *[('image', '<i8'), ('image_bytes', '<i8'), ('image_crc32', '<u4')],
        *[('map', '<i8'), ('map_bytes', '<i8'), ('map_crc32', '<u4')],
    ]
)


def chunk_name(chunk: int, ending: str = '.tar') -> str:
    """File name of a chunk: ``faces-000012`` with an ending."""
    return f'faces-{chunk:06d}{ending}'


def line_of(key: str) -> str:
    """A key as a line of text: line ends and what is no character are written as escapes."""
    return key.replace('\n', '\\n').encode('utf-8', 'backslashreplace').decode()


def member_name(line: str, ending: str) -> str:
    """Name in the tar of a face's file.

    Args:
        line: Its key, see :func:`line_of`. '%' and '.' become '%25' and '%2E' (``urllib.parse.unquote`` undoes it).
        ending: Such as '.png'.
    """
    return line.replace('%', '%25').replace('.', '%2E') + ending


@dataclass(frozen=True)
class ArchiveHeader:
    """Content of ``archive.json``.

    Attributes:
        encoding: One of :data:`ENCODINGS`.
        faces: Number N of faces.
        size: Height and width of the faces in pixels; None where they differ.
        maps: Whether they have parsing maps: all or none.
        patch_size: Side of a patch of the label table in pixels; None without a table.
        shards: Number of faces, and bytes, of each tar file, from shard 0.
        crc32: Checksums of the files beside the tars.
        format: :data:`FORMAT`.
        version: :data:`VERSION`.
    """

    encoding: str
    faces: int
    size: list[int] | None
    maps: bool
    patch_size: int | None
    shards: list[list[int]]
    crc32: dict[str, int]
    format: str = FORMAT
    version: int = VERSION

    @property
    def grid(self) -> tuple[int, int]:
        """Patches of the label table down and across; (0, 0) without one."""
        if self.patch_size is None or self.size is None:
            return 0, 0
        return self.size[0] // self.patch_size, self.size[1] // self.patch_size

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self), indent=1) + '\n'


def parse_header(data: bytes, where: str) -> ArchiveHeader:
    """Check the content of ``archive.json``.

    Args:
        data: The file's bytes.
        where: Its name, for messages.

    Raises:
        ValueError: It is no JSON, of another format or version, or makes no sense.
    """
    values = parse_json(data, where)
    found = values.get('format'), values.get('version')
    if found != (FORMAT, VERSION):
        said = ' version '.join(value if isinstance(value, str) else brief(value) for value in found)
        raise broken(where, f': expected {FORMAT!r} version {VERSION}, found {shortened(said, 100)}.')
    expected = {field.name for field in fields(ArchiveHeader)}
    if set(values) != expected:
        raise broken(where, f': expected the keys {", ".join(sorted(expected))}, found {", ".join(values)}.')
    size, patch, shards, sums = (values[key] for key in ('size', 'patch_size', 'shards', 'crc32'))
    if not isinstance(values['encoding'], str) or values['encoding'] not in ENCODINGS:
        told = f'encoding must be one of {", ".join(ENCODINGS)}, but is {brief(values["encoding"])}'
        raise broken(where, f': {told}.')
    if not isinstance(shards, list) or not all(_are_numbers(shard, 2) for shard in shards):
        raise broken(where, ': shards must be pairs of numbers, the faces and the bytes of each.')
    names = {INDEX, KEYS} if patch is None else {INDEX, KEYS, LABELS}
    if not isinstance(sums, dict) or set(sums) != names or not _are_numbers(list(sums.values())):
        raise broken(where, f': crc32 must hold the checksums of {" and ".join(sorted(names))}.')
    known = size is None or (_are_numbers(size, 2) and min(size) > 0)
    known &= patch is None or (_are_numbers([patch]) and patch > 0 and size is not None)
    known &= isinstance(values['maps'], bool) and (patch is None or values['maps'])
    if not known or (patch is not None and (size[0] % patch or size[1] % patch)):
        told = f'size {brief(size)}, patch_size {brief(patch)} and maps {brief(values["maps"])}'
        raise broken(where, f': {told} do not fit together.')
    if not _are_numbers([values['faces']]) or values['faces'] != sum(faces for faces, _ in shards):
        raise broken(where, f': faces {brief(values["faces"])} are not those of the shards together.')
    return ArchiveHeader(**values)


def _are_numbers(values: Any, count: int | None = None) -> bool:
    """Whether these are so many whole numbers from 0 on."""
    if not isinstance(values, list) or (count is not None and len(values) != count):
        return False
    return all(type(value) is int and 0 <= value < 1 << 62 for value in values)


class Archive:
    """An opened archive: what lies where, and how to get it.

    Args:
        root: Local folder with ``archive.json``, or the same as an address (``s3://...``).
        options: Of an address, see :class:`~fsfm_mm.datasets.pretraining.archive_store.RemoteStore`.

    Attributes:
        header: What it is.
        index: One :data:`ROW` a face; mapped into memory where local.

    Raises:
        ValueError: A file is missing, cut off, changed, of another version, or two do not belong together.
    """

    def __init__(self, root: str, options: dict[str, Any] | None = None) -> None:
        self.root, self.options = root, options or {}
        self.store = RemoteStore(root, HEADER, **self.options) if '://' in root else ShardStore(root)
        self.header = parse_header(self.store.read_file(HEADER), f'{root}/{HEADER}')
        count, sums = self.header.faces, self.header.crc32
        self.index = self.store.open_array(INDEX, ROW, (count,), sums[INDEX])
        self._check_index()
        self._names = [chunk_name(number) for number in range(len(self.header.shards))]
        self._keys = self.store.read_file(KEYS, max(MAX_TEXT, 1024 * count))
        check_sum(zlib.crc32(self._keys), sums[KEYS], f'{root}/{KEYS}')
        with reading(f'{root}/{KEYS}', ': is no UTF-8 text'):
            self._keys.decode()
        self._ends = np.flatnonzero(np.frombuffer(self._keys, np.uint8) == ord('\n'))
        names = self._keys.count(b'\n') + (self._keys[-1:] not in (b'', b'\n'))
        if names != count or len(self._ends) != count:
            raise broken(f'{root}/{KEYS}', f': has {names} names for {count} faces.')

    def __len__(self) -> int:
        return self.header.faces

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The label table, uint16 (N, h, w), mapped into memory where local; raises ValueError as the class does."""
        height, width = self.header.grid
        crc32 = self.header.crc32.get(LABELS, 0)
        table = self.store.open_array(LABELS, np.dtype(np.uint16), (len(self), height * width), crc32)
        return table.reshape(len(self), height, width)

    def key(self, row: int) -> str:
        """Key of face ``row``, as a line of text."""
        return self._keys[self._ends[row - 1] + 1 if row else 0 : self._ends[row]].decode()

    def path(self, row: int) -> str:
        """What to call face ``row``: its shard and its key."""
        return f'{self.root}/{chunk_name(self.index["shard"][row])}#{self.key(row)}'

    def read(self, row: int, with_map: bool = True) -> tuple[bytes, bytes | None]:
        """Image and map file of face ``row``, as bytes; the map is None where it has none or is not wanted.

        Raises:
            BrokenSampleError: The shard cannot be read, is cut off, or is not the one that the index describes.
        """
        shard, _, _, image, image_bytes, _, labels, label_bytes, _ = self.index[row].tolist()
        pieces = [(image, image_bytes, ENCODINGS[self.header.encoding])]
        if with_map and label_bytes:
            pieces.append((labels, label_bytes, MAP_ENDING))
        begin, end = image - tarfile.BLOCKSIZE, pieces[-1][0] + pieces[-1][1]
        try:
            data = bytearray(end - begin)
        except MemoryError as error:  # by the size that the archive states; what is there is seen in reading
            raise self._refused(row, f': {end - begin} bytes are more than the memory takes.') from error
        self._fill(row, shard, begin, [data], end - begin)
        files = []
        for offset, size, ending in pieces:
            place = offset - begin
            self._check_member(row, data[place - tarfile.BLOCKSIZE : place], size, ending)
            files.append(bytes(data[place : place + size]))
        return files[0], files[1] if len(files) == 2 else None

    def read_planes(self, row: int, planes: np.ndarray) -> None:
        """Copy the pixels of face ``row`` of a raw archive into uint8 (3, H, W); errors as of :meth:`read`."""
        shard, height, width, image, image_bytes, *_ = self.index[row].tolist()
        assert planes.shape == (3, height, width)
        head, start = bytearray(tarfile.BLOCKSIZE), image - tarfile.BLOCKSIZE
        self._fill(row, shard, start, [head, planes.data], tarfile.BLOCKSIZE + image_bytes)
        self._check_member(row, head, image_bytes, ENCODINGS['raw'])

    def check_tables(self) -> None:
        """Compare the checksums of the files beside the shards, the large ones too; raises ValueError."""
        for name, crc32 in self.header.crc32.items():
            check_sum(self.store.crc32(name), crc32, f'{self.root}/{name}')

    def check_files(self) -> None:
        """Compare the size of every local shard with what the archive says; raises ValueError."""
        for name, (_, size) in zip(self._names, self.header.shards):
            self.store.check_size(name, size)

    def _fill(self, row: int, shard: int, offset: int, buffers: list, wanted: int) -> None:
        """Fill buffers one after the other, with so many bytes together, from a shard."""
        try:
            found = self.store.read_into(self._names[shard], self.header.shards[shard][1], offset, buffers)
        except OSError as error:
            raise self._refused(row, f': cannot be read ({error}).') from error
        if found != wanted:
            raise self._refused(row, f': the shard is cut off, {found} of {wanted} bytes are left.')

    def _check_member(self, row: int, header: bytearray, size: int, ending: str) -> None:
        """Look at a file's tar header: is this the shard that was indexed?

        Compares the bytes of name, length and kind; parsing a header takes longer than reading a face.
        """
        name = member_name(self.key(row), ending)
        # a long or foreign name stands in full in a block before
        field = name.encode('ascii', 'replace')[:100].ljust(100, b'\0')
        found = header[:100], header[124:136], header[156:157]
        if found == (field, b'%011o\0' % size, tarfile.REGTYPE):
            return
        with reading(self.path(row), ': damaged tar header', error=BrokenSampleError):
            info = tarfile.TarInfo.frombuf(bytes(header), 'utf-8', 'surrogateescape')
        theirs, ours = f'{brief(info.name)} of {brief(info.size)} bytes', f'{brief(name)} of {size}'
        raise self._refused(row, f': the shard has {theirs} where the index has {ours}.')

    def _refused(self, row: int, told: str) -> ValueError:
        return broken(self.path(row), told, BrokenSampleError)

    def _check_index(self) -> None:
        rows, header = self.index, self.header
        sizes = np.array([size for _, size in header.shards], np.int64)
        expected = np.repeat(np.arange(len(sizes)), [faces for faces, _ in header.shards])
        limit = sizes[expected]
        valid = (rows['shard'] == expected) & (rows['height'] > 0) & (rows['width'] > 0)
        # no sum of two entries before each is known to be small: it could overflow
        valid &= (rows['image_bytes'] > 0) & (rows['image_bytes'] <= limit) & (rows['map_bytes'] <= limit)
        valid &= (rows['image'] >= tarfile.BLOCKSIZE) & (rows['image'] <= limit - rows['image_bytes'])
        valid &= (rows['map_bytes'] > 0) if header.maps else (rows['map_bytes'] == 0) & (rows['map'] == 0)
        if header.maps:
            end = np.where(valid, rows['image'] + rows['image_bytes'], 0)
            valid &= (rows['map'] >= end + tarfile.BLOCKSIZE) & (rows['map'] <= limit - rows['map_bytes'])
        if header.size is not None:
            valid &= (rows['height'] == header.size[0]) & (rows['width'] == header.size[1])
        area = rows['height'].astype(np.uint64) * rows['width']
        if header.encoding == 'raw':
            valid &= rows['image_bytes'] == 3 * area.astype(np.int64)
        if not valid.all():
            row = int(np.argmin(valid))
            values = dict(zip(ROW.names or (), rows[row].tolist()))
            raise broken(f'{self.root}/{INDEX}', f': row {row} is {values}, which does not fit {HEADER}.')
        allowed = (area <= max_pixels()) & (np.maximum(rows['image_bytes'], rows['map_bytes']) <= max_bytes())
        if not allowed.all():
            row = int(np.argmin(allowed))
            told = f'row {row} has a face of {rows["width"][row]}x{rows["height"][row]} pixels, or a file, larger than '
            raise broken(f'{self.root}/{INDEX}', f': {told}the {max_pixels()} pixels allowed ({VARIABLE}).')

    def __reduce__(self) -> tuple:
        # copies and spawned workers open the files again: pickling a memory map would read all of it
        return Archive, (self.root, self.options)


def local_folder(root: str) -> str:
    """A root, or the folder ``archive`` in it where there is one; addresses stay as they are."""
    folder = Path(root) / FOLDER
    return str(folder) if '://' not in root and folder.is_dir() else root
