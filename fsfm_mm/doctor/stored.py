"""Archives as a source of samples for the checks."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from fsfm_mm.datasets.pretraining.archive_format import FOLDER
from fsfm_mm.datasets.pretraining.archived_faces import ArchivedFaces
from fsfm_mm.doctor.scanning import Opened
from fsfm_mm.files.pictures import BrokenSampleError


def has_archive(root: str) -> bool:
    """Whether a data set has an archive."""
    return os.path.isdir(os.path.join(root, FOLDER))


@dataclass
class StoredSource:
    """Samples of an archive.

    Attributes:
        names: Name of each for reports.
        dataset: The data set of training that reads them.
        sha256: Checksums that the stored pictures should have, by their number.
    """

    names: Sequence[str]
    dataset: ArchivedFaces
    sha256: dict[int, str] = field(default_factory=dict)

    def read(self, index: int) -> Opened:
        """Read a sample, and compare its files with the checksums of the index and of the manifest."""
        try:
            info = self.dataset.get_data_info(index)
            archive, row = self.dataset.place(index)
            image, labels = archive.read(row)
        except BrokenSampleError as error:
            return Opened(problems=[('unreadable face', str(error))])
        opened = Opened(info['img'], info['parsing_map'] if self.dataset.need_maps else None)
        place = archive.index[row]
        for what, data, crc32 in (
            ('picture', image, place['image_crc32']),
            ('map', labels, place['map_crc32']),
        ):
            if data is not None and zlib.crc32(data) != crc32:
                sentence = (
                    f'{self.names[index]}: its {what} is not the one that was written (its CRC-32 differs).'
                )
                opened.problems.append(('changed file', sentence))
        expected = self.sha256.get(index)
        if expected and hashlib.sha256(image).hexdigest() != expected:
            sentence = (
                f'{self.names[index]}: is not the face that the manifest describes (its SHA-256 differs).'
            )
            opened.problems.append(('changed file', sentence))
        return opened


def open_stored(root: str) -> StoredSource:
    """Open the archive of a data set, with its maps where it has any.

    Raises:
        ValueError: It cannot be opened, or one of its tables has changed; the message is the reader's.
    """
    # a shard that is gone costs its faces: the checks list them all
    dataset = ArchivedFaces(root, need_maps=False, on_broken='skip')
    dataset.full_init()
    (archive,) = dataset.archives
    archive.check_tables()
    if archive.header.maps:
        dataset = ArchivedFaces(root, read_maps=True, on_broken='skip')
        dataset.full_init()
    names = [os.path.relpath(dataset.data_path(index), root) for index in range(len(dataset))]
    return StoredSource(names, dataset)
