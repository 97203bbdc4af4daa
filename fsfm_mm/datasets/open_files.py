"""Reading pieces of many large files, from any number of processes."""

from __future__ import annotations

import os
from collections import OrderedDict

import numpy as np

#: Files kept open by one reader: below the usual limit of 1024 a process, with several readers.
MAX_OPEN = 128


class OpenFiles:
    """Reads pieces of files by position and keeps the files open that were used last.

    Reads with ``pread``: as fast as a memory map for pieces of some kilobytes (both copy from the page cache),
    but a file that gets shorter while it is in use is a short read here, where a map kills the process. Safe
    across fork, since no read moves a file's position; a pickled copy starts with no open file.

    Args:
        limit: Files to keep open at most.
    """

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self.limit = limit
        self._handles: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Read ``length`` bytes at ``offset``; fewer where the file ends.

        Raises:
            OSError: The file cannot be opened or read.
        """
        return os.pread(self._handle(path), length, offset)

    def read_into(self, path: str, offset: int, target: np.ndarray) -> int:
        """Fill a contiguous uint8 array from ``offset`` on; returns the number of bytes read.

        Raises:
            OSError: The file cannot be opened or read.
        """
        return os.preadv(self._handle(path), [target.data], offset)

    def close(self) -> None:
        """Close all files; they are opened again where needed."""
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _handle(self, path: str) -> int:
        handle = self._handles.pop(path, None)
        if handle is None:
            if len(self._handles) >= self.limit:
                os.close(self._handles.popitem(last=False)[1])
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._handles[path] = handle  # last used
        return handle

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple:
        return OpenFiles, (self.limit,)
