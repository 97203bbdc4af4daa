"""How well the maps of a set agree with true ones: intersection over union of each label."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fsfm_mm.doctor.report import Report, Table, number_of
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, MAP_EXTENSIONS, by_stem, list_files
from fsfm_mm.files.pictures import BrokenSampleError, read_image, read_parsing_map
from fsfm_mm.files.prepared import read_summary
from fsfm_mm.ops.resizing import resize_labels
from fsfm_mm.preparation.manifest import MANIFEST_FILE, manifest_records
from fsfm_mm.preparation.parsers.label_maps import label_table
from fsfm_mm.preparation.parsers.stored import fitted, refuse_lapa, shown
from fsfm_mm.regions import LABEL_NAMES, NUM_LABELS

#: Label sets that true maps can have.
LABEL_SETS = ('lapa', 'celebamask')
#: Side of the patches in pixels.
PATCH = 16

Square = tuple[int, int, int, int]


def report_agreement(report: Report, truth: str, labels: str = 'lapa') -> None:
    """Compare ``parsing_maps`` of a set with true maps and add a table to its report.

    Pixels, and patches that hold a label anywhere, are counted over all faces together. The true map of a prepared
    face has the name of the picture that it was cut from, and what was cut out is cut out of it, too; in another set
    it has the name of the face and shows the same.

    Args:
        report: Of the set.
        truth: Folder of true maps: ``.npy`` or palette or grey ``.png``.
        labels: What their numbers mean, one of :data:`LABEL_SETS`: the 11 of this package, or CelebAMask-HQ's 19 in its
            own order.

    Raises:
        ValueError: No face has a true map, the set has no folders of maps, or the maps are of another label set.
    """
    table = label_table(labels)
    true_maps = by_stem(list_files(truth, MAP_EXTENSIONS, _passed_over(report)), truth)
    counts = np.zeros((4, NUM_LABELS), np.int64)
    having = np.zeros(NUM_LABELS, np.int64)
    missing, broken, highest, compared = [], [], 0, 0
    for name, map_path, key, square, quarters, picture in _faces(report):
        if key not in true_maps:
            missing.append(name)
            continue
        path = os.path.join(truth, true_maps[key])
        try:
            found = read_parsing_map(map_path)
            classes = read_parsing_map(path, num_labels=len(table.targets))
            highest = max(highest, int(classes.max()))
            true = resize_labels(
                _shown(table(classes), path, square, quarters, picture, found.shape), found.shape
            )
        except BrokenSampleError as error:
            broken.append(str(error))
            continue
        counts += _overlaps(found, true)
        having += np.isin(np.arange(NUM_LABELS), true)
        compared += 1
    if broken:
        report.add_files('error', 'agreement', broken, f'of {truth} cannot be compared.', 'map')
    if missing:
        report.add_files('warning', 'agreement', missing, f'without a true map in {truth}: not compared.')
    if not compared:
        raise ValueError(
            f'{truth}: no true map could be compared with a face of {report.root} (--labels {labels}){_first(broken)}.'
        )
    refuse_lapa(truth, labels, highest)
    report.tables.append(_table(counts, having, compared, truth))


def _faces(report: Report) -> Iterator[tuple[str, str, str, Square | None, int, str | None]]:
    """Of each face: name, map, name of the true map without ending, square, quarters turned before, picture."""
    root = report.root
    if os.path.isfile(os.path.join(root, MANIFEST_FILE)):
        sources = read_summary(root).get('sources', [])
        for record in manifest_records(Path(root, MANIFEST_FILE)):
            if record.status != 'ok':
                continue
            if record.map is None or record.square is None or record.root >= len(sources):
                raise ValueError(
                    f'{root}: only faces in folders, with maps and cut as squares, can be compared.'
                )
            place = sources[record.root]
            picture = place if os.path.isfile(place) else os.path.join(place, record.source)
            left, top, right, bottom = record.square
            key = os.path.splitext(record.source)[0]
            map_path = os.path.join(root, record.map)
            quarters = (record.turned or 0) // 90
            yield record.file or record.source, map_path, key, (left, top, right, bottom), quarters, picture
        return
    maps = os.path.join(root, 'parsing_maps')
    if not os.path.isdir(maps):
        raise ValueError(f'{root}: no folder parsing_maps: only maps in folders can be compared.')
    pictures = list_files(os.path.join(root, 'images'), IMAGE_EXTENSIONS, _passed_over(report))
    stems = by_stem(pictures, root)
    for stem, file in by_stem(list_files(maps, MAP_EXTENSIONS, _passed_over(report)), maps).items():
        if stem in stems:
            yield stems[stem], os.path.join(maps, file), stem, None, 0, None


def _passed_over(report: Report) -> Callable[[str], None]:
    return lambda link: report.add('warning', 'agreement', link)


def _shown(
    true: np.ndarray,
    path: str,
    square: Square | None,
    quarters: int,
    picture: str | None,
    size: tuple[int, ...],
) -> np.ndarray:
    """The part of a true map that a crop shows.

    Raises:
        BrokenSampleError: The map has another shape than its picture, which may also be gone.
    """
    if square is None or picture is None:
        height, width = true.shape
        if abs(width * size[0] - height * size[1]) > max(width * size[0], height * size[1]) / 100:
            raise BrokenSampleError(
                f'{path}: {width}x{height}, a map of {size[1]}x{size[0]} does not show the same.'
            )
        return true
    return shown(fitted(true, path, read_image(picture).shape[:2], picture), square, quarters)


def _overlaps(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pixels in both and in either, patches in both and in either: int64 (4, 11)."""
    bits = [np.left_shift(np.uint16(1), labels.astype(np.uint16)) for labels in (found, true)]
    sets = [*bits, *map(_patch_sets, bits)]
    kinds = (sets[0] & sets[1], sets[0] | sets[1], sets[2] & sets[3], sets[2] | sets[3])
    return np.array([[np.count_nonzero(kind >> k & 1) for k in range(NUM_LABELS)] for kind in kinds])


def _patch_sets(bits: np.ndarray) -> np.ndarray:
    """Labels in each patch, those at the right and lower edge may be smaller."""
    rows, columns = (np.arange(0, length, PATCH) for length in bits.shape)
    return np.bitwise_or.reduceat(np.bitwise_or.reduceat(bits, rows, 0), columns, 1)


def _table(counts: np.ndarray, having: np.ndarray, compared: int, truth: str) -> Table:
    both = counts[::2].astype(float)
    either = counts[1::2]
    shares = np.divide(both, either, out=np.full(both.shape, np.nan), where=either > 0)
    rows = [
        (name, *(_percent(shares[kind, k]) for kind in (0, 1)), int(having[k]))
        for k, name in enumerate(LABEL_NAMES)
    ]
    rows.append(('mean', *(_percent(np.nanmean(kind)) for kind in shares), compared))
    title = f'intersection over union with {truth}, % ({number_of(compared, "face")})'
    return Table(title, ('label', 'pixels', f'patches of {PATCH}', 'faces having it'), tuple(rows))


def _percent(share: float) -> float | str:
    return '-' if np.isnan(share) else round(100 * float(share), 2)


def _first(broken: list[str]) -> str:
    return f'; the first: {broken[0].rstrip(".")}' if broken else ''
