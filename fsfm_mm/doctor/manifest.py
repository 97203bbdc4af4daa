"""Does the manifest of a prepared set describe the files that are there?"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fsfm_mm.doctor.report import Report, Table, number_of
from fsfm_mm.files.opening import read_lines
from fsfm_mm.files.prepared import SUMMARY_FILE
from fsfm_mm.preparation.manifest import FAILURES, MANIFEST_FILE, STATUSES, FaceRecord
from fsfm_mm.preparation.sources.finding import WORK_FOLDER


class Line(NamedTuple):
    """What the checks need of a record: a tenth of its size, for manifests of millions of lines."""

    status: str
    file: str | None
    map: str | None
    sha256: str | None
    description: str  # of what is not 'ok'


def read_manifest(report: Report, root: str, domain: str = '') -> list[Line]:
    """Read ``root/manifest.jsonl``; lines that are no records, and what became of the others, are reported.

    Args:
        report: Where to.
        root: The data set.
        domain: Of a part of a data set: said before its table and names.
    """
    path = os.path.join(root, MANIFEST_FILE)
    lines, bad = [], []
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = FaceRecord.from_json(line, f'{path}:{number}')
        except ValueError as error:
            bad.append(str(error))
            continue
        told = '' if record.status == 'ok' else domain + _describe(record)
        lines.append(Line(sys.intern(record.status), record.file, record.map, record.sha256, told))
    report.add_files(
        'error', 'manifest', bad, f'of {MANIFEST_FILE} cannot be read: prepare the set again.', 'line'
    )
    _report_statuses(report, lines, domain)
    return lines


def check_manifest(report: Report, root: str, files: Sequence[str]) -> dict[int, str]:
    """Compare the manifest with the files.

    Args:
        report: Where to.
        root: The data set.
        files: Paths of the pictures relative to ``root``, with '/' between folders.

    Returns:
        Number of a picture -> the SHA-256 that it should have.
    """
    records = read_manifest(report, root)
    place = {file: number for number, file in enumerate(files)}
    written = {record.file: record for record in records if record.status == 'ok' and record.file}
    gone = [file for file in written if file not in place]
    lost = f'of {MANIFEST_FILE} not there: prepare the set again.'
    report.add_files('error', 'lost picture', gone, lost)
    maps = [r.map for r in written.values() if r.map and not os.path.isfile(os.path.join(root, r.map))]
    report.add_files('error', 'lost map', maps, lost, 'map')
    unknown = [file for file in place if file not in written]
    report.add_files(
        'warning', 'unknown picture', unknown, f'not in {MANIFEST_FILE}: were they added by hand?'
    )
    return {place[f]: r.sha256 for f, r in written.items() if f in place and r.sha256}


def check_stored_manifest(report: Report, root: str, count: int) -> dict[int, str]:
    """Compare the manifest with an archive, which has ``count`` faces in its order.

    Returns:
        Number of a face -> the SHA-256 that its stored bytes should have; none where the numbers do not fit.
    """
    records = read_manifest(report, root)
    written = [record for record in records if record.status == 'ok']
    if len(written) != count:
        message = (
            f'{MANIFEST_FILE} has {len(written)} faces, but {count} are there: prepare or pack the set again.'
        )
        report.add('error', 'lost picture', message)
        return {}
    return {number: record.sha256 for number, record in enumerate(written) if record.sha256}


def check_finished(report: Report, root: str) -> None:
    """Warn of a preparation that was begun below a folder and not ended: much may be missing."""
    if os.path.isdir(os.path.join(root, WORK_FOLDER)) and not os.path.isfile(
        os.path.join(root, SUMMARY_FILE)
    ):
        message = (
            f'the preparation of {root} is not finished: run its command again, it goes on where it stopped.'
        )
        report.add('warning', 'unfinished', message)


#: Statuses with a finding of their own: level, name of the check, what is said after their number.
_FINDINGS = {
    'missing': (
        'error',
        'missing',
        ('listed source', 'listed sources'),
        'not there when the set was prepared: results do not compare with those on the whole set; get them and prepare '
        'it anew.',
    ),
    'turned': (
        'warning',
        'turned face',
        ('face', 'faces'),
        'on the side or upside down, left out: prepare with --upright, or turn the sources.',
    ),
    'other_person': (
        'note',
        'other person',
        ('frame', 'frames'),
        'in which only others than the chosen person are seen, left out.',
    ),
}


def _report_statuses(report: Report, records: Sequence[Line], domain: str) -> None:
    counts = Counter(record.status for record in records)
    rows = tuple((status, counts[status], STATUSES[status]) for status in STATUSES if counts[status])
    report.tables.append(
        Table(f'{domain}{MANIFEST_FILE} ({len(records)} lines)', ('status', 'count', 'meaning'), rows)
    )
    failures = [record for record in records if record.status in FAILURES]
    if failures:
        message = f'the preparation failed {number_of(len(failures), "time")}: mend or remove these sources.'
        report.add('warning', 'failed sources', message, [record.description for record in failures])
    for status, (level, check, (one, many), told) in _FINDINGS.items():
        named = [record.description for record in records if record.status == status]
        report.add_files(level, check, named, told, one, many)
    rest = [record for record in records if record.status not in ('ok', *FAILURES, *_FINDINGS)]
    described = [record.description for record in rest]
    report.add_files(
        'note', 'no face', described, 'without a face; see the table.', 'source or frame', 'sources or frames'
    )


def _describe(record: FaceRecord) -> str:
    frame = '' if record.frame is None else f', frame {record.frame}'
    return f'{record.source}{frame}: {record.status}{": " + record.message if record.message else ""}'
