"""The end of a run: whoever finds all parts there joins them, once, and tidies up."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from filelock import FileLock

from fsfm_mm.files import replacing, write_atomically
from fsfm_mm.preparation.parts import encoded, part_path, parts_done, read_part
from fsfm_mm.preparation.plan import WORK_FOLDER, Plan, is_complete
from fsfm_mm.preparation.records import FaceRecord
from fsfm_mm.preparation.sources import SUMMARY_FILE
from fsfm_mm.preparation.writers.base import FaceWriter
from fsfm_mm.statistics import statistics

MANIFEST_FILE = 'manifest.jsonl'
STATISTICS_FILE = 'mean_std.json'
#: What a killed process leaves of a file, see ``fsfm_mm.files.replacing``.
_LEFTOVER = re.compile(r'\..*\.\d+\.part')


class ManifestRecords(Sequence[FaceRecord]):
    """The records of a manifest, read from the file as they are asked for: millions need no memory.

    Args:
        path: The manifest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with open(path, 'rb') as file:
            lengths = [len(line) for line in file]
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[FaceRecord]:
        with open(self._path, encoding='utf-8', newline='\n') as file:
            for number, line in enumerate(file, 1):
                yield FaceRecord.from_json(line, f'{self._path}:{number}')

    @overload
    def __getitem__(self, index: int) -> FaceRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[FaceRecord]: ...

    def __getitem__(self, index: int | slice) -> FaceRecord | list[FaceRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        with open(self._path, 'rb') as file:
            file.seek(int(self._starts[index]))
            return FaceRecord.from_json(file.readline().decode(), f'{self._path}:{index + 1}')


def finish(out: Path, plan: Plan, writer: FaceWriter, approximate: bool) -> bool:
    """Join the parts when all are there; any number of processes may try, at any time.

    Args:
        out: Folder of the output.
        plan: The run.
        writer: Its writer.
        approximate: Whether the maps are only roughly right.

    Returns:
        Whether the run is complete now.

    Raises:
        OSError: The disk refuses.
    """
    if not is_complete(out):
        if parts_done(out) < set(range(len(plan.chunks))):
            return False
        try:
            with FileLock(out / WORK_FOLDER / 'finish.lock'):
                if not is_complete(out):
                    _join(out, plan, writer, approximate)
        except FileNotFoundError:  # another process has finished and tidied up in the meantime
            if not is_complete(out):
                raise
    shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)
    return True


def _join(out: Path, plan: Plan, writer: FaceWriter, approximate: bool) -> None:
    _remove_leftovers(out)
    counts = np.zeros((3, 256), np.int64)
    statuses: Counter[str] = Counter()
    with replacing(out / MANIFEST_FILE) as file, open(file, 'wb') as manifest:
        for chunk in plan.chunks:
            head, lines = read_part(out, chunk.number)
            counts += np.array(head['counts'], np.int64)
            for line in lines:
                statuses[FaceRecord.from_json(line, str(part_path(out, chunk.number))).status] += 1
                manifest.write(encoded(line + '\n'))
    writer.finish(out, len(plan.chunks), ManifestRecords(out / MANIFEST_FILE))
    if statuses['ok'] and plan.about['size']:  # of crops as the model will see them
        content = statistics(counts, statuses['ok'], plan.about['size'], 'bicubic', [])
        write_atomically(out / STATISTICS_FILE, json.dumps(content, indent=2) + '\n', sync=True)
    about = {
        **plan.about,
        'approximate_maps': approximate,
        'statuses': dict(sorted(statuses.items())),
    }
    write_atomically(out / SUMMARY_FILE, json.dumps(about, indent=2) + '\n', sync=True)


def _remove_leftovers(out: Path) -> None:
    """Remove what killed processes left half written; nobody writes any more when all parts are there."""
    for folder, _, names in os.walk(out):
        for name in names:
            if _LEFTOVER.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)  # another share may be at it, too
