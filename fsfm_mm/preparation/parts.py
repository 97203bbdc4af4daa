"""The result of a chunk on disk: a chunk is done when, and only when, this file is there."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.files import write_atomically
from fsfm_mm.preparation.plan import WORK_FOLDER
from fsfm_mm.preparation.records import FaceRecord

_FOLDER = 'chunks'


@dataclass
class Part:
    """What came of a chunk.

    Attributes:
        number: Number of the chunk.
        records: Lines of the manifest.
        counts: int64 (3, 256): how often each value occurs in R, G and B of the written crops.
        seconds: Time of each stage.
    """

    number: int
    records: list[FaceRecord]
    counts: np.ndarray
    seconds: Mapping[str, float]

    def statuses(self) -> Counter[str]:
        """How many records have each status."""
        return Counter(record.status for record in self.records)


def part_path(out: Path, number: int) -> Path:
    """Where the part of a chunk lies."""
    return out / WORK_FOLDER / _FOLDER / f'{number:06d}.jsonl'


def write_part(out: Path, part: Part) -> None:
    """Write a part: a line about the chunk, then its lines of the manifest."""
    head = {'counts': part.counts.tolist(), 'seconds': dict(part.seconds)}
    lines = [json.dumps(head), *(record.to_json() for record in part.records)]
    write_atomically(part_path(out, part.number), encoded('\n'.join(lines) + '\n'), sync=True)


def encoded(text: str) -> bytes:
    r"""JSON as UTF-8; half characters, from file names that are no UTF-8, become JSON's ``\udcXX``."""
    return text.encode('utf-8', 'backslashreplace')


def read_part(out: Path, number: int) -> tuple[dict[str, Any], list[str]]:
    """Read the head of a part and its lines of the manifest, without line ends."""
    head, *lines = part_path(out, number).read_text(encoding='utf-8').split('\n')
    return json.loads(head), lines[:-1]


def parts_done(out: Path) -> set[int]:
    """Numbers of the chunks that are done."""
    folder = out / WORK_FOLDER / _FOLDER
    if not folder.is_dir():
        return set()
    return set(_numbers(os.listdir(folder)))


def _numbers(names: list[str]) -> Iterator[int]:
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending == '.jsonl' and stem.isdigit():
            yield int(stem)
