"""Checks of labelled data: counts, class order, leakage between splits, files."""

from __future__ import annotations

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from fsfm_mm.datasets.labelled.names import class_of_path
from fsfm_mm.doctor.expected import Expected, check_pattern, guess_identity, people_of
from fsfm_mm.doctor.faces import check_faces
from fsfm_mm.doctor.listing import CLASSES, POSITIVE, list_splits
from fsfm_mm.doctor.lookalikes import report_lookalikes
from fsfm_mm.doctor.manifest import check_finished, check_manifest
from fsfm_mm.doctor.preparations import check_domain, check_expected, told_set
from fsfm_mm.doctor.pretraining import (
    check_collisions,
    numbered,
    report_problems,
    spread_samples,
)
from fsfm_mm.doctor.report import Report, Table, number_of
from fsfm_mm.doctor.scanning import FileSource, Scan, Source, scan
from fsfm_mm.doctor.shortcuts import chosen, joined, related, report_shortcuts
from fsfm_mm.preparation.manifest import MANIFEST_FILE
from fsfm_mm.text import few

#: From this ratio of the larger to the smaller class on, the imbalance is worth a note.
IMBALANCE = 3.0
#: Split -> its entries, as the data sets of training list them.
Splits = Mapping[str, Sequence[dict]]


def check_labelled(
    root: str,
    kind: str,
    splits: Sequence[str] = (),
    expected: Expected | None = None,
    identity: str | None = None,
    protocol: str | None = None,
    extra: Sequence[str] = (),
    workers: int = 0,
    samples: int = 24,
    progress: bool = True,
) -> tuple[Report, Source]:
    """Check a labelled set.

    Args:
        root: The data set.
        kind: 'deepfake' or 'antispoof'.
        splits: Which splits; empty for all that are there.
        expected: The published set to compare with.
        identity: Regular expression of a video's own name, each group a person; None takes that of ``expected`` or
            guesses it from the names, '' looks for no persons.
        protocol: Of anti-spoofing data.
        extra: Anti-spoofing domains of single images.
        workers: Processes that read files; 0 reads in this one.
        samples: Pictures to choose for the page, in all.
        progress: Show a bar on stderr.

    Returns:
        The report, and the source that reads its samples.

    Raises:
        ValueError: There is no split at all, or ``identity`` is no such pattern.
    """
    report = Report(root, kind)
    listed = list_splits(report, root, kind, splits, expected, protocol, extra)
    order = ', '.join(f'{label} = {name}' for label, name in enumerate(CLASSES))
    report.facts.append(f'classes: {order} (alphabetical); the score is P({POSITIVE})')
    _count(report, listed)
    asked, expected = expected, told_set(report, root, expected)
    if asked is not None:
        compare_counts(report, listed, asked)
    _compare_prepared(report, root, kind, listed, splits)
    check_videos(report, listed)
    check_folders(report, root, listed)
    videos = [video for entries in listed.values() for video in _videos(entries)]
    # a guess may be wrong, and most publishers share persons between splits; FaceForensics++ does not
    certain = bool(identity) or (expected is not None and expected.name == 'ffpp')
    if identity is None:
        identity = expected.identity if expected else guess_identity(videos)
    if identity:
        check_pattern(identity)
        check_people(report, listed, identity, 'error' if certain else 'warning')
    # also of domains that have no lists yet
    for place in (root, *sorted(glob.glob(os.path.join(glob.escape(root), 'frame', '*')))):
        check_finished(report, place)
    source = _check_files(report, root, listed, identity, workers, samples, progress)
    return report, source


def _compare_prepared(report: Report, root: str, kind: str, listed: Splits, splits: Sequence[str]) -> None:
    """Compare the videos with what the preparation was to find."""
    if kind != 'antispoof':
        videos = [
            (split, _folder(video).partition(': ')[2].partition('/')[0])
            for split, entries in listed.items()
            for video in _videos(entries)
        ]
        check_expected(report, root, videos, splits)
        return
    domains: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for split, entries in listed.items():
        for of_video in _videos(entries).values():
            domains[of_video[0]['domain']].append((split, of_video[0]['class_name']))
    check_domain(report, root, domains)


def _videos(entries: Sequence[dict]) -> dict[str, list[dict]]:
    """Name of each video with its domain -> its frames."""
    videos: dict[str, list[dict]] = defaultdict(list)
    for entry in entries:
        videos[f'{entry["domain"]}: {entry["video_id"]}'].append(entry)
    return videos


