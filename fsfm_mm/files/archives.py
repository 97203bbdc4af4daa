"""Files inside tar archives, read without unpacking them: ``ARCHIVE/PATH IN IT`` names one."""

from __future__ import annotations

import functools
import gzip
import io
import os
import tarfile

from fsfm_mm.text import printable

#: Endings of archives that are read.
TAR_EXTENSIONS = ('.tar', '.tar.gz', '.tgz')


def members(archive: str) -> dict[str, tuple[int, int]]:
    """The regular files of an archive.

    Args:
        archive: Path of a tar file, compressed with gzip or not.

    Returns:
        Path of each in it, with '/' between folders -> where its bytes begin in the uncompressed tar, and how many
        they are. Paths that lead out of the archive and names that begin with a dot are left out.

    Raises:
        ValueError: The archive cannot be read to its end.
    """
    return _members(archive, *_version(archive))


def _version(archive: str) -> tuple[int, int]:
    """What tells a file from one that takes its place."""
    about = os.stat(archive)
    return about.st_size, about.st_mtime_ns


@functools.cache
def _members(archive: str, size: int, changed: int) -> dict[str, tuple[int, int]]:
    try:
        with tarfile.open(archive, 'r:*') as tar:
            found = {
                os.path.normpath(m.name): (m.offset_data, m.size)
                for m in tar
                if m.isreg() and not m.issparse()
            }
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(
            f'{printable(archive)}: cannot be read as a tar archive ({size} bytes; cut off, damaged or none): download '
            'it again, or move it away.'
        ) from error
    return {
        name: place for name, place in found.items() if not any(p.startswith('.') for p in name.split('/'))
    }


def split_member(path: str) -> tuple[str, str] | None:
    """Archive and path in it of a path ``ARCHIVE/PATH IN IT``; None for any other path."""
    for ending in sorted(TAR_EXTENSIONS, key=len, reverse=True):
        archive, found, member = path.partition(f'{ending}/')
        if found and os.path.isfile(archive + ending):
            return archive + ending, member
    return None


@functools.lru_cache(maxsize=1)
def _opened(archive: str, size: int, changed: int) -> gzip.GzipFile | io.BufferedReader:
    with open(archive, 'rb') as file:
        compressed = file.read(2) == b'\x1f\x8b'
    return gzip.open(archive) if compressed else open(archive, 'rb')


def read_member(archive: str, place: tuple[int, int]) -> bytes:
    """The bytes of a file in an archive; in the order of the archive it is decompressed once.

    Args:
        archive: Path of the tar file.
        place: What :func:`members` says of the file.

    Raises:
        OSError: The archive cannot be read there.
    """
    file = _opened(archive, *_version(archive))
    file.seek(place[0])
    try:
        content = file.read(place[1])
    except EOFError as error:
        raise OSError(str(error)) from error
    if len(content) < place[1]:
        raise OSError('the archive ends within it')
    return content
