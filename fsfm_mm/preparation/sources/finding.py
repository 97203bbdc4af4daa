"""Finding the pictures and videos to work on, and naming their results."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fsfm_mm.files.listing import UNSAFE, VIDEO_EXTENSIONS, list_files
from fsfm_mm.files.opening import read_text
from fsfm_mm.files.prepared import SUMMARY_FILE
from fsfm_mm.preparation.sources.items import FrameChoice, Item
from fsfm_mm.text import few, printable

#: Extensions of pictures, lower case; names are compared without regard to case.
PICTURE_EXTENSIONS = (
    *('.jpg', '.jpeg', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.gif'),
    *('.heic', '.heif', '.avif'),
)
#: Of all sources.
_EXTENSIONS = PICTURE_EXTENSIONS + VIDEO_EXTENSIONS
#: Written first of all by a run, removed at its end: the folder that holds it is a result that was interrupted.
WORK_FOLDER, PLAN_FILE = '.prepare', 'plan.json'
#: Endings of files passed over that are named; the rest is counted.
_NAMED_ENDINGS = 5
#: Longest part of a key between two '/', in bytes of UTF-8: file systems end at 255, and a track, a frame number,
#: an ending and the marks of an unfinished file are still to come.
_LONGEST = 180
#: What is added to the key of a video for a frame, and to any key for a further person.
FRAME_TAIL, FACE_TAIL = re.compile(r'_frame_?\d+$'), re.compile(r'_face\d+$')


def find_items(
    sources: Sequence[str | Path],
    frames: FrameChoice,
    exclude: str | Path | None = None,
) -> list[Item]:
    """List pictures and videos, by their extensions.

    What is passed over is told on stderr: files with other endings, results of earlier runs.
    Folders are searched through, symbolic links to folders included; names that begin with a dot are left out,
    and so are folders inside a source that hold the result of an earlier run, finished or not.
    The order is that of the sources, and the order of the names inside each.

    The key of an item is its path in the source without the extension, after the folder's name where there are
    several sources (``photos-2`` for a second folder called ``photos``). A file that is named itself as a source
    has its name alone. Where two keys would be equal, or equal to what a frame or a further face of another item
    is called, the extension is added (``photo_jpg``), and a number where that does not suffice. Control
    characters and backslashes become '_', bytes that are no UTF-8 ``_xff``; overlong names are cut.

    Args:
        sources: Files or folders.
        frames: Which frames of the videos.
        exclude: A folder whose files are left out: the output, where it lies in a source.

    Returns:
        The items; ``path`` and ``source`` may hold bytes that are no UTF-8 as lone surrogates, ``key`` never does.

    Raises:
        ValueError: A source is missing, unreadable or holds nothing, is given twice, lies inside another or in
            ``exclude``, or is a file that is neither picture nor video.
    """
    if not sources:
        raise ValueError('no sources: name at least one folder, picture or video.')
    roots = [os.path.abspath(os.fspath(source)) for source in sources]
    _refuse_overlap(roots, exclude)
    # number of the source, folder, path of the file in the folder
    found = [(number, *entry) for number, root in enumerate(roots) for entry in _files(root, exclude)]
    prefixes = _prefixes(roots)
    keys = _keys([prefixes[number] + file for number, _, file in found])
    return [
        Item(
            os.path.join(folder, file),
            file,
            number,
            key,
            frames if file.lower().endswith(VIDEO_EXTENSIONS) else None,
        )
        for (number, folder, file), key in zip(found, keys)
    ]


def _refuse_overlap(roots: Sequence[str], exclude: str | Path | None) -> None:
    """No file may be listed twice, and none that was written by the tool itself."""
    out = None if exclude is None else os.path.realpath(exclude)
    real: dict[str, str] = {}
    for root in roots:
        if real.setdefault(os.path.realpath(root), root) is not root:
            raise ValueError(f'{printable(root)} is given twice among the sources: name it once.')
    for path, root in real.items():
        above = path
        while True:
            if above == out:
                raise ValueError(
                    f'the source {printable(root)} lies in the output {out}: name another output.'
                )
            above, before = os.path.dirname(above), above
            if above == before:
                break
            if above in real:
                raise ValueError(
                    f'the source {printable(root)} lies inside the source {printable(real[above])}: name only one.'
                )


def _files(root: str, exclude: str | Path | None) -> list[tuple[str, str]]:
    """Folder and path in it of all pictures and videos of a source."""
    if os.path.isfile(root):
        if not root.lower().endswith(_EXTENSIONS):
            raise ValueError(
                f'{printable(root)} is neither a picture ({" ".join(PICTURE_EXTENSIONS)}) '
                f'nor a video ({" ".join(VIDEO_EXTENSIONS)}).'
            )
        folder, file = os.path.split(root)
        return [(folder, file)]
    if not os.path.isdir(root):
        raise ValueError(f'the source {printable(root)} does not exist.')
    files = list_files(root, ('',), tell_link)  # all, to tell what is passed over
    if exclude is not None:
        inside = os.path.relpath(os.path.realpath(exclude), os.path.realpath(root)) + '/'
        files = [file for file in files if not file.startswith(inside)]
    files = _wanted(root, _without_results(root, files))
    if not files:
        raise ValueError(
            f'the source {printable(root)} holds no pictures ({" ".join(PICTURE_EXTENSIONS)}) '
            f'and no videos ({" ".join(VIDEO_EXTENSIONS)}).'
        )
    return [(root, file) for file in files]


def tell_link(sentence: str) -> None:
    """Say on stderr that a link is passed over."""
    print(f'passed over: {sentence}', file=sys.stderr)


def _without_results(root: str, files: list[str]) -> list[str]:
    """Leave out folders with the result of an earlier run: its crops would become sources. Not the root itself."""
    above: set[str] = set()
    for file in files:
        while (file := file.rpartition('/')[0]) and f'{file}/' not in above:
            above.add(f'{file}/')
    results = [folder for folder in sorted(above) if _is_result(os.path.join(root, folder))]
    for folder in results:
        print(
            f'passed over: {printable(os.path.join(root, folder))}, the result of an earlier run.',
            file=sys.stderr,
        )
    return [file for file in files if not file.startswith(tuple(results))]


def _is_result(folder: str) -> bool:
    for name in (SUMMARY_FILE, os.path.join(WORK_FOLDER, PLAN_FILE)):
        try:
            content = json.loads(read_text(os.path.join(folder, name)))
        except (OSError, ValueError, RecursionError):  # not there, or of somebody else
            continue
        if isinstance(content, dict) and 'listing' in content:
            return True
    return False


def _wanted(root: str, files: list[str]) -> list[str]:
    """Pictures and videos; the others are counted by their endings."""
    wanted = [file for file in files if file.lower().endswith(_EXTENSIONS)]
    passed_over = (file for file in files if not file.lower().endswith(_EXTENSIONS))
    others = Counter(os.path.splitext(file)[1].lower() or 'none' for file in passed_over)
    if others:
        ranked = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))
        named = few([f'{printable(ending)} {count}' for ending, count in ranked], _NAMED_ENDINGS, ', ...')
        count = f'{others.total()} file{"s" * (others.total() > 1)} with other endings'
        print(f'passed over: {count} in {printable(root)} ({named}).', file=sys.stderr)
    return wanted


def _prefixes(roots: Sequence[str]) -> list[str]:
    """What comes before the paths of each source: nothing for the only one and for files."""
    if len(roots) == 1:
        return ['']
    used: set[str] = set()
    prefixes = []
    for root in roots:
        if os.path.isfile(root):
            prefixes.append('')
            continue
        # a leading dot would hide the results
        prefixes.append(_numbered(os.path.basename(root).lstrip('.') or 'source', used) + '/')
    return prefixes


def _numbered(name: str, used: set[str]) -> str:
    """The name, or the name with the first number that makes it another than those used; it is used then."""
    candidate, number = name, 1
    while candidate in used:
        number += 1
        candidate = f'{name}-{number}'
    used.add(candidate)
    return candidate


def _keys(names: Sequence[str]) -> list[str]:
    """A key for each file name with its folders; unique, also against the names of frames and further faces."""
    stems = [safe_key(os.path.splitext(name)[0]) for name in names]

    def with_extension(name: str) -> str:
        return safe_key('_'.join(os.path.splitext(name)).replace('_.', '_'))

    often = {stem for stem, count in Counter(stems).items() if count > 1}
    keys = [with_extension(name) if stem in often else stem for name, stem in zip(names, stems)]
    known = set(keys)
    keys = [with_extension(name) if _is_part_of(key, known) else key for name, key in zip(names, keys)]
    used: set[str] = set()
    return [_numbered(key, used) for key in keys]


def _is_part_of(key: str, known: set[str]) -> bool:
    """Whether a frame or a further face of a known key may have this key."""
    still = FRAME_TAIL.sub('', key)
    person = FACE_TAIL.sub('', still)
    return (still != key and still in known) or (person != still and person in known)


def safe_key(name: str) -> str:
    """A name that is UTF-8 and that every file system and JSON take; the same for the same name."""
    text = name
    if not name.isascii():
        text = os.fsencode(name).decode('utf-8', 'backslashreplace')
    text = UNSAFE.sub('_', text)
    if len(text) * 4 <= _LONGEST:
        return text
    return '/'.join(_cut(part) for part in text.split('/'))


def _cut(part: str) -> str:
    encoded = part.encode()
    if len(encoded) <= _LONGEST:
        return part
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f'{encoded[: _LONGEST - 13].decode("utf-8", "ignore")}-{digest}'