def _folder(video: str) -> str:
    """The class folder of a video, with its domain."""
    return video.rpartition('/')[0]


def _count(report: Report, listed: Splits) -> None:
    """Table of pictures, videos and frames; notes an imbalance of the classes."""
    rows = []
    several = len({entry['domain'] for entries in listed.values() for entry in entries}) > 1
    for split, entries in listed.items():
        frames: dict[tuple[str, str], list[int]] = defaultdict(list)
        for video, of_video in _videos(entries).items():
            folder = _folder(video) if several else _folder(video).partition(': ')[2]
            frames[folder, of_video[0]['class_name']].append(len(of_video))
        for (folder, name), counts in sorted(frames.items()):
            span = f'{min(counts)}' if min(counts) == max(counts) else f'{min(counts)} to {max(counts)}'
            rows.append((split, folder, name, sum(counts), len(counts), span))
        classes = Counter(entry['class_name'] for entry in entries)
        low, high = min(classes.values(), default=0), max(classes.values(), default=0)
        if low and high / low >= IMBALANCE:
            shown = ', '.join(f'{classes[name]} {name}' for name in CLASSES)
            message = f"the classes of '{split}' are uneven ({shown}): accuracy says little; balance or weight them."
            report.add('note', 'imbalance', message)
    header = ('split', 'folder', 'class', 'pictures', 'videos', 'frames a video')
    report.tables.append(Table('pictures and videos', header, tuple(rows)))


def compare_counts(report: Report, listed: Splits, expected: Expected) -> None:
    """Compare videos with the published numbers (errors), and frames of a video (notes)."""
    for split, entries in listed.items():
        videos = _videos(entries)
        published = expected.videos(split)
        if published is None:
            report.add(
                'note', 'counts', f"no published number of videos is known for '{split}' of {expected.name}."
            )
        else:
            groups = Counter(_folder(video) if expected.row.count_by else 'all folders' for video in videos)
            for group, count in sorted(groups.items()):
                if count != published:
                    message = (
                        f"{count} videos in {group.partition(': ')[2] or group} of '{split}', but {published} are "
                        'published: results do not compare with published ones; look for what is missing or too much.'
                    )
                    report.add('error', 'counts', message)
            absent = [name for name in expected.row.groups if not any(name in group for group in groups)]
            if absent:
                message = (
                    f"'{split}' has no {few(absent)}: forgotten, or a set of some manipulations only, "
                    'whose results do not compare with those of all.'
                )
                report.add('warning', 'counts', message)
        _compare_frames(report, split, videos, expected)


def _compare_frames(report: Report, split: str, videos: Mapping[str, list[dict]], expected: Expected) -> None:
    for name in CLASSES:
        published = expected.frames(name)
        counts = {v: len(e) for v, e in videos.items() if e[0]['class_name'] == name}
        off = [f'{video}: {count}' for video, count in counts.items() if count != published]
        if published is not None and off:
            message = (
                f"{len(off)} of {len(counts)} {name} videos of '{split}' have other than {published} frames (short "
                'videos and frames without a face have fewer).'
            )
            report.add('note', 'frames', message, off)


def check_videos(report: Report, listed: Splits) -> None:
    """The same video in two splits: an error; pictures of the same name: a warning."""
    videos = {split: _videos(entries) for split, entries in listed.items()}
    for first, second in _pairs(list(listed)):
        shared = [name for name in videos[first] if name in videos[second]]
        real = [n for n in shared if _is_video(videos[first][n]) or _is_video(videos[second][n])]
        both = f"in '{first}' and in '{second}'"
        advice = 'a model would be tested on what it was trained on; take them out of one.'
        report.add_files('error', 'same video', real, f'{both}: {advice}', 'video')
        pictures = [name for name in shared if name not in set(real)]
        advice = 'harmless where the numbering starts anew in each split; see also near-duplicates.'
        report.add_files('warning', 'same name', pictures, f'of the same name {both}: {advice}')


