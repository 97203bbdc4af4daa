"""One line of the manifest: where a prepared face comes from, or why a source gave none."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

#: What can become of a source, a frame or a face; all but 'ok' leave no file behind.
STATUSES = {
    'ok': 'written',
    'no_face': 'no face was found',
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
        square: The square that was cut out: left, top, right, bottom, whole pixels.
        landmarks: Five points [x, y] in pixels of the picture, see ``Face``; None where the detector gives none.
        labels: Share of the crop's pixels with each label, by name of the label; None without a map.
        file: Path of the image relative to the output, or its key inside an archive.
        map: Path of the map relative to the output; None where it has none.
        sha256: SHA-256 of the written image's bytes (raw in an archive: of its pixels).
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

    def to_json(self) -> str:
        """One line of JSON without a line end, the same text for the same record."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(', ', ': '))

    @classmethod
    def from_json(cls, line: str, where: str) -> FaceRecord:
        """Read a line of a manifest.

        Args:
            line: The line.
            where: File and line number, for messages.

        Raises:
            ValueError: The line is not such a record.
        """
        try:
            values: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{where}: not a line of JSON ({error}).') from error
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or 'source' not in values or not set(values) <= known:
            raise ValueError(f'{where}: expected an object with "source" and keys of {sorted(known)}.')
        record = cls(**values)
        if record.status not in STATUSES:
            raise ValueError(
                f'{where}: status must be one of {", ".join(STATUSES)}, but is {record.status!r}.'
            )
        return record
