"""Which videos of the published deepfake sets belong to which split and class.

Each rule is a function of a folder of *extracted frames* that keeps the source's folders: the frames of
``dir/name.mp4`` are ``dir/name_frame_{i}.png`` or ``dir/name/{i}.png``, and a folder ``videos`` of the source may be
called ``frames``, ``faces``, ``images`` or ``crops``. The split files lie where the source has them. A rule returns
a class for each video (:class:`Video`); see the table in :mod:`fsfm_mm.datasets.labelled.published_sets`.

With ``find=find_originals`` the same rules work on the *source itself*, and ``Video.frames`` is the one video file.

What a split file names is listed though it is not there, without files. Where there is no such list, a folder of the
set in which nothing is found is listed as ``FOLDER/*``, so that no class and no manipulation vanishes unsaid.
"""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fsfm_mm.datasets.labelled.names import CLASSES, class_of_label, one_of, quoted, read_lines, video_of
from fsfm_mm.datasets.listing import list_samples
from fsfm_mm.files.archives import TAR_EXTENSIONS, members
from fsfm_mm.files.broken import broken, parse_json, reading
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from fsfm_mm.files.opening import MAX_TEXT, read_bytes
from fsfm_mm.text import brief

#: The manipulations of FaceForensics++ that the published protocols use.
MANIPULATIONS = ('Deepfakes', 'Face2Face', 'FaceSwap', 'NeuralTextures')
#: All that can be asked for; the fifth came later.
ALL_MANIPULATIONS = (*MANIPULATIONS, 'FaceShifter')
#: Subsets of DiFF: text to image, image to image, face swapping, face editing.
DIFF_SUBSETS = ('T2I', 'I2I', 'FS', 'FE')
#: Folders beside extracted frames whose pictures are no frames.
_NO_FRAMES = ('masks', 'landmarks')
#: Names of the folder that stands for the source's 'videos'.
_FRAME_FOLDERS = ('videos', 'frames', 'faces', 'images', 'crops')


@dataclass(frozen=True)
class Video:
    """A video of a set, or ``FOLDER/*`` for all that should be in a folder and is not.

    Args:
        name: Its path relative to the data root, without extension, '/' between folders.
        class_name: 'real' or 'fake'.
        frames: Paths of its frames (or of the video file itself), relative to the data root; empty where
            there are none.
    """

    name: str
    class_name: str
    frames: tuple[str, ...]


#: Finds the videos below a folder: function (data root, folder in it) -> path of a video without 'videos' -> files.
Finder = Callable[[str, str], dict[str, tuple[str, ...]]]


class SplitNotThereError(ValueError):
    """A split that is distributed by itself is not in the folder of a set."""


def _plain(video: str) -> str:
    """A video's path without the folder that stands for 'videos', which may have another name."""
    return '/'.join(part for part in video.split('/') if part not in _FRAME_FOLDERS)


def _paths(root: str, folder: str, extensions: tuple[str, ...], expected: str) -> list[str]:
    """Files below a folder of a set, relative to ``root``; raises ValueError where the folder is missing."""
    base = os.path.join(root, folder)
    if not os.path.isdir(base):
        raise ValueError(f'{base}: no such folder; expected {expected}.')
    return [f'{folder}/{file}' if folder else file for file in list_samples(base, extensions)]


def find_originals(root: str, folder: str) -> dict[str, tuple[str, ...]]:
    """Find the video files below a folder or, where there are none, extracted frames as :func:`find_videos` does."""
    found: dict[str, tuple[str, ...]] = {}
    paths = _paths(
        root, folder, VIDEO_EXTENSIONS, 'the videos of the set, or frames extracted from them, there'
    )
    for path in paths:
        name = _plain(os.path.splitext(path)[0])
        if name in found:
            raise ValueError(f'{root}: {found[name][0]} and {path} are one video by name: remove one.')
        found[name] = (path,)
    return found or find_videos(root, folder)


