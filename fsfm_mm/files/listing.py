"""Finding files below a folder: one pass, sorted, quick for millions of them; and saying their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

#: Extensions of image files, lower case; names are compared without regard to case.
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
#: Extensions of video files.
VIDEO_EXTENSIONS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
#: Extensions of parsing maps.
MAP_EXTENSIONS = ('.npy', '.png')

#: Control characters and line ends, and what other systems take for a separator.
UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\\\\]')


def list_files(root: str, extensions: tuple[str, ...]) -> list[str]:
    """List the files below a folder.

    Symbolic links to folders are followed. Names that begin with a dot are left out: copying tools leave
    files like ``._face.jpg`` behind that are no images.

    Args:
        root: The folder.
        extensions: Wanted extensions, lower case with their dot.

    Returns:
        Paths relative to ``root`` with '/' between folders, sorted.

    Raises:
        ValueError: A symbolic link leads back to a folder above it.
    """
    files: list[str] = []
    folders = ['']
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith('.'):
                    continue
                if entry.is_dir():  # known from the listing itself: no call to the system
                    if entry.is_symlink():
                        _refuse_loop(entry.path)
                    folders.append(f'{folder}{name}/')
                elif name.lower().endswith(extensions):
                    files.append(folder + name)
    files.sort()
    return files


def _refuse_loop(link: str) -> None:
    target = os.path.realpath(link)
    parent = os.path.realpath(os.path.dirname(link))
    if os.path.commonpath([target, parent]) == target:
        raise ValueError(f'{link} is a symbolic link to a folder above it ({target}): remove it.')


def by_stem(files: Iterable[str], root: str) -> dict[str, str]:
    """Index relative paths by themselves without the extension.

    Args:
        files: Relative paths, see :func:`list_files`.
        root: Their folder, for the message.

    Returns:
        Relative path without extension -> relative path, in the order of ``files``.

    Raises:
        ValueError: Two files differ in their extension only.
    """
    stems: dict[str, str] = {}
    for file in files:
        stem = os.path.splitext(file)[0]
        other = stems.setdefault(stem, file)
        if other is not file:
            raise ValueError(
                f'{os.path.join(root, other)} and {os.path.join(root, file)} differ in their extension '
                'only, so which one belongs to the sample is open: remove or rename one.'
            )
    return stems


def printable(path: str | os.PathLike) -> str:
    r"""A path for messages: bytes that are no UTF-8 are written ``\xff``, control characters ``\n``."""
    text = os.fsencode(path).decode('utf-8', 'backslashreplace')
    return UNSAFE.sub(lambda match: match[0].encode('unicode_escape').decode().replace('\\\\', '\\'), text)
