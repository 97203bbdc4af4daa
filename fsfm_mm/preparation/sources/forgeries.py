"""The videos of deepfake sets as work for the preparation: train/val/test, real*/fake*, names as published."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fsfm_mm.datasets.labelled.names import (
    CLASSES,
    SPLIT_NAMES,
    SPLITS,
    class_of_folder,
    one_of,
    quoted,
    split_of_folder,
)
from fsfm_mm.datasets.labelled.published_rules import SplitNotThereError, Video
from fsfm_mm.datasets.labelled.published_sets import PUBLISHED_SETS, PublishedSet, check_options
from fsfm_mm.datasets.listing import list_folders, list_samples
from fsfm_mm.files.archives import members, split_member
from fsfm_mm.files.listing import VIDEO_EXTENSIONS
from fsfm_mm.preparation.sources.finding import PICTURE_EXTENSIONS
from fsfm_mm.preparation.sources.items import FrameChoice, Item, items_by_key
from fsfm_mm.text import few

ALL_OVER = FrameChoice('count', 32)


@dataclass
class Listing:
    """What is to be prepared of a set.

    Attributes:
        items: The work.
        videos: (split, class folder) -> number of its videos that are there.
        listed: (split, class folder) -> number of videos that should be there; None where no list says it.
        missing: Listed videos whose files are not there; ``FOLDER/*`` for all of a folder that no list describes.
        places: Source of an item -> (split, class folder, video).
        frames: Class -> frames of one of its videos; empty where they are not counted.
        left_out: Files of the source that belong to no split of it.
        notes: What else is to be told.
    """

    items: list[Item] = field(default_factory=list)
    videos: Counter[tuple[str, str]] = field(default_factory=Counter)
    listed: dict[tuple[str, str], int | None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    places: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, item: Item, place: tuple[str, str], video: str) -> None:
        """Take in a file of a video of a (split, class folder)."""
        self.items.append(item)
        self.places[item.source] = (*place, video)


def forgery_listing(
    name: str,
    root: str,
    splits: Sequence[str] | None = None,
    frames: FrameChoice = ALL_OVER,
    real_frames: int | None = None,
    options: Mapping[str, Any] | None = None,
    masks: bool = False,
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
        masks: Whether the set's own masks say whose face is taken in forged videos.

    Raises:
        ValueError: The set, a split or an option is unknown, frames are asked of a set of pictures, the source is not
            as the set's rule says, or there are no masks.
    """
    one_of('the set', name, tuple(PUBLISHED_SETS))
    source = PUBLISHED_SETS[name]
    check_options(name, options or {})
    if not source.videos and (frames != ALL_OVER or real_frames is not None):
        raise ValueError(f'{name} has pictures, no videos: leave out --frames and --real-frames.')
    if source.videos:
        _real_frames(1, frames, real_frames)
    listing = Listing()
    videos = _videos_of(name, root, splits, options or {}, listing)
    found = [video for of_split in videos.values() for video in of_split if video.frames]
    forged = {source.folder(video.name, 'fake') for video in found if video.class_name == 'fake'}
    factor = source.real_factor(options or {})
    if 0 < len(forged) < factor:  # the classes stay even
        listing.notes.append(f'only {len(forged)} of {factor} manipulations have videos')
        factor = len(forged)
    real = _real_frames(factor, frames, real_frames)
    if source.videos and frames.mode == 'count':
        listing.frames = {'fake': frames.value, 'real': real.value}
    for split, of_split in videos.items():
        if of_split and not any(video.frames for video in of_split) and (splits or not found):
            raise ValueError(_nothing(root, split, of_split))
        for video in of_split:
            wanted = real if video.class_name == 'real' else frames
            _add_video(listing, source, root, split, video, wanted if source.videos else None)
    items_by_key(listing.items)
    if masks:
        listing.items = _with_masks(listing, name, root)
    return listing


def _with_masks(listing: Listing, name: str, root: str) -> list[Item]:
    """The items, those of forged videos with the videos of their masks."""
    mask_of = PUBLISHED_SETS[name].mask
    if mask_of is None:
        raise ValueError(f'{name} has no masks that are known: leave out --masks.')
    items, gone = [], []
    for item in listing.items:
        if listing.places[item.source][1].startswith('fake'):
            item = replace(item, mask_video=os.path.join(root, mask_of(item.source)))
            if item.frames is None or not os.path.isfile(str(item.mask_video)):
                gone.append(mask_of(item.source))
        items.append(item)
    if gone:
        raise ValueError(
            f'{root}: {len(gone)} forged videos have no mask, such as {gone[0]}: get the masks (of videos, not of '
            'extracted frames), or leave out --masks.'
        )
    return items


def _videos_of(
    name: str, root: str, splits: Sequence[str] | None, options: Mapping[str, Any], listing: Listing
) -> dict[str, list[Video]]:
    """The videos of each split; of all splits where none is named, those that are there."""
    source = PUBLISHED_SETS[name]
    find = {} if source.find is None else {'find': source.find}
    videos: dict[str, list[Video]] = {}
    absent: list[str] = []
    for split in splits or source.splits:
        one_of(f'the split of {name}', split, source.splits)
        try:
            videos[split] = source.list_videos(root, split, options, **find)
        except SplitNotThereError as error:
            absent.append(f'{split}: {error}')
    if absent and (splits or not videos):
        raise ValueError(' '.join(absent))
    listing.notes += absent
    return videos


def _nothing(root: str, split: str, videos: Sequence[Video]) -> str:
    """Why there is no work in a split: what was looked for, and where."""
    names = [video.name for video in videos]
    folders = dict.fromkeys(os.path.dirname(name) or '.' for name in names)
    places = few([f"'{folder}'" for folder in folders], 2)
    return (
        f'{root}: none of the {len(videos)} videos of the split {split} is there, for instance '
        f'{quoted(names[:1])}: looked in {places} for videos and for pictures of extracted frames.'
    )


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
    place = split, source.folder(video.name, video.class_name)
    number = listing.listed.get(place) or 0
    listing.listed[place] = number + 1 if split in source.listed else None
    if not video.frames:
        listing.missing.append(f'{split}/{video.name}')
        return
    parts = video.name.split('/')
    name = '/'.join(parts[-1:] if source.below is None else parts[source.below :])
    key = f'{"/".join(place)}/{name}'
    if frames is not None and not video.frames[0].lower().endswith(VIDEO_EXTENSIONS):
        chosen, frames = _chosen(video.frames, frames), None
    else:
        numbered = frames is None and source.crops
        chosen = {_number(path, i) if numbered else '': path for i, path in enumerate(video.frames)}
    for number_of, path in chosen.items():
        end = f'_frame_{number_of}' if number_of else ''
        listing.add(_item(root, path, key + end, frames), place, video.name)
    listing.videos[place] += 1


def _item(root: str, path: str, key: str, frames: FrameChoice | None) -> Item:
    full = os.path.join(root, path)
    packed = split_member(full)
    if packed is None:
        return Item(full, path, 0, key, frames)
    archive, member = packed
    return Item(archive, path, 0, key, frames, member=members(archive)[member])


def _number(path: str, number: int) -> str:
    """Of a picture of a video: its own number where it has one."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return stem if stem.isdigit() else str(number)


def _chosen(pictures: Sequence[str], frames: FrameChoice) -> dict[str, str]:
    """The wanted ones of a video's extracted frames by their numbers, which end their names, else by their places."""
    ends = [re.search(r'(\d+)$', os.path.splitext(picture)[0]) for picture in pictures]
    numbers = [int(end[1]) for end in ends if end]
    if len(set(numbers)) < len(pictures):
        numbers = list(range(len(pictures)))
    ordered = sorted(zip(numbers, pictures))
    return {str(ordered[i][0]): ordered[i][1] for i in frames.indices(len(ordered)).tolist()}


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
    splits = _split_folders(root)
    if not splits and len(wanted) > 1:
        raise ValueError(f'{root} has no folders train, val, test: --splits names the one split that it is.')
    gone = [name for name in wanted if splits and name not in splits]
    if gone:
        raise ValueError(f'{root}: no folder {quoted(gone)}; the splits there are {quoted(list(splits))}.')
    real = _real_frames(1, frames, real_frames)
    listing = Listing()
    places = [(s, os.path.join(root, f)) for s, f in splits.items() if not wanted or s in wanted]
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
            for path in list_samples(os.path.join(base, folder), PICTURE_EXTENSIONS + VIDEO_EXTENSIONS):
                is_video = path.lower().endswith(VIDEO_EXTENSIONS)
                source = os.path.relpath(os.path.join(base, folder, path), root).replace(os.sep, '/')
                key = f'{name}/{folder}/{os.path.splitext(path)[0]}'
                item = Item(os.path.join(base, folder, path), source, 0, key, of_video if is_video else None)
                listing.add(item, (name, folder), os.path.splitext(source)[0])
                listing.videos[name, folder] += 1
            listing.listed[name, folder] = None
            if not listing.videos[name, folder]:
                listing.missing.append(f'{name}/{folder}/*')
    if not listing.items:
        endings = ' '.join(PICTURE_EXTENSIONS + VIDEO_EXTENSIONS)
        raise ValueError(f'{root}: no videos or pictures in its class folders (read are {endings}).')
    items_by_key(listing.items)
    return listing


def _split_folders(root: str) -> dict[str, str]:
    """Split -> its folder, in the order of the splits; none where ``root`` is one split itself.

    Raises:
        ValueError: A folder beside them is no split, or two are the same one.
    """
    folders = [folder for folder in list_folders(root) if folder[0] != '.']
    splits = {folder: split_of_folder(folder) for folder in folders}
    if not any(splits.values()):
        return {}
    unknown = [folder for folder, split in splits.items() if split is None]
    if unknown:
        raise ValueError(
            f'{root}: {quoted(unknown)} is no split; expected {", ".join(SPLITS)} or other names of these '
            f'({", ".join(name for name in SPLIT_NAMES if name not in SPLITS)}): rename it or move it away.'
        )
    found: dict[str, str] = {}
    for split in SPLITS:
        of_split = [folder for folder in folders if splits[folder] == split]
        if len(of_split) > 1:
            raise ValueError(f'{root}: {quoted(of_split)} are all the split {split}: leave one of them.')
        if of_split:
            found[split] = of_split[0]
    return found
