"""The guard against what is no file: a named pipe or a device would be waited at for ever."""

from __future__ import annotations

import os
import stat

from fsfm_mm.files.listing import printable


def stat_of_file(path: str | os.PathLike, error: type[ValueError] = ValueError) -> os.stat_result:
    """What the system knows of a file, its size for one.

    Args:
        path: The file; a link is followed.
        error: What is raised where it is something else.

    Raises:
        OSError: It is not there, or may not be asked for.
        ValueError: It is a folder, a named pipe, a device ...
    """
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise error(f'{printable(path)}: is not a file.')
    return about
