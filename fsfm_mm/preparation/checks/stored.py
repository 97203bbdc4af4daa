"""Packed files and tar shards as a source of samples for the checks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from fsfm_mm.datasets.packed_faces import PackedFaces
from fsfm_mm.datasets.packed_format import FOLDER as PACKED
from fsfm_mm.datasets.reading import BrokenSampleError
from fsfm_mm.datasets.shard_format import FOLDER as SHARDS
from fsfm_mm.datasets.shard_format import ShardSet
from fsfm_mm.datasets.sharded_faces import ShardedFaces
from fsfm_mm.preparation.checks.scanning import Opened

#: Folder below the data set -> what reads it.
_READERS: dict[str, type[PackedFaces] | type[ShardedFaces]] = {PACKED: PackedFaces, SHARDS: ShardedFaces}


def stored_formats(root: str) -> list[str]:
    """Which of ``packed`` and ``shards`` a data set has."""
    return [folder for folder in _READERS if os.path.isdir(os.path.join(root, folder))]


@dataclass
class StoredSource:
    """Samples of packed files or shards.

    Attributes:
        names: Name of each for reports.
        dataset: The data set of training that reads them.
        unit: What shares of labels are counted in.
        sha256: Checksums that the stored pictures should have, by their number.
    """

    names: Sequence[str]
    dataset: PackedFaces | ShardedFaces
    unit: str
    sha256: dict[int, str] = field(default_factory=dict)

    def read(self, index: int) -> Opened:
        """Read a sample."""
        try:
            info = self.dataset.get_data_info(index)
        except BrokenSampleError as error:
            return Opened(problems=[('unreadable face', str(error))])
        labels = (info.get('parsing_map'), info.get('patch_labels')) if self.dataset.need_maps else ()
        opened = Opened(info['img'], *labels)
        expected = self.sha256.get(index)
        if expected and hashlib.sha256(self._stored(index)).hexdigest() != expected:
            sentence = (
                f'{self.names[index]}: is not the face that the manifest describes (its SHA-256 differs).'
            )
            opened.problems.append(('changed file', sentence))
        return opened

    def _stored(self, index: int) -> bytes:
        """The bytes of a picture as they lie in its file."""
        which, row = self.dataset.place(index)
        faces = self.dataset.sets[which]
        if isinstance(faces, ShardSet):
            return faces.read(row)[0]
        chunk, offset, length = faces.index[row].tolist()
        with open(faces.files[chunk], 'rb') as file:
            file.seek(offset)
            return file.read(length)


def open_stored(root: str, folder: str) -> StoredSource:
    """Open the packed files or shards of a data set, with their labels where they have any.

    Raises:
        ValueError: They cannot be opened; the message is the reader's.
    """
    reader = _READERS[folder]
    dataset = reader(root, need_maps=False)
    dataset.full_init()
    if dataset.sets[0].has_maps:
        dataset = reader(root)
        dataset.full_init()
    names = [os.path.relpath(dataset.data_path(index), root) for index in range(len(dataset))]
    return StoredSource(names, dataset, 'patches' if folder == PACKED else 'pixels')
