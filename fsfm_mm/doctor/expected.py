"""What the published sets should have, and how their names tell who is in a video."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fsfm_mm.datasets.labelled.names import one_of
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS, PublishedSet
from fsfm_mm.preparation.sources.forgeries import ALL_OVER

KINDS = ('pretrain', 'deepfake', 'antispoof')


@dataclass(frozen=True)
class Expected:
    """A published set that data are compared with.

    Attributes:
        name: Its name in ``PUBLISHED_SETS``.
        options: Of its rule, such as the compression.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> PublishedSet:
        """What is published of it."""
        return PUBLISHED_SETS[self.name]

    @property
    def identity(self) -> str | None:
        """Pattern of its names; None where they do not tell who is seen."""
        return self.row.identity

    def videos(self, split: str) -> int | None:
        """Published number of videos of a split, in all or (FF++) of the originals and each manipulation."""
        return self.row.counts.get(split)

    def frames(self, class_name: str) -> int | None:
        """Published number of frames of a video; None for a set of pictures."""
        if not self.row.videos:
            return None
        return ALL_OVER.value * (self.row.real_factor({}) if class_name == 'real' else 1)


def expected_sets() -> dict[str, Expected]:
    """Every name that can be asked for, such as 'ffpp-c23' or 'celebdf-v2'."""
    sets: dict[str, Expected] = {}
    for name, row in PUBLISHED_SETS.items():
        shown = name.replace('_', '-')
        for variant, options in row.variants.items():
            sets[f'{shown}-{variant}'] = Expected(name, options)
        if not row.variants:
            sets[shown] = Expected(name)
    return dict(sorted(sets.items()))


def expected_set(name: str | None) -> Expected | None:
    """Look a published set up; raises ValueError for an unknown name."""
    if name is None:
        return None
    one_of('--expect', name, tuple(expected_sets()))
    return expected_sets()[name]


def prepared_set(about: Mapping[str, Any]) -> Expected | None:
    """The published set that a preparation was of, by its ``prepare.json``; None for another or none."""
    name = about.get('set')
    return Expected(name, about.get('options') or {}) if name in PUBLISHED_SETS else None


def guess_identity(videos: Iterable[str]) -> str | None:
    """The pattern of the first published set that has a name of two people among some videos; None for none."""
    names = [video.rpartition('/')[2] for video in videos]
    for pattern in dict.fromkeys(row.identity for row in PUBLISHED_SETS.values() if row.identity):
        matches = (re.fullmatch(pattern, name) for name in names)
        if any(match is not None and match.group(2) for match in matches):
            return pattern
    return None


def check_pattern(pattern: str) -> None:
    """Raise ValueError unless a pattern is a regular expression with a group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f'--identity {pattern!r} is no regular expression ({error}).') from error
    if not groups:
        raise ValueError(f'--identity {pattern!r} has no group; put what names the person into (...).')


def people_of(video: str, pattern: str) -> set[str]:
    """The people that a video's name tells; empty where it does not fit the pattern."""
    match = re.fullmatch(pattern, video.rpartition('/')[2])
    return {person for person in match.groups() if person} if match else set()
