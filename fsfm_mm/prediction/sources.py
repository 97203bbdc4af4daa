"""What somebody names, as files to look at one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fsfm_mm.files.listing import VIDEO_EXTENSIONS
from fsfm_mm.preparation.sources.finding import find_items, safe_key
from fsfm_mm.preparation.sources.items import FrameChoice, Item


def items_of(
    source: str | os.PathLike,
    frames: FrameChoice,
    exclude: str | Path | None = None,
    prefix: str = '',
) -> Iterator[Item]:
    """The files of a source.

    Args:
        source: A picture or video, whatever it is called (only a video's ending makes it one); or a folder, whose
            pictures and videos are taken.
        frames: Which frames of the videos.
        exclude: A folder whose files are left out.
        prefix: Begins every key.

    Raises:
        ValueError: The folder cannot be listed or holds nothing, see
            :func:`~fsfm_mm.preparation.sources.finding.find_items`.
    """
    path = os.fspath(source)
    if os.path.isdir(path):
        for item in find_items([path], frames, exclude):
            # named as the user named the folder, not from the root of the file system
            yield replace(item, path=os.path.join(path, item.source), key=prefix + item.key)
        return
    name = os.path.basename(path)
    is_video = name.lower().endswith(VIDEO_EXTENSIONS)
    yield Item(path, name, 0, prefix + safe_key(name.replace('.', '_')), frames if is_video else None)
