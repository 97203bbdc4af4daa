"""What every writer of prepared faces offers."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsfm_mm.preparation.manifest import FaceRecord


@dataclass
class PreparedFace:
    """A face that is ready to be written.

    Attributes:
        key: Name of the result without an ending, relative, with '/' between folders, unique in the output:
            ``sub/photo`` or ``sub/video_frame_000120``.
        image: uint8 (S, S, 3) BGR.
        labels: uint8 (S, S), labels 0..10, or None where no maps are made.
        record: Its line of the manifest; the writer fills ``file``, ``map`` and ``sha256``.
    """

    key: str
    image: np.ndarray
    labels: np.ndarray | None
    record: FaceRecord


class FaceWriter(abc.ABC):
    """Writes prepared faces, chunk by chunk.

    The sources of a run are cut into chunks, numbered from 0, and a chunk is written by one process as a whole.
    The bytes of a chunk's files depend on its faces and number alone; each file appears whole or not at all
    (:func:`fsfm_mm.files.replacing`). A chunk whose process was killed is simply written again. So any number of
    processes and machines, interrupted and started again in any way, leave the same files.
    """

    @abc.abstractmethod
    def write_chunk(self, out: Path, chunk: int, faces: Iterable[PreparedFace]) -> None:
        """Write the faces of one chunk (there may be none) below ``out`` and complete their records.

        Raises:
            OSError: The disk refuses.
        """

    def finish(self, out: Path, num_chunks: int, records: Iterable[FaceRecord]) -> None:  # noqa: B027
        """Write what belongs to the whole: tables and indices. Called when all chunks are there; repeatable.

        Args:
            out: Folder of the output.
            num_chunks: Chunks 0 .. num_chunks - 1 have been written.
            records: All records of the manifest in its order (chunk by chunk).
        """
