"""The videos of deepfake sets as work for the preparation: train/val/test, real*/fake*, names as published."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsfm_mm.datasets.labelled.names import CLASSES, SPLITS, class_of_folder, one_of, quoted
from fsfm_mm.datasets.labelled.published_rules import Video, find_originals
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS, PublishedSet, check_options
from fsfm_mm.datasets.listing import list_folders, list_samples
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from fsfm_mm.preparation.sources.items import FrameChoice, Item, items_by_key

ALL_OVER = FrameChoice('count', 32)


@dataclass
class Listing:
    """What is to be prepared of a set.

    Attributes:
        items: The work.
        videos: (split, class folder) -> number of its videos.
        missing: Listed videos whose files are not there.
        frames: Class -> frames of one of its videos; empty where they are not counted.
        left_out: Files of the source that belong to no split of it.
    """

    items: list[Item] = field(default_factory=list)
    videos: Counter[tuple[str, str]] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    frames: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


def forgery_listing(
    name: str,
    root: str,
    splits: Sequence[str] | None = None,
    frames: FrameChoice = ALL_OVER,
    real_frames: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Listing:
    """List the work on a published set, by its official split files.

    Results are named ``{split}/{class folder}/{video}_frame_{index}``: what ``LabelledFaces`` reads.

    Args:
        name: Name of the set, see :data:`~fsfm_mm.datasets.labelled.published_sets.PUBLISHED_SETS`.
        root: The set as it was downloaded.
        splits: Which splits; None for all that the set has.
        frames: Frames of a video.
        real_frames: Frames of a real one; None for as many as keep the classes even, as published.
        options: Options of the set's rule, see :mod:`fsfm_mm.datasets.labelled.published_rules`.

    Raises:
        ValueError: The set, a split or an option is unknown, frames are asked of a set of pictures, or the source
            is not as the set's rule says.
    """
    one_of('the set', name, tuple(PUBLISHED_SETS))
    source = PUBLISHED_SETS[name]
    check_options(name, options or {})
    if not source.videos and (frames != ALL_OVER or real_frames is not None):
        raise ValueError(f'{name} has pictures, no videos: leave out --frames and --real-frames.')
    find = {'find': find_originals} if source.videos else {}
    real = _real_frames(source.real_factor(options or {}), frames, real_frames)
    listing = Listing()
    if source.videos and frames.mode == 'count':
        listing.frames = {'fake': frames.value, 'real': real.value}
    for split in splits or source.splits:
        one_of(f'the split of {name}', split, source.splits)
        videos = source.list_videos(root, split, options or {}, **find)
        for video in videos:
            wanted = real if video.class_name == 'real' else frames
            _add_video(listing, source, root, split, video, wanted if source.videos else None)
        if videos and not any(video.frames for video in videos):
            raise ValueError(
                f'{root}: none of the {len(videos)} videos of the split {split} is there, for instance '
                f'{quoted([video.name for video in videos[:3]])}.'
            )
    items_by_key(listing.items)
    return listing


def _real_frames(factor: int, frames: FrameChoice, real_frames: int | None) -> FrameChoice:
    if frames.mode != 'count':
        if real_frames is not None:
            raise ValueError('--real-frames goes with a number of --frames, not with every:N or all.')
        return frames
    count = frames.value * factor if real_frames is None else real_frames
    return FrameChoice('count', count)


def _add_video(
    listing: Listing, source: PublishedSet, root: str, split: str, video: Video, frames: FrameChoice | None
) -> None:
    folder = source.folder(video.name, video.class_name)
    if not video.frames:
        listing.missing.append(f'{split}/{video.name}')
        return
    parts = video.name.split('/')
    video_name = '/'.join(parts[-1:] if source.below is None else parts[source.below :])
    for number, path in enumerate(video.frames):
        # a video that is there as pictures: their own numbers where they have some
        end = f'_frame_{_number(path, number)}' if frames is None and source.crops else ''
        item = Item(os.path.join(root, path), path, 0, f'{split}/{folder}/{video_name}{end}', frames)
        listing.items.append(item)
    listing.videos[split, folder] += 1


def _number(path: str, number: int) -> str:
    stem = os.path.splitext(os.path.basename(path))[0]
    return stem if stem.isdigit() else str(number)


def folder_listing(
    root: str, wanted: Sequence[str] = (), frames: FrameChoice = ALL_OVER, real_frames: int | None = None
) -> Listing:
    """List the work on own videos and pictures in ``real*`` and ``fake*`` folders.

    Args:
        root: Folder with ``real*`` and ``fake*`` in it, or with ``train``, ``val``, ``test`` and these in each.
        wanted: Of the first kind the one split that it is, by default 'test'; of the second the splits to take,
            by default all.
        frames: Frames of a video.
        real_frames: Frames of a real one; None for as many.

    Returns:
        Results are named ``{split}/{class folder}/{path without extension}[_frame_{index}]``.

    Raises:
        ValueError: There are no such folders, or nothing is in them.
    """
    if not os.path.isdir(root):
        raise ValueError(f'{root}: no such folder.')
    splits = [name for name in SPLITS if os.path.isdir(os.path.join(root, name))]
    if not splits and len(wanted) > 1:
        raise ValueError(f'{root} has no folders train, val, test: --splits names the one split that it is.')
    gone = [name for name in wanted if splits and name not in splits]
    if gone:
        raise ValueError(f'{root}: no folder {quoted(gone)}; the splits there are {quoted(splits)}.')
    real = _real_frames(1, frames, real_frames)
    listing = Listing()
    places = [(s, os.path.join(root, s)) for s in splits if not wanted or s in wanted]
    for name, base in places or [((*wanted, 'test')[0], root)]:
        folders = list_folders(base)
        known = [f for f in folders if class_of_folder(f, CLASSES)]
        if len(known) < len(folders) or len({class_of_folder(f, CLASSES) for f in known}) < len(CLASSES):
            raise ValueError(
                f"{base}: expected folders whose names begin with 'real' and with 'fake' and no others "
                f'(or train, val, test with such folders), found {quoted(folders) or "none"}.'
            )
        for folder in known:
            of_video = real if class_of_folder(folder, CLASSES) == 'real' else frames
            for path in list_samples(os.path.join(base, folder), IMAGE_EXTENSIONS + VIDEO_EXTENSIONS):
                is_video = path.lower().endswith(VIDEO_EXTENSIONS)
                source = os.path.relpath(os.path.join(base, folder, path), root).replace(os.sep, '/')
                key = f'{name}/{folder}/{os.path.splitext(path)[0]}'
                item = Item(os.path.join(base, folder, path), source, 0, key, of_video if is_video else None)
                listing.items.append(item)
                listing.videos[name, folder] += 1
    if not listing.items:
        raise ValueError(f'{root}: no videos or pictures in its class folders.')
    items_by_key(listing.items)
    return listing
