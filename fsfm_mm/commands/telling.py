"""What the commands that prepare sets say of their videos: what is missing, and what came of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsfm_mm.commands.output import say
from fsfm_mm.preparation.counts import Counts, count_videos
from fsfm_mm.preparation.manifest import MANIFEST_FILE, manifest_records
from fsfm_mm.preparation.run import Outcome
from fsfm_mm.preparation.sources.forgeries import Listing
from fsfm_mm.text import few

#: Names of what is missing or gave nothing.
_NAMED = 5


def tell_missing(missing: Sequence[str], what: str = 'videos') -> None:
    """Print the first of the listed videos or pictures that are not there."""
    if missing:
        names = few(missing, _NAMED)
        say(f'not there: {len(missing)} listed {what}, such as {names}; {MANIFEST_FILE} has all of them')


def tell_names(what: str, videos: Sequence[str]) -> None:
    """Print how many videos are so, and the first of them."""
    if videos:
        say(f'{what}: {len(videos)} videos, such as {few(videos, _NAMED)}')


def tell_counts(out: str | Path, outcome: Outcome, plan: Listing) -> Counts:
    """Print what came of the videos of each split and class, and which gave nothing; empty while shares are at work."""
    if not outcome.complete:
        return Counts()
    counts = count_videos(plan, manifest_records(Path(out) / MANIFEST_FILE))
    for line in counts.lines():
        say(line)
    tell_names('without a face', counts.barren)
    return counts