def find_videos(root: str, folder: str) -> dict[str, tuple[str, ...]]:
    """Find the extracted videos below a folder.

    Args:
        root: The data root.
        folder: A folder in it, '' for all.

    Returns:
        Path of each video relative to ``root``, without the folder that stands for 'videos' -> its frames.

    Raises:
        ValueError: The folder is missing.
    """
    videos: dict[str, list[str]] = {}
    expected = 'the frames extracted from the videos of that folder'
    for path in _paths(root, folder, IMAGE_EXTENSIONS, expected):
        if not set(_NO_FRAMES) & set(path.split('/')[:-1]):
            by = 'name' if '_frame_' in os.path.basename(path) else 'folder'
            videos.setdefault(_plain(video_of(path, by)), []).append(path)
    return {name: tuple(frames) for name, frames in videos.items()}


def list_or_all(folder: str, class_name: str, videos: list[Video]) -> list[Video]:
    """The videos of a folder, or one that stands for all of them where there are none."""
    return videos or [Video(f'{folder}/*', class_name, ())]


def listed_videos(found: dict[str, tuple[str, ...]], wanted: Iterable[tuple[str, str]]) -> list[Video]:
    """Videos that a split file names; without frames where none were found."""
    return [Video(name, class_name, found.get(_plain(name), ())) for name, class_name in wanted]


def _read_json(root: str, names: Iterable[str]) -> tuple[str, Any]:
    """The first of several files that exists, decoded; raises ValueError that names them all."""
    paths = [os.path.join(root, name) for name in names]
    for path in paths:
        if os.path.isfile(path):
            with reading(path, ': the list cannot be read'):
                data = read_bytes(path, MAX_TEXT)
            return path, parse_json(data, path, None)
    raise ValueError(f'No split file found; expected one of {", ".join(paths)}.')


def ffpp(
    root: str,
    split: str,
    compression: str = 'c23',
    manipulations: str | Iterable[str] = MANIPULATIONS,
    *,
    find: Finder = find_videos,
) -> list[Video]:
    """FaceForensics++: splits/{split}.json has pairs; the first three digits of a name decide."""
    one_of('compression', compression, ('raw', 'c0', 'c23', 'c40'))
    chosen = [manipulations] if isinstance(manipulations, str) else list(manipulations)
    for name in chosen:
        one_of('manipulations', name, ALL_MANIPULATIONS)
    path, pairs = _read_json(root, [f'dataset/splits/{split}.json', f'splits/{split}.json', f'{split}.json'])
    listed = pairs if isinstance(pairs, list) else []
    singles = [name for pair in listed for name in (pair if isinstance(pair, list) else [pair])]
    if not singles or not all(isinstance(name, str) and re.fullmatch('[0-9]{3}', name) for name in singles):
        raise broken(path, ": expected pairs of three-digit video names, such as [['000', '003'], ...].")
    ids = set(singles)
    of_two = [pair for pair in listed if isinstance(pair, list) and len(pair) == 2]
    names = {'real': list(dict.fromkeys(singles))}
    names['fake'] = [f'{a}_{b}' for pair in of_two for a, b in (pair, pair[::-1])]
    folders = {f'original_sequences/youtube/{compression}': 'real'}
    folders |= {f'manipulated_sequences/{name}/{compression}': 'fake' for name in chosen}
    videos = []
    for folder, class_name in folders.items():
        found = find(root, folder)
        videos += [
            Video(v, class_name, frames) for v, frames in found.items() if v.rpartition('/')[2][:3] in ids
        ]
        wanted = (f'{folder}/{name}' for name in names[class_name])
        videos += [Video(video, class_name, ()) for video in wanted if video not in found]
    return videos


def dfd(root: str, split: str, compression: str = 'c23', *, find: Finder = find_videos) -> list[Video]:
    """DeepFakeDetection (Google): all videos are for testing."""
    one_of('split', split, ('test',))
    folders = {
        f'original_sequences/actors/{compression}': 'real',
        f'manipulated_sequences/DeepFakeDetection/{compression}': 'fake',
    }
    videos = []
    for folder, name in folders.items():
        videos += list_or_all(
            folder, name, [Video(v, name, frames) for v, frames in find(root, folder).items()]
        )
    return videos


