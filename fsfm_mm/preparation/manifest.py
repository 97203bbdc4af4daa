"""The manifest, one line a face or source, and the parts it is joined from: one file for each chunk that is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fsfm_mm.files import write_atomically
from fsfm_mm.files.broken import broken, check_kinds, parse_json, reading
from fsfm_mm.files.opening import read_lines
from fsfm_mm.files.prepared import read_summary
from fsfm_mm.preparation.sources.finding import WORK_FOLDER
from fsfm_mm.text import brief

MANIFEST_FILE = 'manifest.jsonl'
#: What can become of a source, a frame or a face; all but 'ok' leave no file behind.
STATUSES = {
    'ok': 'written',
    'missing': 'a listed source is not there',
    'no_face': 'no face was found',
    'other_person': 'only others than the chosen person are seen',
    'turned': 'the face lies on its side or upside down (--upright turns it)',
    'short': 'the video has fewer frames than the protocol needs',
    'small': 'the face is smaller than wished',
    'unparsed': 'the parser gave no map (landmarks missing)',
    'unreadable': 'the file, or this frame of it, cannot be read',
    'crashed': 'the process that worked on the file died or hung',
    'unwritable': 'the result could not be written',
}
#: Those that make the exit code say "not everything was well".
FAILURES = ('unreadable', 'crashed', 'unwritable')


@dataclass
class FaceRecord:
    """One line of ``manifest.jsonl``.

    Attributes:
        source: Path of the picture or video relative to its root, with '/' between folders.
        root: Number of the root among the sources of the command, from 0.
        status: One of :data:`STATUSES`.
        message: What exactly is wrong; '' when ok.
        frame: Number of the frame in a video, from 0; None for a picture or for a whole file.
        face: Number of the face in its frame, 0 for the first chosen, or in a video its track; None without one.
        score: Confidence of the detector; None without a face.
        box: The detector's box: left, top, right, bottom, floats, pixels of the picture.
        square: What was cut out: left, top, right, bottom, whole pixels; None for chips aligned by the landmarks.
        landmarks: Five points [x, y] in pixels of the picture, see ``Face``; None where the detector gives none.
        labels: Share of the crop's pixels with each label, by name of the label; None without a map.
        file: Path of the image relative to the output, or its key in the archive.
        map: Path of the map relative to the output; None where it has none.
        sha256: SHA-256 of the written image's bytes (raw: of its pixels).
        turned: Degrees, 90, 180 or 270, by which the picture was turned clockwise to set the face upright; all places
            are in pixels of the turned picture. None, and not written, where it was not turned.
    """

    source: str
    root: int = 0
    status: str = 'ok'
    message: str = ''
    frame: int | None = None
    face: int | None = None
    score: float | None = None
    box: list[float] | None = None
    square: list[int] | None = None
    landmarks: list[list[float]] | None = None
    labels: dict[str, float] | None = None
    file: str | None = None
    map: str | None = None
    sha256: str | None = None
    turned: int | None = None

    def to_json(self) -> str:
        """One line of JSON without a line end, the same text for the same record."""
        content = asdict(self)
        if self.turned is None:
            del content['turned']
        return json.dumps(content, ensure_ascii=False, separators=(', ', ': '))

    @classmethod
    def from_json(cls, line: str | bytes, where: str) -> FaceRecord:
        """Read a line of a manifest.

        Args:
            line: The line.
            where: File and line number, for messages.

        Raises:
            ValueError: The line is not such a record.
        """
        values = parse_json(line, where)
        if 'source' not in values or not set(values) <= set(_KINDS):
            raise broken(where, f': expected an object with "source" and keys of {", ".join(_KINDS)}.')
        check_kinds(values, _KINDS, where)
        record = cls(**values)
        if record.status not in STATUSES:
            told = f'status must be one of {", ".join(STATUSES)}, but is {brief(record.status)}'
            raise broken(where, f': {told}.')
        if None in (record.source, record.root, record.message):
            raise broken(where, ': "source", "root" and "message" must not be null.')
        return record


#: Fields of a record, and what each holds where it is not None.
_KINDS: dict[str, type] = {
    field.name: {'str': str, 'int': int, 'float': float, 'dict': dict, 'list': list}[
        str(field.type).partition(' |')[0].partition('[')[0]
    ]
    for field in fields(FaceRecord)
}


def manifest_records(path: Path) -> Iterator[FaceRecord]:
    """The records of a manifest, one at a time: millions need no memory; raises as :meth:`FaceRecord.from_json`."""
    for number, line in enumerate(read_lines(path), 1):
        yield FaceRecord.from_json(line, f'{path}:{number}')


_FOLDER = 'chunks'


def part_path(out: Path, number: int) -> Path:
    """Where the part of a chunk lies."""
    return out / WORK_FOLDER / _FOLDER / f'{number:06d}.jsonl'


def write_part(
    out: Path, number: int, records: Sequence[FaceRecord], counts: np.ndarray, seconds: Mapping[str, float]
) -> None:
    """Write what came of a chunk: a line about it, then its lines of the manifest.

    Args:
        out: Folder of the output.
        number: Number of the chunk.
        records: Lines of the manifest.
        counts: int64 (3, 256): how often each value occurs in R, G and B of the written crops.
        seconds: Time of each stage.
    """
    lines = [json.dumps({'counts': counts.tolist(), 'seconds': dict(seconds)})]
    lines += [record.to_json() for record in records]
    write_atomically(part_path(out, number), encoded('\n'.join(lines) + '\n'), sync=True)


def encoded(text: str) -> bytes:
    r"""JSON as UTF-8; half characters, from file names that are no UTF-8, become JSON's ``\udcXX``."""
    return text.encode('utf-8', 'backslashreplace')


def read_part(out: Path, number: int) -> tuple[dict[str, Any], list[tuple[str, FaceRecord]]]:
    """Read the head of a part, and each of its lines of the manifest (without its end) with what it says."""
    path = part_path(out, number)
    content = path.read_bytes()  # FileNotFoundError: another process has joined the parts, which callers know
    with reading(path, ' cannot be read'):
        head, *lines = content.decode('utf-8').split('\n')
    return parse_json(head, path), [(line, FaceRecord.from_json(line, str(path))) for line in lines[:-1]]


def parts_done(out: Path) -> set[int]:
    """Numbers of the chunks that are done."""
    parts = (out / WORK_FOLDER / _FOLDER).glob('*.jsonl')
    return {int(part.stem) for part in parts if part.stem.isdigit()}


def map_limits(root: str | os.PathLike) -> str:
    """What the preparation of a data set says of maps that are only roughly right; else ''.

    Raises:
        ValueError: Its file holds something else.
    """
    about = read_summary(root)
    return about.get('map_limits') or ('roughly right' if about.get('approximate_maps') else '')
