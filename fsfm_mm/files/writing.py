"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Bytes of a file's name.
_LONGEST = 255


@contextlib.contextmanager
def replacing(path: str | os.PathLike, sync: bool = True) -> Iterator[Path]:
    """A file to write beside ``path``, which takes its place once it is complete.

    Whoever looks at ``path`` sees the old file or the whole new one, whenever this process is killed. A
    part that a killed process left behind is hidden: ``.NAME.PID.part``.

    Args:
        path: File to write; its folder must exist.
        sync: Wait until the file is on the disk, so that it also survives a power cut; False for many
            small files that can be made again.

    Yields:
        The path to write to.
    """
    path = Path(path)
    part = _part_of(path)
    try:
        yield part
        if sync:
            _sync(part)
        os.replace(part, path)
        if sync:
            _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, content: str | bytes, sync: bool = False) -> Path:
    r"""Write a small file with :func:`replacing`.

    Args:
        path: File to write; its folder is made where missing.
        content: Bytes, or text to be written as UTF-8 with the newlines as given. Half characters, from names of files
            that are no UTF-8, become ``\\udcXX``, which JSON reads as what it was.
        sync: See :func:`replacing`.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, sync) as part:
        part.write_bytes(content.encode('utf-8', 'backslashreplace') if isinstance(content, str) else content)
    return path


def check_folder(folder: str | os.PathLike, what: str, make: bool = False) -> None:
    """Look, before work begins, whether a folder can be written to or made.

    Args:
        folder: It need not exist.
        what: What it is for, for the message: 'the work directory'.
        make: Make it, which some file systems refuse in spite of permissions.

    Raises:
        ValueError: It is a file or lies in one, a link that leads nowhere, or nothing can be written there.
    """
    place = Path(folder).absolute()
    above = next(found for found in (place, *place.parents) if os.path.lexists(found))
    if not above.is_dir():
        raise ValueError(f'{what} {folder} cannot be made: {above} is {_kind(above)}: name a folder')
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(
            f'{what} {folder} cannot be written to: there is no permission to write in {above}; name another folder'
        )
    _check_names(place, f'{what} {folder}')
    _try(above / 'fsfm_mm', f'{what} {folder}', 'folder')
    if make:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'{what} {folder} cannot be made ({error.strerror}): name another folder'
            ) from error


def check_file(path: str | os.PathLike, what: str) -> None:
    """Look, before work begins, whether a file can be written.

    Args:
        path: It need not exist.
        what: The option that names it, for the message.

    Raises:
        ValueError: It is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise ValueError(f'{what} {path} is a folder: name a file')
    if os.path.exists(path) and not os.path.isfile(
        path
    ):  # the new file would take its place, of /dev/null for one
        raise ValueError(f'{what} {path} is {_kind(path)}: name a file')
    check_folder(path.parent, f'the folder of {what}')
    _check_names(_part_of(path), f'{what} {path}')
    if path.parent.is_dir():
        _try(path, f'{what} {path}', 'file')


def check_different(paths: Mapping[str, str | os.PathLike | None]) -> None:
    """Raise a ValueError where two options (name -> path, None where it is not given) name the same file."""
    seen: dict[str, str] = {}
    for option, path in paths.items():
        if path is not None and (other := seen.setdefault(os.path.realpath(path), option)) != option:
            raise ValueError(f'{other} and {option} both name {path}: name two files')


def _kind(path: Path) -> str:
    return 'a file' if path.is_file() else 'no file' if path.exists() else 'a link that leads nowhere'


def _check_names(path: Path, what: str) -> None:
    if any(len(os.fsencode(name)) > _LONGEST for name in path.parts):
        raise ValueError(
            f'{what} cannot be made: a name in it is too long, file systems end at {_LONGEST} bytes'
        )


def _part_of(path: Path) -> Path:
    return path.with_name(f'.{path.name}.{os.getpid()}.part')


def _try(path: Path, what: str, kind: str) -> None:
    """Make, and remove, a file as :func:`replacing` does: permissions do not tell all that a file system refuses."""
    part = _part_of(path)
    try:
        part.touch()
        part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f'{what} cannot be written ({error.strerror}): name another {kind}') from error


def refuse_existing(path: str | os.PathLike, argument: str) -> None:
    """Raise a ValueError where there is already what a command is about to write under a name of the user's.

    Args:
        path: File or folder that is to be written; an empty folder is none.
        argument: Where the name was given, for the message.
    """
    if os.path.isdir(path) and not os.listdir(path):
        return
    if os.path.lexists(path):
        raise ValueError(
            f'{argument}: {path} exists already: name another file, or replace it with --overwrite'
        )


def refuse_foreign(path: str | os.PathLike, argument: str, begins: str) -> None:
    """Raise a ValueError where something else lies where a command is about to write a report of its own.

    An earlier report may be replaced: whoever names the same file again wants the new one.

    Args:
        path: File that is to be written.
        argument: Where the name was given, for the message.
        begins: What is in the first 1000 characters of such a report.
    """
    if os.path.isfile(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            if begins not in file.read(1000):
                raise ValueError(
                    f'{argument}: {path} exists already and is something else: name another file'
                )


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
