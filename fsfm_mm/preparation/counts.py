"""How many videos of a set should be there, are there, and gave a face, for each split and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.sources.forgeries import Listing
from fsfm_mm.text import text_table

_HEADER = ('split/class', 'listed', 'there', 'with faces', 'faces')


@dataclass
class Counts:
    """What came of the videos of a set.

    Attributes:
        rows: (split, class folder), videos listed (None: no list says it), there, with a face, faces.
        barren: ``SPLIT/VIDEO`` of those that are there and gave no face.
    """

    rows: list[tuple[tuple[str, str], int | None, int, int, int]] = field(default_factory=list)
    barren: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table for a terminal."""
        cells = [
            ('/'.join(place), '-' if listed is None else str(listed), *map(str, counts))
            for place, listed, *counts in self.rows
        ]
        return text_table([_HEADER, *cells], '<>', rule=1)


def expected_of(listing: Listing) -> list[dict[str, Any]]:
    """What ``prepare.json`` says of the videos: for each split and class folder those listed, and those there."""
    return [
        {'split': split, 'folder': folder, 'listed': listed, 'there': listing.videos[split, folder]}
        for (split, folder), listed in sorted(listing.listed.items())
    ]


def count_videos(listing: Listing, records: Iterable[FaceRecord]) -> Counts:
    """Count what a finished run has made of a listing, by its manifest."""
    faces: Counter[tuple[str, str]] = Counter()
    fruitful: set[tuple[str, str, str]] = set()
    for record in records:
        place = listing.places.get(record.source)
        if place is not None and record.status == 'ok':
            faces[place[:2]] += 1
            fruitful.add(place)
    videos = dict.fromkeys(listing.places.values())
    with_faces = Counter(place[:2] for place in fruitful)
    rows = [
        (place, listed, listing.videos[place], with_faces[place], faces[place])
        for place, listed in sorted(listing.listed.items())
    ]
    return Counts(
        rows,
        [
            video if video.startswith(f'{split}/') else f'{split}/{video}'
            for split, folder, video in videos
            if (split, folder, video) not in fruitful
        ],
    )
