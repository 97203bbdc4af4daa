"""What names and list files say: classes, videos, lines; the words of a message about many."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsfm_mm.files.broken import broken, reading
from fsfm_mm.files.opening import read_text
from fsfm_mm.text import brief, few, shortened

#: Of forgery and spoofing sets; the position is the label.
CLASSES = ('fake', 'real')
#: Folders of a data set that is split.
SPLITS = ('train', 'val', 'test')
#: What such folders are called elsewhere -> split.
SPLIT_NAMES = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'dev': 'val',
    'devel': 'val',
    'development': 'val',
    'test': 'test',
    'testing': 'test',
}
#: Files or folders named in a message about many.
SHOWN = 5


@dataclass(frozen=True)
class FrameNames:
    """How a protocol names the frames of a video.

    Args:
        pattern: Regular expression of a file's stem with the groups 'video' and 'frame'.
        frames: What stands for 'frame' in each frame of a video.
    """

    pattern: str
    frames: tuple[str, ...]


#: Protocol -> its frame names. 'image' is for sets of single images, such as CelebA-Spoof.
PROTOCOLS: dict[str, FrameNames] = {
    'MCIO': FrameNames(r'(?P<video>.+_frame)(?P<frame>[0-9]+)', ('0', '1')),
    'WCS': FrameNames(r'(?P<video>.+?)(?P<frame>[0-9]{2})', tuple(f'{i:02d}' for i in range(10))),
    'image': FrameNames(r'(?P<video>.+)(?P<frame>)', ('',)),
}


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError unless the argument ``name`` has one of the allowed values."""
    if value not in allowed:
        raise ValueError(f'{name} must be one of {quoted(allowed)}, but is {value!r}.')


def quoted(names: Sequence[str]) -> str:
    """Join names for a message, each in quotes: the first five, then a count."""
    shown = [f"'{shortened(name, 120)}'" for name in names[:SHOWN]]
    return few(shown, SHOWN, f', ... ({len(names)} in all)', count=len(names))


def split_of_folder(folder: str) -> str | None:
    """The split that a folder's name stands for, regardless of case; None for none."""
    return SPLIT_NAMES.get(folder.lower())


def class_of_folder(folder: str, classes: Sequence[str]) -> str | None:
    """Return the class that a folder's name stands for.

    Args:
        folder: Name of a folder, such as 'real', 'Real' or 'real_youtube'.
        classes: Class names.

    Returns:
        The class with which the name begins, regardless of case, the longest if there are several; None
        if there is none. What follows must not be a letter: 'realistic_fakes' is not 'real'.
    """
    name = folder.lower()
    fitting = [c for c in classes if name.startswith(c.lower()) and not name[len(c) : len(c) + 1].isalpha()]
    return max(fitting, key=len, default=None)


def class_of_path(path: str, classes: Sequence[str]) -> str | None:
    """Return the class that the folders of a path name: the innermost that names one, and no other with it.

    Args:
        path: Of a file, with '/' between folders; its own name says nothing.
        classes: Class names.

    Returns:
        The class; None where no folder names one. 'real_and_fake' names none.
    """
    for folder in reversed(path.split('/')[:-1]):
        words = re.split('[^a-z]+', folder.lower())
        found = class_of_folder(folder, classes)
        if found is not None and not any(c.lower() in words for c in classes if c != found):
            return found
    return None


def refuse_other_class(path: str, name: str, classes: Sequence[str], place: str, told: str) -> None:
    """Refuse a label that contradicts the folders of its file: classes would swap without a word.

    Args:
        path: Of the file, relative to the set, with '/' between folders.
        name: The class that the label means.
        classes: Class names.
        place: 'file:line', for the message.
        told: How the message ends.

    Raises:
        ValueError: The file lies in a folder of another class.
    """
    if class_of_path(path, classes) not in (None, name):
        raise broken(place, f": '{path}' lies in a folder of another class, but {told}.")


def video_of(path: str, video_by: str = 'name') -> str:
    """Return the video that a frame belongs to.

    Args:
        path: Relative path of the frame with '/' between folders.
        video_by: 'name': the path up to the last ``_frame_`` of the file's name, or without its extension
            where there is none (every image is a video of its own). 'folder': the frame's folder.

    Returns:
        The video, relative as ``path``, folders included: files of the same name in 'real' and in 'fake' are
        different videos.
    """
    folder, _, name = path.rpartition('/')
    if video_by == 'folder':
        return folder
    stem = os.path.splitext(name)[0]
    video = stem.rpartition('_frame_')[0] or stem
    return f'{folder}/{video}' if folder else video


def video_of_frame(stem: str, protocol: str, place: str) -> str:
    """Return the part of a frame's stem that names its video, in a protocol's way.

    Args:
        stem: The frame's name without extension, with or without folders.
        protocol: One of :data:`PROTOCOLS`.
        place: 'file:line' or the file, for messages.

    Raises:
        ValueError: The name does not end as those of the protocol's frames do.
    """
    names = PROTOCOLS[protocol]
    match = re.fullmatch(names.pattern, stem)
    if match is None or match['frame'] not in names.frames:
        frames = f'{quoted(names.frames)} after {names.pattern}'
        told = f'the name {brief(stem)} does not end as frames of {protocol} do ({frames})'
        raise broken(place, f': {told}.')
    return match['video']


def read_lines(file: str, skip: int = 0) -> list[tuple[int, str]]:
    """Read a list file.

    Args:
        file: UTF-8 text file, with or without byte-order mark.
        skip: Lines of a header.

    Returns:
        Number (from 1) and text, without white space around it, of each line that is neither empty nor a
        comment ('#').

    Raises:
        ValueError: The file cannot be read, is no UTF-8 text, or has no such line.
    """
    with reading(file, ': the list cannot be read'):
        text = io.StringIO(read_text(file, 'utf-8-sig'), newline=None)
        lines = [(number, line.strip()) for number, line in enumerate(text, 1)]
    kept = [(number, line) for number, line in lines[skip:] if line and not line.startswith('#')]
    if not kept:
        raise broken(file, ': the list names no files.')
    return kept


def class_of_label(label: str, classes: Sequence[str], label_names: Mapping[int, str], place: str) -> str:
    """Return the class that a label of a list means.

    Args:
        label: Class name, regardless of case, or an integer.
        classes: Class names.
        label_names: Class names of the integers.
        place: 'file:line', for messages.

    Raises:
        ValueError: The label is neither, or an integer without a name.
    """
    by_name = {name.lower(): name for name in classes}
    if label.lower() in by_name:
        return by_name[label.lower()]
    if not re.fullmatch(r'[+-]?[0-9]+', label):
        raise broken(place, f': the label {brief(label)} is none of the classes {quoted(classes)}.')
    if len(label) > 9 or int(label) not in label_names:
        known = f'has only {dict(label_names)}' if label_names else 'is not given'
        told = f'which class is the label {shortened(label, 30)}? label_names {known}; it must say so'
        example = f"label_names={{0: '{classes[0]}', 1: '{classes[1]}'}}"
        raise broken(place, f': {told}, as in {example} or the other way round.')
    return label_names[int(label)]


def inside(root: str, path: str, place: str) -> str:
    """Return ``path`` relative to ``root`` with '/' between folders; raises ValueError if it leads out."""
    path = path.replace('\\', '/')
    relative = os.path.relpath(os.path.join(os.path.abspath(root), path), os.path.abspath(root))
    if relative.split(os.sep)[0] in ('..', '.'):
        raise broken(place, f": '{path}' leads out of the data_root {root}.")
    return relative.replace(os.sep, '/')
