"""Faces that a training learns little from, or the wrong thing: turned, blurred, tiny, there twice."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from fsfm_mm.doctor.lookalikes import FLAT
from fsfm_mm.doctor.report import Report
from fsfm_mm.doctor.scanning import DETAIL_SIDE, Scan, Source
from fsfm_mm.preparation.manifest import MANIFEST_FILE, FaceRecord, manifest_records

#: Degrees from upright from which on a face is turned.
TURNED = 45.0
#: Least share of a picture's contrast that is lost where it is reduced to :data:`DETAIL_SIDE` pixels. Measured on crops
#: of 112 and 512 pixels: .13 or more in CelebAMask-HQ, .065 in all but half a per cent of DFDC's real faces; .046 in
#: the middle where they had been 32 pixels wide, .033 where they were blurred by 2% of their side.
BLURRED = 0.05
#: Shorter side in pixels, of a picture or of the face in its source, below which hardly a face is left.
TINY = 32
#: Share of two boxes' common area in their union from which on they are of one face.
SAME_BOX = 0.5


def check_faces(report: Report, root: str, source: Source, found: Scan) -> None:
    """Report turned, blurred, tiny and doubled faces, by pictures and maps and by the manifest where there is one.

    Args:
        report: Where to.
        root: The data set.
        source: What was read.
        found: What reading gave.
    """

    def named(these: np.ndarray) -> list[str]:
        return [source.names[index] for index in np.flatnonzero(these).tolist()]

    turned = named(np.abs(found.rolls) > TURNED)
    rolled = ' by their maps: set upright what lies on its side or upside down, or mend the maps.'
    report.add_files(
        'warning', 'turned face', turned, f'more than {TURNED:.0f} degrees from upright{rolled}', 'face'
    )
    readable = found.sizes[:, 0] > 0
    tiny = readable & (found.sizes.min(axis=1) < TINY)
    blurred = named(readable & ~tiny & (found.details < BLURRED) & (found.thumbs.std(axis=1) >= FLAT))
    advice = f'that show no more than {DETAIL_SIDE} pixels across would: blurred or enlarged; look at them.'
    report.add_files('note', 'blurred face', blurred, advice)
    report.add_files(
        'note', 'tiny face', named(tiny), f'less than {TINY} pixels wide or high: leave them out.'
    )
    path = Path(root, MANIFEST_FILE)
    if path.is_file():
        _check_records(report, path)


def _check_records(report: Report, path: Path) -> None:
    """What the detector's boxes and landmarks say of the faces that were written."""
    turned, tiny = [], []
    places: dict[tuple[int, str, int | None], list[FaceRecord]] = defaultdict(list)
    doubled = []
    try:
        for record in manifest_records(path):
            if record.status != 'ok' or record.box is None:
                continue
            name = record.file or record.source
            left, top, right, bottom = record.box
            if min(right - left, bottom - top) < TINY:
                tiny.append(f'{name}: {right - left:.0f}x{bottom - top:.0f} pixels in {record.source}')
            if record.landmarks is not None and abs(roll_of_landmarks(record.landmarks)) > TURNED:
                turned.append(name)
            others = places[record.root, record.source, record.frame]
            doubled += [f'{name} = {one.file}' for one in others if _overlap(one.box, record.box) > SAME_BOX]
            others.append(record)
    except (ValueError, TypeError):  # a line that is broken, which the checks of the manifest name
        return
    enlarged = f'were less than {TINY} pixels wide or high before they were enlarged: prepare with a larger --min-face.'
    report.add_files('note', 'tiny face', tiny, enlarged, 'face')
    rolled = 'by their landmarks: set upright what lies on its side or upside down, or leave it out.'
    report.add_files(
        'warning', 'turned face', turned, f'more than {TURNED:.0f} degrees from upright {rolled}', 'face'
    )
    report.add_files(
        'warning', 'doubled face', doubled, 'cut out twice from one picture: delete one of each.', 'face'
    )


def roll_of_landmarks(points: list[list[float]]) -> float:
    """Degrees that a face is turned clockwise, -180 to 180, by its five landmarks: eyes, nose, corners of the mouth."""
    eyes, mouth = np.mean(points[:2], axis=0), np.mean(points[3:5], axis=0)
    down = mouth - eyes
    return float(np.degrees(np.arctan2(-down[0], down[1])))


def _overlap(first: list[float] | None, second: list[float]) -> float:
    """Common area of two boxes over that of their union."""
    if first is None:
        return 0.0
    sides = [min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return common / max(sum(areas) - common, 1e-9)
