"""Listing labelled data with the data sets that training uses; what they complain about becomes findings."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from fsfm_mm.datasets import AntiSpoofDataset, LabelledDataset, LabelledFaces, NamedForgerySet
from fsfm_mm.datasets.labelled.names import CLASSES, SPLITS, class_of_folder, one_of, quoted
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS
from fsfm_mm.datasets.listing import list_folders
from fsfm_mm.doctor.expected import Expected
from fsfm_mm.doctor.report import Report
from fsfm_mm.doctor.stored import has_archive
from fsfm_mm.preparation.manifest import MANIFEST_FILE, manifest_records
from fsfm_mm.text import few, printable

POSITIVE = 'real'
#: An empty class is a finding, not the end of the listing.
_COMMON: dict[str, Any] = {'classes': CLASSES, 'positive_class': POSITIVE, 'empty_classes': 'warn'}
Builder = Callable[[], LabelledDataset]


def kind_of(root: str, kind: str = 'auto', expect: str | None = None) -> str:
    """Tell from its folders what a data set is.

    Args:
        root: Its folder.
        kind: One of :data:`KINDS`, which is then believed, or 'auto'.
        expect: Name of a published (deepfake) set, if one is expected.

    Raises:
        ValueError: There is no such folder, or it looks like nothing that is known.
    """
    if not os.path.isdir(root):
        raise ValueError(f'{root}: no such folder.')
    if kind != 'auto':
        return kind
    if expect or split_folders(root) or _has_classes(root):
        return 'deepfake'
    if os.path.isdir(os.path.join(root, 'txt')) or os.path.isdir(os.path.join(root, 'frame')):
        return 'antispoof'
    if os.path.isdir(os.path.join(root, 'images')) or has_archive(root):
        return 'pretrain'
    if os.path.isfile(os.path.join(root, MANIFEST_FILE)):
        raise ValueError(f'{root}: is a preparation in which no face was written: {_what_came(root)}.')
    raise ValueError(
        f'{root}: looks like no data set; expected images/ and parsing_maps/, or archive/ (pretraining), '
        '{train,val,test}/{real*,fake*} (deepfake) or txt/ and frame/ (antispoof), found '
        f'{quoted(sorted(os.listdir(root))) or "nothing"}. The folders of a published set need --expect.'
    )


def _what_came(root: str) -> str:
    """The statuses of a manifest, each with its number and a source."""
    sources: dict[str, list[str]] = {}
    for record in manifest_records(Path(root, MANIFEST_FILE)):
        sources.setdefault(record.status, []).append(printable(record.source))
    return '; '.join(f'{len(names)} {status} ({few(names, 3)})' for status, names in sorted(sources.items()))


def split_folders(root: str) -> list[str]:
    """Splits that are folders of ``root`` with class folders in them."""
    return [split for split in SPLITS if _has_classes(os.path.join(root, split))]


def _has_classes(folder: str) -> bool:
    return os.path.isdir(folder) and any(class_of_folder(name, CLASSES) for name in os.listdir(folder))


def list_splits(
    report: Report,
    root: str,
    kind: str,
    splits: Sequence[str] = (),
    expected: Expected | None = None,
    protocol: str | None = None,
    extra: Sequence[str] = (),
) -> dict[str, list[dict]]:
    """List a labelled set, split by split.

    Args:
        report: Where complaints go.
        root: The data set.
        kind: 'deepfake' or 'antispoof'.
        splits: Which splits; empty for all that are there.
        expected: The published set that it should be; needed for the folders of a published set's source.
        protocol: Of anti-spoofing data; by default the folder's name.
        extra: Anti-spoofing domains of single images (CelebA-Spoof).

    Returns:
        Split -> entries ``img_path``, ``class_name``, ``gt_label``, ``video_id``, ``domain``.

    Raises:
        ValueError: There is no split at all.
    """
    entries: dict[str, list[dict]] = {}
    spoofs = kind == 'antispoof'
    builders = (
        _antispoof(root, splits, protocol, extra) if spoofs else _deepfake(report, root, splits, expected)
    )
    for split, build in builders.items():
        with _complaints(report, split):
            dataset = build()
            dataset.full_init()
            entries[split] = [dataset.entry(i) for i in range(len(dataset))]
    return entries


@contextlib.contextmanager
def _complaints(report: Report, split: str) -> Iterator[None]:
    """Findings instead of the reader's log lines and of the error that stops it."""
    logger = MMLogger.get_current_instance()
    others, logger.handlers = logger.handlers, [_Collector(report)]
    try:
        yield
    except ValueError as error:
        message = f"the split '{split}' cannot be listed, so nothing in it was checked: {error}"
        report.add('error', 'unusable split', message)
    finally:
        logger.handlers = others


class _Collector(logging.Handler):
    """Turns what a reader warns of into findings."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self.report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Note one warning."""
        self.report.add('error', 'listing', record.getMessage())


def _deepfake(
    report: Report, root: str, splits: Sequence[str], expected: Expected | None
) -> dict[str, Builder]:
    """The prepared layout where there are class folders, else the published set's own."""
    there = split_folders(root)
    folders = sorted(os.listdir(root)) if there and not splits else []
    others = [name for name in folders if name not in SPLITS and _has_classes(os.path.join(root, name))]
    if others:
        known = ', '.join(SPLITS)
        message = (
            f'{quoted(others)} has class folders, but is none of {known}, so nobody reads it: rename it.'
        )
        report.add('error', 'unknown split', message)
    if not there and _has_classes(root):
        return {'all': functools.partial(LabelledFaces, root, '', **_COMMON)}
    if there or expected is None:
        if not (splits or there):
            raise ValueError(
                f'{root}: no split; expected folders {quoted(SPLITS)} with folders real* and fake* in them, or '
                "the folders of a published set's source together with --expect."
            )
        return {split: functools.partial(LabelledFaces, root, split, **_COMMON) for split in splits or there}
    named = functools.partial(NamedForgerySet, expected.name, root, options=dict(expected.options), **_COMMON)
    of_set = PUBLISHED_SETS[expected.name].splits
    return {split: functools.partial(named, split=split) for split in splits or of_set}


def _antispoof(
    root: str, splits: Sequence[str], protocol: str | None, extra: Sequence[str]
) -> dict[str, Builder]:
    """Train and test of all domains that have lists, or folders where there are no lists."""
    lists, frames = os.path.join(root, 'txt'), os.path.join(root, 'frame')
    with_lists = os.path.isdir(lists)
    if with_lists:
        matches = [re.fullmatch(r'(.+)_(?:real|fake)_(?:train|test|shot)\.txt', f) for f in os.listdir(lists)]
        domains = sorted({match[1] for match in matches if match} - set(extra))
    else:
        domains = sorted(set(list_folders(frames)) - set(extra)) if os.path.isdir(frames) else []
    if not domains:
        raise ValueError(
            f'{root}: no domain; expected lists txt/<domain>_real_train.txt or folders frame/<domain>.'
        )
    protocol = protocol or os.path.basename(os.path.abspath(root))
    one_of('--protocol (by default the name of the folder)', protocol, ('MCIO', 'WCS'))
    return {
        split: functools.partial(
            AntiSpoofDataset,
            root,
            domains,
            split,
            protocol=protocol,
            extra_domains=[] if split == 'test' else list(extra),
            lists=with_lists,
            missing='skip',
            **_COMMON,
        )
        for split in splits or ('train', 'test')
    }
