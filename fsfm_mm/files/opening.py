"""Reading whole files that may come from anybody: no pipe is waited at, none fills the memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.text import printable

#: Bytes of a file of texts: a list, statistics, the keys of an archive ...; and of a line of a manifest.
MAX_TEXT, MAX_LINE = 1 << 28, 1 << 20


def read_bytes(path: str | os.PathLike, most: int, error: type[ValueError] = ValueError) -> bytes:
    """Read a file.

    Args:
        path: The file.
        most: Bytes that it may have.
        error: What is raised where it is something else or larger.

    Raises:
        OSError: It is not there, or cannot be read.
        ValueError: It is no file (a folder, a named pipe, a device ...), or larger.
    """
    size = stat_of_file(path, error).st_size
    if size > most:
        raise error(f'{printable(path)}: has {size} bytes, more than the {most} that are read.')
    with open(path, 'rb') as file:
        return file.read(size)  # no further: files of the system may have no end, whose size is 0


def read_lines(path: str | os.PathLike) -> Iterator[bytes]:
    """The lines of a file, with their ends, one at a time; errors as of :func:`read_bytes`, also of an endless line."""
    stat_of_file(path)
    with open(path, 'rb') as file:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise ValueError(f'{printable(path)}: has a line of more than {MAX_LINE} bytes.')
            yield line


def read_text(path: str | os.PathLike, encoding: str = 'utf-8', most: int = MAX_TEXT) -> str:
    """Read a text, as :func:`read_bytes`; raises UnicodeDecodeError, which is a ValueError, for another encoding."""
    return read_bytes(path, most).decode(encoding)
