"""Finding files below a folder, saying their names, and the guard against what is no file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable

from fsfm_mm.text import printable

#: Extensions of image files, lower case; names are compared without regard to case.
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
#: Extensions of video files.
VIDEO_EXTENSIONS = (
    *('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'),
    *('.3gp', '.3g2', '.wmv', '.asf', '.flv', '.ts', '.mts', '.m2ts', '.ogv'),
)
#: Extensions of parsing maps.
MAP_EXTENSIONS = ('.npy', '.png')

#: Control characters and line ends, and what other systems take for a separator.
UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\\\\]')


def list_files(root: str, extensions: tuple[str, ...], left_out: Callable[[str], object]) -> list[str]:
    """List the files below a folder.

    Symbolic links to folders are followed, each folder is listed once: under its own name where it lies below
    ``root``, else under the first of its links. Names that begin with a dot are left out: copying tools leave
    files like ``._face.jpg`` behind that are no images. A link to a file that is not there is listed: its reader says
    what is wrong, as of any broken file.

    Args:
        root: The folder.
        extensions: Wanted extensions, lower case with their dot.
        left_out: Called with a sentence about each link that is passed over: it leads to a folder above, to a folder
            that is listed already, or in a circle.

    Returns:
        Paths relative to ``root`` with '/' between folders, sorted.

    Raises:
        ValueError: A folder cannot be listed.
    """
    files: list[str] = []
    links: list[tuple[str, tuple[str, ...]]] = []
    # path below the root with '/' at its end, its true path, and the true paths of the folders with the links to it
    folders: list[tuple[str, str, tuple[str, ...]]] = [('', os.path.realpath(root), ())]
    listed: set[str] = set()
    while folders or links:
        if (
            not folders
        ):  # all that lies there itself comes first, then the links, in an order that is always the same
            links.sort(reverse=True)
            path, above = links.pop()
            target = os.path.realpath(os.path.join(root, path))
            if why := _why_not(target, above, listed):
                left_out(f'{printable(os.path.join(root, path))}: is a link {why}, so it is not followed.')
                continue
            folders.append((f'{path}/', target, above))
        folder, true, above = folders.pop()
        listed.add(true)
        for entry in _entries(os.path.join(root, folder)):
            name = entry.name
            if name.startswith('.'):
                continue
            if _is_folder(entry):
                if entry.is_symlink():
                    links.append((folder + name, (*above, true)))
                else:
                    folders.append((f'{folder}{name}/', f'{true}/{name}', above))
            elif _looks_like(entry, extensions):
                files.append(folder + name)
            elif entry.is_symlink() and (why := broken_link(entry.path)):
                left_out(why)
    files.sort()
    return files


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ValueError(
            f'{printable(folder)}: the folder cannot be listed ({error.strerror or error}).'
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()  # known from the listing itself: no call to the system, unless it is a link
    except OSError:  # a link that leads in a circle
        return False


def _looks_like(entry: os.DirEntry[str], extensions: tuple[str, ...]) -> bool:
    """Whether an entry is, by its name, one of the files that are wanted; of a link a name without ending is not."""
    if not entry.name.lower().endswith(extensions):
        return False
    return not entry.is_symlink() or bool(os.path.splitext(entry.name)[1])


def broken_link(link: str) -> str:
    """A sentence about a link that leads nowhere, or in a circle; '' where it leads to something."""
    try:
        os.stat(link)
    except OSError as error:
        return f'{printable(link)}: is a link that cannot be followed ({error.strerror or error}).'
    return ''


def _why_not(target: str, above: tuple[str, ...], listed: set[str]) -> str:
    """Why a link to a folder is not followed; '' where it is."""
    if any(os.path.commonpath([target, folder]) == target for folder in above):
        return f'to a folder above it ({printable(target)})'
    return f'to a folder that is listed already ({printable(target)})' if target in listed else ''


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
