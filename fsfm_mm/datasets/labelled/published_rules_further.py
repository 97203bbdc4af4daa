"""Rules of further published deepfake sets: their layouts are those of their documentation, not tried on the sets.

They work as :mod:`fsfm_mm.datasets.labelled.published_rules` says.
"""

from __future__ import annotations

import csv
import glob
import os

from fsfm_mm.datasets.labelled.names import one_of
from fsfm_mm.datasets.labelled.published_rules import (
    Finder,
    SplitNotThereError,
    Video,
    find_videos,
    list_or_all,
    listed_videos,
)
from fsfm_mm.files.broken import broken, reading
from fsfm_mm.text import brief


def ffiw(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """FFIW-10K: source/{train,val,test} real, target/{train,val,test} forged (in crowds: one face of several)."""
    one_of('split', split, ('train', 'val', 'test'))
    if not any(os.path.isdir(os.path.join(root, folder, split)) for folder in ('source', 'target')):
        raise SplitNotThereError(f'{root}: no folders source/{split} and target/{split}.')
    return _folders(root, {f'source/{split}': 'real', f'target/{split}': 'fake'}, find)


def uadfv(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """UADFV: real/0000.mp4 and fake/0000_fake.mp4; all are for testing."""
    one_of('split', split, ('test',))
    return _folders(root, {'real': 'real', 'fake': 'fake'}, find)


def fakeavceleb(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """FakeAVCeleb: {Real,Fake}Video-{Real,Fake}Audio/RACE/GENDER/ID/*.mp4; what is *seen* decides; all for testing."""
    one_of('split', split, ('test',))
    kinds = {
        f'{video}Video-{audio}Audio': video.lower()
        for video in ('Real', 'Fake')
        for audio in ('Real', 'Fake')
    }
    return _folders(root, kinds, find)


def _folders(root: str, folders: dict[str, str], find: Finder) -> list[Video]:
    """The videos of some folders, each of a class."""
    videos = []
    for folder, name in folders.items():
        videos += list_or_all(
            folder, name, [Video(v, name, files) for v, files in find(root, folder).items()]
        )
    return videos


#: Columns of the list of Deepfake-Eval-2024 that say the class of what is seen, the first that is there.
_TRUTH = ('Video Ground Truth', 'Ground Truth')


def deepfake_eval_2024(root: str, split: str, *, find: Finder = find_videos) -> list[Video]:
    """Deepfake-Eval-2024, its videos: video-metadata-publish*.csv (Filename, ground truth, Finetuning Set), video-data.

    Videos whose truth is not known are left out.
    """
    one_of('split', split, ('train', 'test'))
    lists = sorted(glob.glob('video-metadata-publish*.csv', root_dir=root))
    if not lists:
        raise ValueError(f'{root}: no video-metadata-publish.csv, which lists the videos.')
    file = os.path.join(root, lists[0])
    with reading(file, ': is no CSV'), open(file, encoding='utf-8-sig', newline='') as stream:
        rows = list(csv.DictReader(stream))
    columns = list(rows[0]) if rows else []
    truth = next((column for column in _TRUTH if column in columns), None)
    if truth is None or not {'Filename', 'Finetuning Set'} <= set(columns):
        told = f'expected the columns Filename, {_TRUTH[0]} and Finetuning Set, found {brief(columns)}'
        raise broken(file, f': {told}.')
    wanted = []
    for number, row in enumerate(rows, 2):
        label, part = ((row[column] or '').strip().lower() for column in (truth, 'Finetuning Set'))
        if label not in ('real', 'fake', 'unknown') or part not in ('train', 'test', ''):
            told = (
                f'expected Real, Fake or Unknown, and Train or Test, found {brief(row[truth])}, {brief(part)}'
            )
            raise broken(f'{file}:{number}', f': {told}.')
        if label != 'unknown' and part == split:
            wanted.append((f'video-data/{os.path.splitext(row["Filename"])[0]}', label))
    if not wanted:
        raise ValueError(f"{file}: no video has the Finetuning Set '{split}'.")
    return listed_videos(find(root, 'video-data'), wanted)