def celebdf(root: str, split: str, youtube_real: bool = True, *, find: Finder = find_videos) -> list[Video]:
    """Celeb-DF: List_of_testing_videos.txt has '1 path' for real ones; the others are for training."""
    one_of('split', split, ('train', 'test'))
    classes = {'Celeb-real': 'real', 'YouTube-real': 'real', 'Celeb-synthesis': 'fake'}
    folders = [folder for folder in classes if youtube_real or folder != 'YouTube-real']
    listed = _celebdf_list(os.path.join(root, 'List_of_testing_videos.txt'), classes)
    found = {folder: find(root, folder) for folder in folders}
    if split == 'test':
        everything = {video: frames for videos in found.values() for video, frames in videos.items()}
        return listed_videos(everything, [(v, classes[_top(v)]) for v in listed if _top(v) in folders])
    tested = {_plain(video) for video in listed}
    videos = []
    for folder, of_folder in found.items():
        name = classes[folder]
        rest = [Video(v, name, frames) for v, frames in of_folder.items() if v not in tested]
        videos += list_or_all(folder, name, rest)
    return videos


def _top(video: str) -> str:
    return video.partition('/')[0]


def _celebdf_list(file: str, classes: dict[str, str]) -> list[str]:
    """Videos of the test list; its labels must agree with the folders."""
    videos = []
    for number, line in read_lines(file):
        label, path = (line.split(maxsplit=1) + [''])[:2]
        if label not in ('0', '1') or _top(path) not in classes:
            told = f"expected '1 Celeb-real/NAME.mp4' or '0 Celeb-synthesis/NAME.mp4', found {brief(line)}"
            raise broken(f'{file}:{number}', f': {told}.')
        if (label == '1') != (classes[_top(path)] == 'real'):
            told = f'1 is real and 0 fake, which contradicts the folder in {brief(line)}'
            raise broken(f'{file}:{number}', f': {told}.')
        videos.append(os.path.splitext(path)[0])
    return videos


