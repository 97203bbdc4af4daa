"""Where archives lie: a local folder, or an object store read by ranges or through a bounded local cache."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from fsfm_mm.files import replacing
from fsfm_mm.files.broken import broken, reading, reason
from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.files.opening import MAX_TEXT, read_bytes
from fsfm_mm.files.pictures import decode_npy, map_npy
from fsfm_mm.text import brief, shortened

#: Files kept open by one reader: below the usual limit of 1024 a process, with several readers.
MAX_OPEN = 128
#: Checksums of files up to so many bytes are compared when an archive is opened (about a second a GiB); of larger
#: ones by the checks.
SMALL = 1 << 31
_GIB = 1 << 30


class _OpenFile:
    """A file to read pieces of by position; closed when nobody holds it any more."""

    def __init__(self, path: str) -> None:
        # a pipe of that name would wait for ever
        self.handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        weakref.finalize(self, os.close, self.handle)


def crc32_of(path: str | Path) -> int:
    """Checksum of a file, read in pieces."""
    crc32 = 0
    stat_of_file(path)
    with open(path, 'rb', buffering=0) as file:
        while data := file.read(1 << 20):
            crc32 = zlib.crc32(data, crc32)
    return crc32


def check_sum(found: int, crc32: int, where: str) -> None:
    """Raise a ValueError that names the file unless the checksum of its bytes is this one."""
    if found != crc32:
        raise broken(where, ': its content has changed (another CRC-32): copy or write the archive again.')


class ShardStore:
    """A local folder of shards; keeps the files open that were used last.

    Reads with ``preadv``: as fast as a memory map for pieces of some kilobytes (both copy from the page cache),
    but a file that gets shorter while it is in use is a short read here, where a map kills the process. Safe
    across fork, since no read moves a file's position.

    Args:
        root: The folder.
        max_open: Files to keep open at most.
    """

    def __init__(self, root: str, max_open: int = MAX_OPEN) -> None:
        self.root = root
        self._opened = functools.lru_cache(max_open)(_OpenFile)

    def read_into(self, name: str, size: int, offset: int, buffers: Sequence[Any]) -> int:
        """Fill buffers from a shard; returns the number of bytes read, fewer where the shard ends.

        Args:
            name: File name of the shard.
            size: Its bytes.
            offset: Where the piece begins.
            buffers: Contiguous arrays of bytes, filled one after the other.

        Raises:
            OSError: It cannot be read.
        """
        return os.preadv(self._opened(f'{self.root}/{name}').handle, buffers, offset)

    def check_size(self, name: str, size: int) -> None:
        """Raise a ValueError unless a shard is a file of this size; shards elsewhere are not asked for."""
        path = f'{self.root}/{name}'
        try:
            found = stat_of_file(path).st_size
        except OSError as error:
            raise broken(path, f': cannot be opened ({reason(error)}).') from error
        if found != size:
            raise broken(path, f': expected {size} bytes, found {found}: copy or write the archive again.')

    def read_file(self, name: str, most: int = MAX_TEXT) -> bytes:
        """A whole file beside the shards.

        Args:
            name: The file.
            most: Bytes that it may have; of one that is elsewhere nobody asks.

        Raises:
            ValueError: It is not there, cannot be read, or is larger.
        """
        path = Path(self.root, name)
        try:
            return read_bytes(path, most)
        except OSError as error:
            told = f': cannot be read ({reason(error)}); an archive has it once its run is complete.'
            raise broken(path, told) from error

    def crc32(self, name: str) -> int:
        """Checksum of a file beside the shards; raises ValueError as :meth:`read_file`."""
        with reading(path := f'{self.root}/{name}', ': cannot be read'):
            return crc32_of(path)

    def open_array(self, name: str, dtype: np.dtype, shape: tuple[int, ...], crc32: int) -> np.ndarray:
        """An array beside the shards, mapped into memory.

        Args:
            name: Its file.
            dtype: Type that it must have.
            shape: Shape that it must have.
            crc32: Its checksum, compared where the file is small.

        Raises:
            ValueError: It is not there, or of another type, shape or content.
        """
        path = Path(self.root, name)
        # rows of a memmap are slower to take
        array = _checked_array(map_npy(path).view(np.ndarray), str(path), dtype, shape)
        if path.stat().st_size <= SMALL:
            check_sum(crc32_of(path), crc32, str(path))
        return array


def _checked_array(array: np.ndarray, where: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if array.dtype != dtype or array.shape != shape:
        found = f'{shortened(str(array.dtype), 80)} {brief(array.shape)}'
        raise broken(where, f': expected {shortened(str(dtype), 60)} {shape}, found {found}.')
    return array


class RemoteStore(ShardStore):
    """Shards at an address that fsspec knows (``s3://``, ``gs://``, ``https://``), read by ranges or fetched whole.

    The folder of fetched shards is shared by all processes of a machine. A shard is fetched by one of them while
    the others wait. Before the folder grows over its limit, the shards that were fetched first are removed.

    Args:
        url: Address of the folder.
        header: File beside the shards that is another one for other shards.
        storage_options: Arguments of the file system, e.g. ``dict(anon=True)`` for public S3 buckets.
        cache_dir: Local folder to fetch shards into; each address gets one of its own in it. None reads by ranges.
        cache_gib: Its limit in GiB for this address: room for ``window`` shards of each worker process at least.

    Raises:
        ValueError: The kind of address is unknown, or its package (s3fs, gcsfs, aiohttp) is not installed.
    """

    def __init__(
        self,
        url: str,
        header: str,
        storage_options: dict[str, Any] | None = None,
        cache_dir: str | None = None,
        cache_gib: float = 50.0,
    ) -> None:
        super().__init__(url.rstrip('/'))
        self.storage_options = storage_options or {}
        self._at('')
        self._cached: ShardStore | None = None
        if cache_dir is not None:
            # another version of the same archive has another header, and another folder
            digest = hashlib.sha256(self.root.encode() + b'\0' + self.read_file(header)).hexdigest()
            # few open files, since a removed shard keeps its room on the disk while it is open
            self._cached = ShardStore(f'{cache_dir}/{digest[:16]}', max_open=8)
            self._limit = int(cache_gib * _GIB)

    def _at(self, name: str) -> tuple[Any, str]:
        """File system and path of a file; fsspec keeps one for each process, whose connections are its own."""
        import fsspec

        with reading(self.root, ': cannot be opened by fsspec'):
            return fsspec.core.url_to_fs(f'{self.root}/{name}', **self.storage_options)

    def read_into(self, name: str, size: int, offset: int, buffers: Sequence[Any]) -> int:
        """Fill buffers from a shard: with one request, or from the cache."""
        if self._cached is None:
            fs, path = self._at(name)
            wanted = sum(memoryview(buffer).nbytes for buffer in buffers)
            try:
                data = io.BytesIO(fs.cat_file(path, start=offset, end=offset + wanted))
            except Exception as error:  # each kind of store has errors of its own
                raise OSError(reason(error)) from error
            return sum(map(data.readinto, buffers))
        cached = Path(self._cached.root, name)
        for _ in range(3):
            self._fetch(cached, size)
            try:
                return self._cached.read_into(name, size, offset, buffers)
            except FileNotFoundError:  # removed by another process meanwhile
                continue
        raise OSError(f'{cached} was removed three times before it could be read: cache_gib is too small')

    def check_size(self, name: str, size: int) -> None:
        """Ask for nothing: that would be a request for each shard."""

    def read_file(self, name: str, most: int = MAX_TEXT) -> bytes:
        """A whole file beside the shards; raises ValueError where it cannot be had."""
        fs, path = self._at(name)
        with reading(f'{self.root}/{name}', ': cannot be fetched'):
            return fs.cat_file(path)

    def crc32(self, name: str) -> int:
        """Checksum of a file beside the shards, which is fetched; raises ValueError where it cannot be had."""
        return zlib.crc32(self.read_file(name))

    def open_array(self, name: str, dtype: np.dtype, shape: tuple[int, ...], crc32: int) -> np.ndarray:
        """An array beside the shards, fetched into memory."""
        where, data = f'{self.root}/{name}', self.read_file(name)
        check_sum(zlib.crc32(data), crc32, where)
        return _checked_array(decode_npy(data, where), where, dtype, shape)

    def _fetch(self, path: Path, size: int) -> None:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{path}.lock'):
            if path.exists():
                return
            self._make_room(path.parent, size)
            fs, address = self._at(path.name)
            with replacing(path, sync=False) as part:
                fs.get_file(address, str(part))
                if part.stat().st_size != size:
                    raise OSError(f'{part.stat().st_size} of {size} bytes arrived')

    def _make_room(self, folder: Path, needed: int) -> None:
        found = [(path, path.stat()) for path in folder.glob('*.tar')]
        total = needed + sum(about.st_size for _, about in found)
        for path, about in sorted(found, key=lambda item: (item[1].st_mtime_ns, item[0])):
            if total <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= about.st_size