def check_folders(report: Report, root: str, listed: Splits) -> None:
    """Pictures whose innermost folder that names a class names another than their label."""
    for split, entries in listed.items():
        found = []
        for entry in entries:
            path = os.path.relpath(entry['img_path'], root).replace(os.sep, '/')
            folder = class_of_path(path, CLASSES)
            if folder not in (None, entry['class_name']):
                found.append(f'{path}: {entry["class_name"]}, but its folder says {folder}')
        advice = f"of '{split}' have a label that a folder around them contradicts: look which is right."
        report.add_files('warning', 'contradicting folder', found, advice)


def _is_video(frames: Sequence[dict]) -> bool:
    return len(frames) > 1 or '_frame_' in os.path.basename(frames[0]['img_path'])


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]


def check_people(report: Report, listed: Splits, pattern: str, level: str = 'error') -> None:
    """People whose names occur in two splits, by a pattern of the videos' names."""
    people: dict[str, dict[str, str]] = {}
    for split, entries in listed.items():
        people[split] = {}
        for video in _videos(entries):
            # people of two domains may have the same number
            domain = video.partition(': ')[0]
            for person in people_of(video, pattern):
                people[split].setdefault(f'{domain}: {person}', video)
    count = len({person for found in people.values() for person in found})
    report.facts.append(f'{number_of(count, "person", "persons")} named by the videos (pattern {pattern})')
    for first, second in _pairs(list(listed)):
        shared = sorted(set(people[first]) & set(people[second]))
        files = [f'{person}: {people[first][person]} and {people[second][person]}' for person in shared]
        advice = (
            f"in '{first}' and in '{second}' by the videos' names: what is learnt may be the person; split by persons "
            "(or, if the published split is so, --identity '')."
        )
        report.add_files(level, 'same person', files, advice, 'person', 'persons')


def _check_files(
    report: Report,
    root: str,
    listed: Splits,
    identity: str | None,
    workers: int,
    samples: int,
    progress: bool,
) -> Source:
    """Open all files; near-duplicates, shortcuts; samples of every split and class."""
    # DiFF's subsets and lists may name a file twice: it is read once in each split
    entries = [(split, e) for split, found in listed.items() for e in found]
    paths = [entry['img_path'] for _, entry in entries]
    names = [os.path.relpath(path, root) for path in paths]
    for split in listed:
        check_collisions(
            report, [n for n, (s, _) in zip(names, entries) if s == split], f"pictures of '{split}'"
        )
    report.facts.append(
        f'{number_of(len(names), "picture")} in {number_of(len(listed), "split")} ({few(list(listed))})'
    )
    splits = np.array([split for split, _ in entries])
    labels = np.array([entry['gt_label'] for _, entry in entries], np.int64)
    source = FileSource(names, paths, [None] * len(paths), measured=chosen(splits, labels))
    if os.path.isfile(os.path.join(root, MANIFEST_FILE)):
        source.sha256 = check_manifest(report, root, names)
    found = scan(source, workers, progress)
    report_problems(report, source, found)
    check_faces(report, root, source, found)
    owners = numbered([f'{s} {e["domain"]}: {e["class_name"]}: {e["video_id"]}' for s, e in entries])
    alike = report_lookalikes(report, names, found, owners, splits)
    _check_shortcuts(report, found, entries, identity, alike.group)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, (split, entry) in enumerate(entries):
        groups[split, entry['class_name']].append(index)
    for members in groups.values():
        report.samples += spread_samples(names, max(samples // len(groups), 1), members)
    return source


def _check_shortcuts(
    report: Report,
    found: Scan,
    entries: Sequence[tuple[str, dict]],
    identity: str | None,
    alike: np.ndarray,
) -> None:
    """What tells the classes apart without a face; a cross-validation parts no video, no name, no look, no person."""
    measured = sorted(found.properties)
    of_measured = [entries[index][1] for index in measured]
    videos = [f'{entry["domain"]}: {entry["video_id"]}' for entry in of_measured]
    owners = related(videos, [entry['class_name'] == POSITIVE for entry in of_measured])
    owners = [[*of, f'look {alike[index]}'] for of, index in zip(owners, measured)]
    groupings = [joined(owners)]
    if identity:
        people = [[f'person {person}' for person in people_of(video, identity)] for video in videos]
        groupings.insert(0, joined([[*of, *who] for of, who in zip(owners, people)]))
    report_shortcuts(
        report,
        [found.properties[index] for index in measured],
        np.array([entries[index][0] for index in measured]),
        np.array([entry['gt_label'] for entry in of_measured], np.int64),
        groupings,
    )
