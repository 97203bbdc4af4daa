"""Finding files below a folder, saying their names, and the guard against what is no file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

#: Extensions of image files, lower case; names are compared without regard to case.
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
#: Extensions of video files.
VIDEO_EXTENSIONS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
#: Extensions of parsing maps.
MAP_EXTENSIONS = ('.npy', '.png')

#: Control characters and line ends, and what other systems take for a separator.
UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\\\\]')
#: What no terminal can take, with what stands for bytes that are no UTF-8.
_UNPRINTABLE = re.compile(f'{UNSAFE.pattern[:-1]}\ud800-\udfff]')


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
    return _UNPRINTABLE.sub(_escaped, os.fsdecode(path))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if '\udc80' <= character <= '\udcff':  # what Python makes of such a byte
        return f'\\x{ord(character) - 0xDC00:02x}'
    return character if character == '\\' else character.encode('unicode_escape').decode()


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
