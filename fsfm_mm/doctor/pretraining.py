"""Checks of pretraining data: pictures, their parsing maps, labels, near-duplicates, the manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from fsfm_mm.datasets.labelled.names import video_of
from fsfm_mm.datasets.pretraining.archive_format import FOLDER
from fsfm_mm.doctor.faces import check_faces
from fsfm_mm.doctor.lookalikes import FLAT, report_lookalikes
from fsfm_mm.doctor.manifest import (
    check_finished,
    check_manifest,
    check_stored_manifest,
)
from fsfm_mm.doctor.report import Report, Sample, Table, number_of
from fsfm_mm.doctor.scanning import FileSource, Scan, Source, scan
from fsfm_mm.doctor.stored import StoredSource, has_archive, open_stored
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, MAP_EXTENSIONS, list_files
from fsfm_mm.preparation.manifest import MANIFEST_FILE, map_limits
from fsfm_mm.regions import FACIAL_REGIONS, LABEL_NAMES, REGION_ORDER

_WHAT_TO_DO = {
    'unreadable picture': ('cannot be read: make them anew or delete them with their maps', 'error'),
    'unreadable face': ('of an archive cannot be read: prepare or pack the set again', 'error'),
    'unusable map': ('cannot be used: make them anew or delete them with their pictures', 'error'),
    'size mismatch': ('differ in size from their pictures: make them anew from the pictures', 'error'),
    'changed file': (
        'are not what the manifest describes: prepare the set again, or delete the manifest',
        'error',
    ),
}


def check_pretraining(
    root: str, workers: int = 0, samples: int = 24, progress: bool = True
) -> tuple[Report, Source]:
    """Check ``root/images`` and ``root/parsing_maps``.

    Args:
        root: The data set.
        workers: Processes that read files; 0 reads in this one.
        samples: Pictures to choose for the page, evenly spread.
        progress: Show a bar on stderr.

    Returns:
        The report, and the source that reads its samples.

    Raises:
        ValueError: There are no pictures at all, or an archive cannot be opened.
    """
    report = Report(root, 'pretrain')
    described = os.path.isfile(os.path.join(root, MANIFEST_FILE))
    source: FileSource | StoredSource
    if has_archive(root) and not os.path.isdir(os.path.join(root, 'images')):
        source = open_stored(root)
        report.facts.append(f'read from {FOLDER}/')
        if described:
            source.sha256 = check_stored_manifest(report, root, len(source.names))
    else:
        source = _list_files(report, root)
        if described:
            source.sha256 = check_manifest(report, root, [f'images/{image}' for image in source.names])
    found = scan(source, workers, progress)
    report.facts.append(f'{number_of(len(source.names), "picture")}, {_with_maps(found)} with a usable map')
    report_problems(report, source, found)
    check_faces(report, root, source, found)
    _check_sizes(report, found)
    _check_labels(report, source, found)
    videos = numbered([video_of(name) for name in source.names])
    report_lookalikes(report, source.names, found, videos, None)
    report.samples = spread_samples(source.names, samples)
    _check_side_files(report, root)
    return report, source


def _list_files(report: Report, root: str) -> FileSource:
    """The pictures in folders, with their maps."""
    folder = os.path.join(root, 'images')
    links: list[str] = []
    images = list_files(folder, IMAGE_EXTENSIONS, links.append) if os.path.isdir(folder) else []
    if not images:
        raise ValueError(f'{folder}: no pictures ({", ".join(IMAGE_EXTENSIONS)}) below it.')
    check_collisions(report, images, 'pictures')
    maps = _paired_maps(report, root, images, links)
    advice = 'lead nowhere, above or to what is listed already, so they are not followed: remove them.'
    report.add_files('error', 'bad link', links, advice, 'link')
    return FileSource(
        images,
        [os.path.join(folder, image) for image in images],
        [maps.get(os.path.splitext(image)[0]) for image in images],
    )


def numbered(names: Sequence[str]) -> np.ndarray:
    """Numbers for names of videos, int64 (N,): the same name, the same number."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], np.int64)


