"""What a preparation expected of a set, by its own ``prepare.json``, and what is there of it."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fsfm_mm.doctor.expected import Expected, prepared_set
from fsfm_mm.doctor.manifest import read_manifest
from fsfm_mm.doctor.report import Report
from fsfm_mm.files.prepared import SUMMARY_FILE, read_summary
from fsfm_mm.preparation.manifest import MANIFEST_FILE


def check_expected(
    report: Report, root: str, videos: Iterable[tuple[str, str]], splits: Sequence[str] = ()
) -> None:
    """Compare the videos that are in a prepared set with those that its preparation was to find.

    Args:
        report: Where to.
        root: Folder of the preparation.
        videos: Split and class folder of every video that is there.
        splits: The splits that were looked at; empty for all.
    """
    about = read_summary(root)
    rows = [row for row in about.get('expected', ()) if not splits or row['split'] in splits]
    there = Counter(videos)
    for row in rows:
        split, folder, listed = row['split'], row['folder'], row['listed']
        count, place = there[split, folder], f"{folder} of '{split}'"
        wanted = row['there'] if listed is None else listed
        if count < wanted or not count:
            lost = row['there'] - count
            why = f' ({lost} of those that were there gave no sample)' if lost > 0 else ''
            message = (
                f'{count} of {"all" if listed is None and not wanted else wanted} videos in {place}{why}: results do '
                f'not compare with those on the whole set; the names are in {MANIFEST_FILE}.'
            )
            # what was there and shows no face nobody can mend
            report.add('warning' if count and count + lost >= wanted else 'error', 'counts', message)


def check_domain(report: Report, root: str, videos: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """The same of every domain below ``frame`` of an anti-spoofing protocol; reads their manifests, too.

    Args:
        report: Where to.
        root: Folder of the protocol.
        videos: Domain -> split and class folder of each of its listed videos.
    """
    frames = os.path.join(root, 'frame')
    for domain in sorted(os.listdir(frames)) if os.path.isdir(frames) else ():
        place = os.path.join(frames, domain)
        if os.path.isfile(os.path.join(place, SUMMARY_FILE)):
            if os.path.isfile(os.path.join(place, MANIFEST_FILE)):
                read_manifest(report, place, f'{domain}: ')
            check_expected(report, place, videos.get(domain, ()), ('train', 'test'))


def told_set(report: Report, root: str, expected: Expected | None) -> Expected | None:
    """The set that a preparation says it is of, or that is expected; a contradiction is a finding."""
    about = read_summary(root)
    told = prepared_set(about)
    if told is None:
        return expected
    options = ', '.join(f'{key} {value}' for key, value in told.options.items())
    report.facts.append(
        f'prepared from {told.name}{f" ({options})" if options else ""}, as {SUMMARY_FILE} says'
    )
    if expected is None:
        return told
    known = inspect.signature(told.row.rule).parameters
    other = {
        key: value
        for key, value in expected.options.items()
        if key not in known or told.options.get(key, known[key].default) != value
    }
    if told.name != expected.name or other:
        wanted = ', '.join([expected.name, *map(str, other.values())])
        message = (
            f'{SUMMARY_FILE} says {told.name}{f" ({options})" if options else ""}, but {wanted} is expected.'
        )
        report.add('error', 'another set', message)
    return expected
