"""A validation part for sets that have none: some of the training part's videos, always the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

#: What a further face of the same picture or video is called.
_FURTHER_FACE = re.compile(r'_face\d+$')


def is_held_out(entries: Sequence[dict], share: float) -> list[bool]:
    """Which samples are held out: whole videos and pictures, of every class the same share.

    The choice depends on names alone (the least SHA-256), so that it is the same everywhere, and pictures that are
    added later change little of it.

    Args:
        entries: ``video_id``, ``class_name`` and ``domain`` of each sample.
        share: Above 0 and below 1; at least one video of each class and domain, and never all.

    Raises:
        ValueError: A class has one video only, which cannot be in both parts.
    """
    groups: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        groups.setdefault((entry['domain'], entry['class_name']), set()).add(_video(entry))
    chosen = set()
    for (domain, class_name), videos in groups.items():
        if len(videos) == 1:
            raise ValueError(
                f'the class {class_name!r} of {domain} has one picture or video only, so none of it can be held out: '
                'give a folder val, or held_out=None.'
            )
        count = min(max(round(share * len(videos)), 1), len(videos) - 1)
        ranked = sorted(
            videos, key=lambda video: hashlib.sha256(video.encode(errors='surrogateescape')).hexdigest()
        )
        chosen |= {(domain, video) for video in ranked[:count]}
    return [(entry['domain'], _video(entry)) in chosen for entry in entries]


def _video(entry: dict) -> str:
    return _FURTHER_FACE.sub('', entry['video_id'])
