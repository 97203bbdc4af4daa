"""Labelled face crops named in list files: one ``path label`` a line."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.folders import default_domain
from fsfm_mm.datasets.labelled.names import (
    class_of_folder,
    class_of_label,
    inside,
    one_of,
    quoted,
    read_lines,
    refuse_other_class,
    video_of,
)
from fsfm_mm.files.broken import broken
from fsfm_mm.registry import DATASETS
from fsfm_mm.text import brief


@DATASETS.register_module()
class FaceListDataset(LabelledDataset):
    """Face crops from list files: one path and one label a line.

    The label stands after the last tab of a line, else after its last comma or semicolon, else after its last
    space, so that paths may have spaces. Empty lines and lines that begin with '#' are passed over. It is a
    class *name*; an integer counts only with ``label_names``, which says what it means.

    Args:
        ann_file: List file, or several; relative ones are looked for below ``data_root``.
        data_root: Folder to which the paths are relative; none may lead out of it.
        domain: Name of the domain; by default the name of the folder.
        label_names: What integer labels mean: ``{0: 'real', 1: 'fake'}``.
        skip_lines: Lines of a header at the top of each list.
        missing: 'error' when a listed file is not there, or 'skip' to leave such files out with a warning.
        other_folders: 'error' where a file lies in a folder that names another class than its label ('real' of a
            file in 'fake_x'), or 'allow', which believes the list.
        video_by: See :func:`~fsfm_mm.datasets.labelled.names.video_of`. Where a path does not begin with a
            folder of its class, the class name is put before the video's.
        **kwargs: See :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`.

    Raises:
        ValueError: A line is bad (the message names file and line), a path leads out of ``data_root`` or
            is listed twice, its folder names another class than its label, files are missing, or a class is empty.
    """

    def __init__(
        self,
        ann_file: str | Sequence[str],
        data_root: str,
        domain: str | None = None,
        label_names: Mapping[int, str] | None = None,
        skip_lines: int = 0,
        missing: str = 'error',
        other_folders: str = 'error',
        video_by: str = 'name',
        **kwargs: Any,
    ) -> None:
        files = [ann_file] if isinstance(ann_file, (str, os.PathLike)) else list(ann_file)
        self.root = os.fspath(data_root)
        self.ann_files = [os.path.join(self.root, file) for file in files]
        self.domain = domain or default_domain(self.root)
        self.label_names = {int(number): name for number, name in (label_names or {}).items()}
        one_of('missing', missing, ('error', 'skip'))
        one_of('other_folders', other_folders, ('error', 'allow'))
        one_of('video_by', video_by, ('name', 'folder'))
        self.skip_lines, self.missing, self.video_by = skip_lines, missing, video_by
        self.other_folders = other_folders
        super().__init__(**kwargs)

    def source(self) -> str:
        """Return the list files."""
        return ', '.join(self.ann_files)

    def list_entries(self) -> list[dict]:
        """Read the lists; see the class for what is refused."""
        unknown = sorted(set(self.label_names.values()) - set(self.classes))
        if unknown:
            raise ValueError(
                f'label_names has the classes {quoted(unknown)}, but the classes are {quoted(self.classes)}.'
            )
        places: dict[str, str] = {}
        entries = [self._entry(path, label, place, places) for path, label, place in self._rows()]
        return without_missing(entries, self.missing, self.source())

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Path, label and 'file:line' of each line."""
        for file in self.ann_files:
            for number, line in read_lines(file, self.skip_lines):
                place = f'{file}:{number}'
                yield (*split_line(line, place), place)

    def _entry(self, path: str, label: str, place: str, places: dict[str, str]) -> dict:
        relative = inside(self.root, path, place)
        other = places.setdefault(relative, place)
        if other is not place:
            raise broken(place, f": '{relative}' is listed a second time; the first is at {other}.")
        name = class_of_label(label, self.classes, self.label_names, place)
        if self.other_folders == 'error':
            told = f"its label is '{name}'; other_folders='allow' believes the list"
            refuse_other_class(relative, name, self.classes, place, told)
        video = video_of(relative, self.video_by)
        if class_of_folder(video.partition('/')[0], self.classes) != name:
            video = f'{name}/{video}'
        img_path = os.path.join(self.root, relative)
        return {'img_path': img_path, 'class_name': name, 'video_id': video, 'domain': self.domain}


def split_line(line: str, place: str) -> tuple[str, str]:
    """Split a line into path and label; raises ValueError with ``place`` ('file:line') if it has not both."""
    pattern = (
        r'^(.*)\t(.*)$' if '\t' in line else r'^(.*)[,;](.*)$' if re.search('[,;]', line) else r'^(.*)\s(.*)$'
    )
    match = re.match(pattern, line)
    path, label = (part.strip().strip('"\'') for part in match.groups()) if match else ('', '')
    if not path or not label:
        told = f"expected 'path label' (space, tab or comma between), but found {brief(line)}"
        raise broken(place, f': {told}.')
    return path, label


def without_missing(entries: list[dict], missing: str, source: str) -> list[dict]:
    """Apply a policy to listed files that are not there.

    Args:
        entries: Samples with their ``img_path``.
        missing: 'error' or 'skip'.
        source: Where they are listed, for messages.

    Returns:
        The samples whose files are there.

    Raises:
        ValueError: Files are missing and ``missing`` is 'error', or all are.
    """
    gone = [entry['img_path'] for entry in entries if not os.path.isfile(entry['img_path'])]
    if not gone:
        return entries
    above = os.path.commonpath([os.path.dirname(entry['img_path']) for entry in entries])
    names = quoted([os.path.relpath(path, above) for path in gone])
    what = f'{len(gone)} of {len(entries)} listed files are missing: {names}'
    if missing == 'error' or len(gone) == len(entries):
        raise broken(source, f": {what}. missing='skip' leaves them out, unless all are missing.")
    print_log(f'Left out: {broken(source, f": {what}.")}', logger='current', level=logging.WARNING)
    left_out = set(gone)
    return [entry for entry in entries if entry['img_path'] not in left_out]
