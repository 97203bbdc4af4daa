"""Reading whole files that may come from anybody: no pipe is waited at, none fills the memory."""

from __future__ import annotations

import os

from fsfm_mm.files.listing import stat_of_file
from fsfm_mm.text import printable

#: Bytes of a file of texts: lists, label names, statistics, settings, manifests' lines.
MAX_TEXT = 1 << 28


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


def read_text(path: str | os.PathLike, encoding: str = 'utf-8', most: int = MAX_TEXT) -> str:
    """Read a text, as :func:`read_bytes`; raises UnicodeDecodeError, which is a ValueError, for another encoding."""
    return read_bytes(path, most).decode(encoding)