def spread_samples(names: Sequence[str], count: int, among: Sequence[int] | None = None) -> list[Sample]:
    """Choose evenly spread samples, always the same ones."""
    pool = range(len(names)) if among is None else among
    count = min(count, len(pool))
    return [Sample(names[pool[i * len(pool) // count]], pool[i * len(pool) // count]) for i in range(count)]


def report_problems(report: Report, source: Source, found: Scan) -> None:
    """Report files that cannot be used, and pictures of one colour."""
    for check, (advice, level) in _WHAT_TO_DO.items():
        cases = found.of(check)
        one = 'face' if check == 'unreadable face' else 'file'
        report.add_files(level, check, [sentence for _, sentence in cases], f'{advice}.', one)
        shown = not check.startswith('unreadable')
        report.broken += [Sample(f'{check}: {sentence}', i if shown else None) for i, sentence in cases]
    flat = np.flatnonzero((found.sizes[:, 0] > 0) & (found.thumbs.std(axis=1) < FLAT)).tolist()
    one_colour = 'of (nearly) one colour: look at them, they can hardly be faces.'
    report.add_files('warning', 'flat picture', [source.names[i] for i in flat], one_colour)
    report.broken += [Sample(f'flat picture: {source.names[i]}', i) for i in flat]


def check_collisions(report: Report, files: Sequence[str], what: str) -> None:
    """Names that differ in the extension or in upper and lower case only."""
    stems = [os.path.splitext(file)[0] for file in files]
    twice = {stem for stem, count in Counter(stems).items() if count > 1}
    same = [file for file, stem in zip(files, stems) if stem in twice]
    advice = (
        'differ in their extension only, so their maps and results collide, and the readers refuse the set: rename or '
        'delete some.'
    )
    report.add_files('error', 'name collision', same, advice, what, what)
    folded = Counter(stem.casefold() for stem in set(stems))
    alike = [f for f, stem in zip(files, stems) if folded[stem.casefold()] > 1]
    advice = (
        'differ in upper and lower case only: macOS and Windows overwrite one by the other when the set is copied '
        'there; rename some.'
    )
    report.add_files('warning', 'name collision', alike, advice, what, what)


def _paired_maps(report: Report, root: str, images: Sequence[str], links: list[str]) -> dict[str, str]:
    """Stem -> path of its map; links that are not followed are added to ``links``."""
    folder = os.path.join(root, 'parsing_maps')
    if not os.path.isdir(folder):
        report.add(
            'warning',
            'no maps',
            'there is no folder parsing_maps: only strategies without maps (need_maps=False) can use it.',
        )
        return {}
    files = list_files(folder, MAP_EXTENSIONS, links.append)
    check_collisions(report, files, 'maps')
    maps = {os.path.splitext(file)[0]: file for file in files}
    stems = {os.path.splitext(image)[0] for image in images}
    without = [image for image in images if os.path.splitext(image)[0] not in maps]
    advice = "make the maps, delete the pictures, or train with missing_maps='skip'."
    report.add_files(
        'error', 'picture without map', without, f'of {len(images)} without a parsing map: {advice}'
    )
    orphans = [file for file in files if os.path.splitext(file)[0] not in stems]
    advice = 'without a picture: delete them, or find their pictures.'
    report.add_files('warning', 'map without picture', orphans, advice, 'map')
    return {stem: os.path.join(folder, file) for stem, file in maps.items()}


def _with_maps(found: Scan) -> int:
    return int(np.count_nonzero(~np.isnan(found.labels[:, 0])))


def _check_sizes(report: Report, found: Scan) -> None:
    sizes = Counter(map(tuple, found.sizes[found.sizes[:, 0] > 0].tolist()))
    common = sizes.most_common(8)
    rows = tuple((f'{w}x{h}', count) for (h, w), count in common)
    rest = sum(sizes.values()) - sum(count for _, count in common)
    rows += ((f'{len(sizes) - len(common)} other sizes', rest),) if rest else ()
    report.tables.append(Table('sizes', ('width x height', 'pictures'), rows))
    oblong = sum(count for (h, w), count in sizes.items() if h != w)
    if oblong:
        message = f'{number_of(oblong, "picture")} not square: training stretches them; crop squares instead.'
        report.add('warning', 'not square', message)


def _check_labels(report: Report, source: Source, found: Scan) -> None:
    """Statistics of the labels; faces without any facial region."""
    have = np.flatnonzero(~np.isnan(found.labels[:, 0]))
    if not len(have):
        return
    labels, regions = found.labels[have], found.regions[have]
    report.shares = {name: float(s) for name, s in zip(LABEL_NAMES, labels.mean(axis=0))}
    rows = [
        (name, 100 * float(share), int(count), 100 * float(count) / len(have))
        for name, share, count in zip(LABEL_NAMES, labels.mean(axis=0), (labels > 0).sum(axis=0))
    ]
    header = ('label', '% of the pixels', 'faces having it', '% of the faces')
    report.tables.append(Table(f'labels ({len(have)} maps)', header, tuple(rows)))
    rows = [
        (name, 100 * float(share), int(count), 100 * float(count) / len(have))
        for name, share, count in zip(REGION_ORDER, regions.mean(axis=0), (regions > 0).sum(axis=0))
    ]
    header = ('region', '% of the patches', 'faces having it', '% of the faces')
    report.tables.append(Table('regions (a patch can be in several)', header, tuple(rows)))
    empty = have[~(regions[:, : len(FACIAL_REGIONS)] > 0).any(axis=1)].tolist()
    advice = 'they get random masks and no region loss; look whether they are faces.'
    regionless = f'without any facial region in the map: {advice}'
    report.add_files('warning', 'no facial region', [source.names[i] for i in empty], regionless, 'face')
    report.broken += [Sample(f'no facial region: {source.names[i]}', i) for i in empty]
    missing = [
        f'{name} ({len(have) - int(count)})'
        for name, count in zip(LABEL_NAMES, (labels > 0).sum(axis=0))
        if count < len(have)
    ]
    if missing:
        message = f'labels that some maps lack, with the number of such maps: {", ".join(missing)}.'
        report.add(
            'note', 'absent labels', message + ' Few are normal (glasses, hats, bald heads, profiles).'
        )


def _check_side_files(report: Report, root: str) -> None:
    """The statistics for normalising, and what the preparation says of its own maps."""
    if not os.path.isfile(os.path.join(root, 'mean_std.json')):
        message = 'there is no mean_std.json: fsfm-mm stats writes it for the normalisation.'
        report.add('note', 'no statistics', message)
    check_finished(report, root)
    try:
        limits = map_limits(root)
    except ValueError as error:
        report.add('error', 'settings', str(error))
        return
    if limits:
        message = f'the maps are approximate ({limits}).'
        report.add('note', 'approximate maps', message)
