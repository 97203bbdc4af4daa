"""Face anti-spoofing sets as work for the preparation, and the lists of the published protocols."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fsfm_mm.datasets.labelled.crops import PUBLISHED_PADDING
from fsfm_mm.datasets.labelled.names import (
    CLASSES,
    PROTOCOLS,
    inside,
    one_of,
    quoted,
    read_lines,
    split_of_folder,
    video_of_frame,
)
from fsfm_mm.datasets.listing import list_samples
from fsfm_mm.files import write_atomically
from fsfm_mm.files.listing import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from fsfm_mm.preparation.sources.face_videos import face_videos, faces_by_name, frame_items
from fsfm_mm.preparation.sources.forgeries import Listing
from fsfm_mm.preparation.sources.items import FrameChoice, Item, items_by_key
from fsfm_mm.text import few, printable

#: How a set is prepared: 'published' as the protocols' authors did; 'ours': frames from the middle of equal parts of
#: the video, squares about the face, and development parts in training.
FORMS = ('published', 'ours')
#: Of the published chips: what is added to the face's square on each side, in sides of it.
CHIP_PADDING = PUBLISHED_PADDING
#: Of our squares: side over the longer side of the face's box.
SPOOF_MARGIN = 1.37
#: Protocol -> end of a frame's name after the video's.
FRAME_NAMES = {'MCIO': '_frame{number}', 'WCS': '_{number:02d}'}
#: Protocol -> its published frames. Those of MCIO move on to the next frame with a face; WCS's are faces already.
PUBLISHED_FRAMES = {
    'MCIO': FrameChoice('parts', 2, first=6, search=True),
    'WCS': FrameChoice('parts', 10),
}
SPLITS = ('train', 'test')
#: Of a protocol's own lists.
_LISTED = (*SPLITS, 'shot')
#: Folders that sort the videos of a set and are left out of their names.
_SORTING = re.compile('(train|test)(_release)?|(Train|Dev|Test)_files|real|fake|attack|scene01')
#: The same of sets of single pictures.
_SORTING_PICTURES = re.compile('Data|train|test|live|spoof')

#: Place of a file in a set: split and class, or None for one that is not of the protocol.
Rule = Callable[[str, str], 'tuple[str, str] | None']


def _msu(root: str, path: str) -> tuple[str, str] | None:
    """MSU-MFSD: scene01/{real,attack}/{real,attack}_client001_...; {train,test}_sub_list.txt name the clients."""
    match = re.search(r'(real|attack)_client(\d+)_', os.path.basename(path))
    if match is None:
        return None
    for split in SPLITS:
        file = os.path.join(root, f'{split}_sub_list.txt')
        if any(line.split()[0].lstrip('0') == match[2].lstrip('0') for _, line in read_lines(file)):
            return split, 'real' if match[1] == 'real' else 'fake'
    return None


def _casia(root: str, path: str) -> tuple[str, str] | None:
    """CASIA-FASD: {train,test}_release/PERSON/NAME.avi; 1, 2 and HR_1 are real."""
    split = path.split('/')[0].removesuffix('_release')
    name = os.path.splitext(os.path.basename(path))[0]
    return (split, 'real' if name in ('1', '2', 'HR_1') else 'fake') if split in SPLITS else None


def _replay(root: str, path: str) -> tuple[str, str] | None:
    """Replay-Attack: {train,devel,test}/{real,attack}/...; devel is a split of its own."""
    split, kind = [*path.split('/'), ''][:2]
    splits = {name: name for name in ('train', 'devel', 'test')}
    kinds = {'real': 'real', 'attack': 'fake'}
    return (splits[split], kinds[kind]) if split in splits and kind in kinds else None


def _oulu(root: str, path: str) -> tuple[str, str] | None:
    """OULU-NPU: {Train,Test}_files/PHONE_SESSION_USER_FILE.avi; file 1 is real; Dev_files is left out."""
    splits = {'Train_files': 'train', 'Test_files': 'test'}
    match = re.fullmatch(r'\d+_\d+_\d+_(\d+)', os.path.splitext(os.path.basename(path))[0])
    split = splits.get(path.split('/')[0])
    return (split, 'real' if match[1] == '1' else 'fake') if match and split else None


def _replay_ours(root: str, path: str) -> tuple[str, str] | None:
    """As :func:`_replay`, but the development part goes to training."""
    place = _replay(root, path)
    return ('train', place[1]) if place and place[0] == 'devel' else place


def _oulu_ours(root: str, path: str) -> tuple[str, str] | None:
    """As :func:`_oulu`, but the development part goes to training."""
    return _oulu(root, re.sub('^Dev_files/', 'Train_files/', path))


def _celeb(root: str, path: str) -> tuple[str, str] | None:
    """CelebA-Spoof: Data/{train,test}/ID/{live,spoof}/*.{png,jpg}; the boxes beside (*_BB.txt) are not needed."""
    match = re.fullmatch(r'(?:Data/)?(train|test)/[^/]+/(live|spoof)/[^/]+', path)
    return (match[1], 'real' if match[2] == 'live' else 'fake') if match else None


def _folders(root: str, path: str) -> tuple[str, str] | None:
    """Any set sorted by hand: {train,test}/{real,fake}/...; in WCS VIDEO/profile/*.jpg (CeFA), VIDEO.hdf5 (WMCA)"""
    folder, name = [*path.split('/'), ''][:2]
    split = split_of_folder(folder)
    return (split, name) if split in SPLITS and name in CLASSES else None


RULES: dict[str, Rule] = {
    'msu': _msu,
    'casia': _casia,
    'replay': _replay,
    'oulu': _oulu,
    'celeb': _celeb,
    'folders': _folders,
}
#: Rules of our form where they differ.
_RULES_OURS: dict[str, Rule] = {'replay': _replay_ours, 'oulu': _oulu_ours}
#: Rules of pictures, not videos: all of them, or those that stand for themselves.
_PICTURES, _SINGLE = ('folders', 'celeb'), ('celeb',)
#: What each rule expects, for messages.
EXPECTED = {name: str(rule.__doc__).partition(': ')[2] for name, rule in RULES.items()}


def rule_of(domain: str, rule: str | None = None) -> str:
    """The rule of a domain where none is named: the one with its name, else 'folders'."""
    return rule or (domain if domain in RULES else 'folders')


def naming_of(rule: str, protocol: str) -> str:
    """How the results of a rule are named: as the protocol's frames, or as single images."""
    return 'image' if rule in _SINGLE else protocol


def spoof_listing(
    root: str, domain: str, protocol: str = 'MCIO', rule: str | None = None, form: str = 'published'
) -> Listing:
    """List the work on a set as it was downloaded.

    Results are named ``{train,test}/{real,fake}/{video}`` and the protocol's frame ending, and belong into
    ``frame/{domain}`` of the protocol's folder; a video in folders gets their names with '_' between.

    Args:
        root: The set.
        domain: Its name in the protocol, such as 'casia'.
        protocol: 'MCIO' (two frames a video) or 'WCS' (ten).
        rule: See :data:`RULES`; by default the one named as the domain, else 'folders'.
        form: One of :data:`FORMS`: which frames, and where development parts go.

    Raises:
        ValueError: An unknown rule, protocol or form, or the folder is not as the rule says.
    """
    one_of('the protocol', protocol, tuple(FRAME_NAMES))
    one_of('the form', form, FORMS)
    rule = rule_of(domain, rule)
    one_of('the rule', rule, tuple(RULES))
    place_of = _RULES_OURS.get(rule, RULES[rule]) if form == 'ours' else RULES[rule]
    naming = naming_of(rule, protocol)
    if not os.path.isdir(root):
        raise ValueError(f'{root}: no such folder.')
    listing = Listing()
    videos: dict[tuple[str, str], set[str]] = defaultdict(set)
    others: Counter[str] = Counter()
    videos_too = VIDEO_EXTENSIONS if rule not in _SINGLE else ()
    faces = face_videos(root) if rule == 'folders' and protocol == 'WCS' else {}
    for video, files in faces.items():
        place = place_of(root, video)
        if place is None:
            listing.left_out += len(files)
            continue
        key = _key(video, place, _SORTING)
        for item in frame_items(root, files, f'{key}_', _frames(naming, form)):
            listing.add(item, place, key)
        videos[place].add(key)
    for path in list_samples(root, videos_too + (IMAGE_EXTENSIONS if rule in _PICTURES else ())):
        if os.path.dirname(os.path.dirname(path)) in faces:
            continue  # CeFA's profile pictures, and what lies beside: depth, infrared
        place = place_of(root, path)
        if place is None:
            listing.left_out += 1
            others[printable(path.split('/')[0] if '/' in path else 'beside the folders')] += 1
            continue
        item = _item(root, path, naming, place, form)
        video = item.key if item.frames else video_of_frame(item.key, naming, item.path)
        listing.add(item, place, video.removesuffix('_frame'))
        videos[place].add(video)
    items_by_key(listing.items)
    listing.videos.update({place: len(names) for place, names in videos.items()})
    listing.listed = dict.fromkeys(listing.videos)
    if others:
        named = few([f'{folder} {count}' for folder, count in sorted(others.items())])
        listing.notes.append(
            f'left out: {others.total()} files that are in no split of the protocol ({named})'
        )
    found = {name for _, name in listing.videos}
    if found != set(CLASSES):
        raise ValueError(
            f'{root}: found videos of {quoted(sorted(found)) or "no class"}, but expected real and fake ones as '
            f'{rule} has them: {EXPECTED[rule]}'
        )
    return listing


def _item(root: str, path: str, naming: str, place: tuple[str, str], form: str) -> Item:
    stem, ending = os.path.splitext(path)
    key = _key(stem, place, _SORTING if naming in FRAME_NAMES else _SORTING_PICTURES)
    full = os.path.join(root, path)
    if ending.lower() not in VIDEO_EXTENSIONS:
        video_of_frame(key, naming, full)
        return Item(full, path, 0, key)
    return Item(full, path, 0, key, _frames(naming, form), FRAME_NAMES[naming])


def _key(stem: str, place: tuple[str, str], sorting: re.Pattern[str]) -> str:
    """Name of a video's results: split, class, and its folders but for those that sort, joined."""
    split, name = place
    *folders, last = stem.split('/')
    video = '_'.join(
        [*(f for f in folders if split not in (f, split_of_folder(f)) and not sorting.fullmatch(f)), last]
    )
    return f'{split}/{name}/{video}'


def _frames(naming: str, form: str) -> FrameChoice:
    ours = FrameChoice('middle', len(PROTOCOLS[naming].frames))
    return ours if form == 'ours' else PUBLISHED_FRAMES[naming]


def protocol_listing(root: str, lists: str, domain: str, protocol: str = 'MCIO') -> Listing:
    """List the pictures that a protocol's own lists name, and the frames that these imply.

    In WCS a video whose pictures are not there may be one of CeFA's ``VIDEO/profile`` or of WMCA's ``VIDEO.hdf5``
    anywhere below ``root``: it is found by its name, and its frames are i * (n // 10).

    Args:
        root: Folder of the frames, cut out or not, to which the lists' paths are relative.
        lists: Folder with ``<domain>_{real,fake}_{train,test,shot}.txt``.
        domain: Name of the set in the lists.
        protocol: 'MCIO' or 'WCS'.

    Returns:
        Results keep the lists' paths below ``frame/{domain}``.

    Raises:
        ValueError: There is no list, a path leads out of ``root``, does not end as the protocol's frames do, or
            none of the pictures is there.
    """
    names = PROTOCOLS[protocol]
    listing = Listing()
    seen: set[str] = set()
    faces = faces_by_name(root) if protocol == 'WCS' else {}
    for split in _LISTED:
        for name in CLASSES:
            file = os.path.join(lists, f'{domain}_{name}_{split}.txt')
            for number, line in read_lines(file) if os.path.isfile(file) else []:
                path = inside(root, line.lstrip('/'), f'{file}:{number}')
                stem, ending = os.path.splitext(path)
                video = video_of_frame(stem, protocol, f'{file}:{number}')
                place = split, name
                listing.listed[place] = (listing.listed.get(place) or 0) + 1
                files = faces.get(os.path.basename(video).rstrip('_'))
                if files and not os.path.isfile(os.path.join(root, path)):
                    key = _listed_key(video, domain)
                    frames_of = frame_items(root, files, key, PUBLISHED_FRAMES[protocol])
                    for item in frames_of if video not in seen else []:
                        listing.add(item, place, video)
                    seen.add(video)
                    listing.videos[place] += 1
                    continue
                # of a shot only the picture itself is used
                frames = [stem.removeprefix(video)] if split == 'shot' else names.frames
                stems = [f'{video}{frame}' for frame in frames]
                there = [
                    _add_listed(listing, root, domain, one, ending, seen, (*place, video)) for one in stems
                ]
                listing.videos[place] += any(there)
    if not listing.listed:
        raise ValueError(
            f'{lists}: no lists {domain}_{{real,fake}}_{{train,test,shot}}.txt with a line in them.'
        )
    if not listing.items:
        raise ValueError(
            f'{root}: none of the {len(listing.missing)} listed pictures is there, such as {listing.missing[0]}.'
        )
    return listing


def _add_listed(
    listing: Listing,
    root: str,
    domain: str,
    stem: str,
    ending: str,
    seen: set[str],
    place: tuple[str, str, str],
) -> bool:
    """Take in a listed picture, once; whether it is there."""
    path = stem + ending
    there = os.path.isfile(os.path.join(root, path))
    if stem in seen:
        return there
    seen.add(stem)
    if there:
        key = _listed_key(stem, domain)
        listing.add(Item(os.path.join(root, path), path, 0, key), place[:2], place[2].removesuffix('_frame'))
    else:
        listing.missing.append(path)
    return there


def _listed_key(stem: str, domain: str) -> str:
    return stem.removeprefix('frame/').removeprefix(f'{domain}/')


def prepared_videos(
    naming: str, prepared: Iterable[str | None]
) -> tuple[dict[tuple[str, ...], str], list[str]]:
    """What was prepared of a set, video by video.

    Args:
        naming: As of :func:`write_lists`.
        prepared: As of :func:`write_lists`.

    Returns:
        (split, class, video) -> first frame, of the videos with all frames of the protocol; and ``SPLIT/CLASS/VIDEO``
        of those that lack some.
    """
    videos: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in filter(None, prepared):
        split, name, *_ = file.split('/')
        video = video_of_frame(os.path.splitext(file)[0], naming, file)
        videos[split, name, video].append(file)
    wanted = len(PROTOCOLS[naming].frames)
    whole = {place: min(files) for place, files in sorted(videos.items()) if len(files) == wanted}
    return whole, [place[2].removesuffix('_frame') for place in sorted(videos) if place not in whole]


def write_lists(
    out: str | os.PathLike, domain: str, naming: str, prepared: Iterable[str | None]
) -> dict[str, int]:
    """Write ``txt/<domain>_{real,fake}_{train,test}.txt`` for what was prepared.

    A list names the first frame of each video, relative to ``frame``, as the published ones do. A video that lacks
    one of its frames (no face in it) is left out, since the protocols imply all of them. Splits that the protocols
    do not have, such as Replay's devel, get no list.

    Args:
        out: Folder of the protocol.
        domain: Name of the set; its faces are in ``frame/{domain}``.
        naming: 'MCIO', 'WCS' or, for single images, 'image'.
        prepared: Files of the manifest of that folder; None for what gave none.

    Returns:
        Name of each list -> its lines.
    """
    whole, _ = prepared_videos(naming, prepared)
    lines: dict[str, list[str]] = {f'{domain}_{n}_{s}.txt': [] for s in SPLITS for n in CLASSES}
    for (split, name, _), file in whole.items():
        if split in SPLITS:
            lines[f'{domain}_{name}_{split}.txt'].append(f'{domain}/{file}')
    for file, content in lines.items():
        if content:
            write_atomically(Path(out) / 'txt' / file, '\n'.join(content) + '\n')
    return {file: len(content) for file, content in lines.items()}


def copy_lists(out: str | os.PathLike, lists: str, domain: str) -> Sequence[str]:
    """Copy a protocol's own lists of one set to ``txt``, naming the PNGs that were written; returns their names."""
    names = [f'{domain}_{name}_{split}.txt' for name in CLASSES for split in _LISTED]
    files = sorted(file for file in names if os.path.isfile(os.path.join(lists, file)))
    for file in files:
        lines = [f'{os.path.splitext(line)[0]}.png\n' for _, line in read_lines(os.path.join(lists, file))]
        write_atomically(Path(out) / 'txt' / file, ''.join(lines))
    return files
