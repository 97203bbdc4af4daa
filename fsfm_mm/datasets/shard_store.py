"""Where shards lie: a local folder, or an object store read by ranges or through a bounded local cache."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from fsfm_mm.datasets.open_files import OpenFiles
from fsfm_mm.datasets.packed_format import check_array, open_array
from fsfm_mm.files import replacing

_GIB = 1 << 30


class _File(Protocol):
    """A shard as far as a store needs it."""

    @property
    def name(self) -> str: ...

    @property
    def bytes(self) -> int: ...


class ShardStore:
    """A local folder of shards.

    Args:
        root: The folder.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._files = OpenFiles()

    def read(self, shard: _File, offset: int, length: int) -> bytes:
        """A piece of a shard; shorter where the shard ends.

        Raises:
            OSError: It cannot be read.
        """
        return self._files.read(f'{self.root}/{shard.name}', offset, length)

    def read_file(self, name: str) -> bytes:
        """A whole file beside the shards.

        Raises:
            ValueError: It is not there or cannot be read.
        """
        try:
            return Path(self.root, name).read_bytes()
        except OSError as error:
            raise ValueError(
                f'{self.root}/{name}: cannot be read ({error.strerror}); a folder of shards has it once its run is '
                'complete.'
            ) from error

    def open_array(self, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
        """An array beside the shards, mapped into memory.

        Raises:
            ValueError: It is not there, or of another type or shape.
        """
        return open_array(Path(self.root, name), dtype, shape)


class RemoteStore(ShardStore):
    """Shards at an address that fsspec knows (``s3://``, ``gs://``, ``https://``), read by ranges.

    Args:
        url: Address of the folder.
        storage_options: Arguments of the file system, e.g. ``dict(anon=True)`` for public S3 buckets.

    Raises:
        ValueError: The kind of address is unknown, or its package (s3fs, gcsfs, aiohttp) is not installed.
    """

    def __init__(self, url: str, storage_options: dict[str, Any]) -> None:
        super().__init__(url.rstrip('/'))
        self.storage_options = storage_options
        self._opened: tuple[int, Any, str] | None = None
        self._fs()

    def _fs(self) -> tuple[Any, str]:
        """File system and path; opened anew in a forked worker, whose connections are its own."""
        if self._opened is None or self._opened[0] != os.getpid():
            import fsspec

            try:
                fs, path = fsspec.core.url_to_fs(self.root, **self.storage_options)
            except (ImportError, ValueError) as error:
                raise ValueError(f'{self.root}: cannot be opened by fsspec ({error}).') from error
            self._opened = os.getpid(), fs, path
        return self._opened[1], self._opened[2]

    def read(self, shard: _File, offset: int, length: int) -> bytes:
        """A piece of a shard, one request."""
        fs, path = self._fs()
        return fs.cat_file(f'{path}/{shard.name}', start=offset, end=offset + length)

    def read_file(self, name: str) -> bytes:
        """A whole file beside the shards; raises ValueError where it cannot be had."""
        fs, path = self._fs()
        try:
            return fs.cat_file(f'{path}/{name}')
        except OSError as error:
            raise ValueError(f'{self.root}/{name}: cannot be fetched ({error}).') from error

    def open_array(self, name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
        """An array beside the shards, fetched into memory."""
        where = f'{self.root}/{name}'
        try:
            # not np.load, which would also open archives and pickles
            array = np.lib.format.read_array(io.BytesIO(self.read_file(name)), allow_pickle=False)
        except (ValueError, EOFError, SyntaxError) as error:
            raise ValueError(f'{where}: cannot be read as a .npy file ({error}).') from error
        return check_array(array, where, dtype, shape)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_opened': None}


class CachedStore(RemoteStore):
    """Shards at an address, fetched whole into a local folder that all processes of a machine share.

    A shard is fetched by one process while the others wait. Before the folder grows over its limit, the shards
    that were fetched first are removed.

    Args:
        url: See :class:`RemoteStore`.
        storage_options: See :class:`RemoteStore`.
        cache_dir: The folder; each address gets one of its own in it.
        cache_gib: Limit in GiB for this address: room for ``window`` shards of each worker process at least.

    Raises:
        ValueError: See :class:`RemoteStore`.
    """

    def __init__(self, url: str, storage_options: dict[str, Any], cache_dir: str, cache_gib: float) -> None:
        super().__init__(url, storage_options)
        # another version of the same shards is another content of shards.json, and another folder
        digest = hashlib.sha256(self.root.encode() + b'\0' + self.read_file('shards.json')).hexdigest()
        self.cache = Path(cache_dir) / digest[:16]
        self.limit = int(cache_gib * _GIB)
        self._files = OpenFiles(limit=8)  # a removed shard keeps its room on the disk while it is open

    def read(self, shard: _File, offset: int, length: int) -> bytes:
        """A piece of a shard, which is fetched before where needed."""
        path = self.cache / shard.name
        for _ in range(3):
            self._fetch(shard, path)
            try:
                return self._files.read(str(path), offset, length)
            except FileNotFoundError:  # removed by another process meanwhile
                continue
        raise OSError(f'{path} was removed three times before it could be read: cache_gib is too small')

    def _fetch(self, shard: _File, path: Path) -> None:
        if path.exists():
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{path}.lock'):
            if path.exists():
                return
            self._make_room(shard.bytes)
            fs, root = self._fs()
            with replacing(path, sync=False) as part:
                fs.get_file(f'{root}/{shard.name}', str(part))
                if part.stat().st_size != shard.bytes:
                    raise OSError(f'{part.stat().st_size} of {shard.bytes} bytes arrived')

    def _make_room(self, needed: int) -> None:
        found = [(path, path.stat()) for path in self.cache.glob('*.tar')]
        total = needed + sum(stat.st_size for _, stat in found)
        for path, stat in sorted(found, key=lambda item: (item[1].st_mtime_ns, item[0])):
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= stat.st_size


def open_store(
    root: str,
    storage_options: dict[str, Any] | None = None,
    cache_dir: str | None = None,
    cache_gib: float = 50.0,
) -> ShardStore:
    """Open the place of some shards.

    Args:
        root: Local folder, or an address with ``://``.
        storage_options: See :class:`RemoteStore`.
        cache_dir: Local folder for whole shards, see :class:`CachedStore`; None reads by ranges.
        cache_gib: Its limit.

    Raises:
        ValueError: See :class:`RemoteStore`.
    """
    if '://' not in root:
        return ShardStore(root)
    if cache_dir is None:
        return RemoteStore(root, storage_options or {})
    return CachedStore(root, storage_options or {}, cache_dir, cache_gib)