def dfdc(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """DFDC: test: labels.csv has filename,label (1 is fake), frames anywhere below the root; train: Kaggle's parts."""
    one_of('split', split, ('train', 'test'))
    if split == 'train':
        return _dfdc_parts(root, find)
    file = os.path.join(root, 'labels.csv')
    if not os.path.isfile(file):
        raise SplitNotThereError(f'{file}: no such list (filename,label) of the test videos.')
    lines = read_lines(file)
    with reading(file, ': is no CSV'):
        rows = [(number, next(csv.reader([line]))) for number, line in lines]
    if rows[0][1][:2] != ['filename', 'label']:
        told = f"expected the header 'filename,label', found {brief(rows[0][1])}"
        raise broken(f'{file}:{rows[0][0]}', f': {told}.')
    wanted = []
    for number, row in rows[1:]:
        if len(row) < 2 or not row[0]:
            raise broken(f'{file}:{number}', f': expected filename,label, found {brief(",".join(row))}.')
        name = class_of_label(row[1].strip(), CLASSES, {0: 'real', 1: 'fake'}, f'{file}:{number}')
        wanted.append((os.path.splitext(row[0].strip())[0], name))
    found: dict[str, tuple[str, ...]] = {}
    for video, frames in find(root, '').items():
        stem = video.rpartition('/')[2]
        if stem in found:
            raise ValueError(f"{root}: two videos are named '{stem}' ({frames[0]}, {found[stem][0]}).")
        found[stem] = frames
    return listed_videos(found, wanted)


def _dfdc_parts(root: str, find: Finder) -> list[Video]:
    """Kaggle's training parts: {part}/metadata.json has {file: {label: REAL or FAKE, split, original}}."""
    files = [
        file for depth in ('', '*/', '*/*/') for file in glob.glob(f'{depth}metadata.json', root_dir=root)
    ]
    videos = []
    for file in sorted(files):
        path, table = _read_json(root, [file])
        wanted = []
        for name, about in table.items() if isinstance(table, dict) else ():
            label = about.get('label') if isinstance(about, dict) else None
            if label not in ('REAL', 'FAKE'):
                told = f"expected {{'label': 'REAL' or 'FAKE', ...}} for {brief(name)}, found {brief(about)}"
                raise broken(path, f': {told}.')
            if about.get('split', 'train') == 'train':
                stem = os.path.splitext(name)[0]
                wanted.append((os.path.join(os.path.dirname(file), stem), label.lower()))
        videos += listed_videos(find(root, os.path.dirname(file)), wanted)
    if not videos:
        raise SplitNotThereError(f'{root}: no training part; expected dfdc_train_part_N/metadata.json.')
    return videos


def dfdc_preview(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """DFDC preview: dataset.json has {path: {label, set}}."""
    one_of('split', split, ('train', 'test'))
    file, table = _read_json(root, ['dataset.json'])
    wanted = []
    for path, about in table.items() if isinstance(table, dict) else ():
        label = about.get('label') if isinstance(about, dict) else None
        if not isinstance(label, str) or label not in CLASSES or 'set' not in about:
            told = (
                f"expected {{'label': 'real' or 'fake', 'set': ...}} for {brief(path)}, found {brief(about)}"
            )
            raise broken(file, f': {told}.')
        if about['set'] == split:
            wanted.append((os.path.splitext(path)[0], label))
    if not wanted:
        raise ValueError(f"{file}: no video has the set '{split}'.")
    return listed_videos(find(root, ''), wanted)


def find_pictures(root: str, folder: str) -> dict[str, tuple[str, ...]]:
    """Find pictures in a folder for each video: path of that folder -> its pictures; errors as of the others."""
    videos: dict[str, list[str]] = {}
    expected = 'a folder with face pictures for each video'
    for path in _paths(root, folder, IMAGE_EXTENSIONS, expected):
        videos.setdefault(video_of(path, 'folder'), []).append(path)
    return {name: tuple(pictures) for name, pictures in videos.items()}


def find_packed_pictures(root: str, folder: str) -> dict[str, tuple[str, ...]]:
    """As :func:`find_pictures`, and the pictures in the tar archives there, as they are named once unpacked.

    A picture in an archive is ``ARCHIVE/PATH IN IT``, see :mod:`fsfm_mm.files.archives`.
    """
    found = find_pictures(root, folder)
    for path in _paths(root, folder, TAR_EXTENSIONS, 'tar archives'):
        videos: dict[str, list[str]] = {}
        for member in members(os.path.join(root, path)):
            if member.lower().endswith(IMAGE_EXTENSIONS):
                videos.setdefault(_unpacked(path, member), []).append(f'{path}/{member}')
        for video, pictures in videos.items():
            if video in found:
                raise ValueError(f'{root}: {path} is unpacked beside it ({found[video][0]}): move one away.')
            found[video] = tuple(pictures)
    return found


def _unpacked(archive: str, member: str) -> str:
    """Folder of a picture where its archive is unpacked: archives hold their number as their first folder."""
    folder, number = os.path.dirname(archive), os.path.basename(archive).partition('.')[0]
    inside = os.path.dirname(member)
    return (
        f'{folder}/{inside}' if inside.split('/')[0] == number else f'{folder}/{number}/{inside}'.rstrip('/')
    )


def wilddeepfake(root: str, split: str, *, find: Finder = find_pictures) -> list[Video]:
    """WildDeepfake: real_test, fake_test ... with a folder of face images for each video."""
    one_of('split', split, ('train', 'test'))
    videos = []
    for name in CLASSES:
        folder = f'{name}_{split}'
        found = [Video(video, name, frames) for video, frames in find(root, folder).items()]
        videos += list_or_all(folder, name, found)
    return videos


def diff(root: str, split: str, subsets: str | Iterable[str] = DIFF_SUBSETS) -> list[Video]:
    """DiFF: every image stands for itself; the same real images serve all four subsets."""
    one_of('split', split, ('val', 'test'))
    chosen = [subsets] if isinstance(subsets, str) else list(subsets)
    for name in chosen:
        one_of('subsets', name, DIFF_SUBSETS)
    if not chosen:
        raise ValueError(f'subsets must name some of {quoted(DIFF_SUBSETS)}, but is empty.')
    folders = {f'DiFF_real/{split}': 'real'} | {f'{split}/{name}': 'fake' for name in chosen}
    videos = []
    for folder, class_name in folders.items():
        pictures = _paths(root, folder, IMAGE_EXTENSIONS, 'images of DiFF there')
        found = [Video(os.path.splitext(path)[0], class_name, (path,)) for path in pictures]
        videos += list_or_all(folder, class_name, found)
    return videos
