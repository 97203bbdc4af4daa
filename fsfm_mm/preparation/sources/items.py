"""The pictures and videos to work on, and the frames wanted of a video."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fsfm_mm.text import printable

#: Frames of a part of a video that are tried in the place of the chosen one.
_TRIES = 8
FRAME_MODES = ('count', 'middle', 'parts', 'stride', 'all')


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a video.

    Attributes:
        mode: 'count': ``value`` frames spread over the whole video (linspace from the first to the last);
            'middle': the middle frame of each of ``value`` equal parts of the video; 'parts': ``first + k *
            (n // value)`` for k = 0 .. value - 1; 'stride': every ``value``-th from the first; 'all'.
        value: Number of frames, or the stride; 1 or more.
        first: Of 'parts': the first frame.
        search: Of 'parts': each moves on to the next frame with a face, up to the end of the video; two may come to
            the same one.
    """

    mode: str = 'count'
    value: int = 32
    first: int = 0
    search: bool = False

    def __post_init__(self) -> None:
        if self.mode not in FRAME_MODES:
            raise ValueError(
                f'frames must be chosen by one of {", ".join(FRAME_MODES)}, found {self.mode!r}.'
            )
        if (self.first or self.search) and (self.mode != 'parts' or self.first < 0):
            raise ValueError(f"first and search belong to the frames 'parts', found them with {self.mode!r}.")
        if self.value < 1:
            raise ValueError(f'the number of frames, or their stride, must be 1 or more, found {self.value}.')

    def indices(self, num_frames: int) -> np.ndarray:
        """Numbers of the chosen frames, int64, ascending, without repetition.

        Args:
            num_frames: Frames of the video.

        Returns:
            Within 0 .. num_frames - 1; fewer than asked for where the video is shorter; empty for no frames.
        """
        if num_frames < 1:
            return np.empty(0, np.int64)
        if self.mode == 'count':
            # FaceForensics++ protocols: linspace(0, n - 1, count), rounded down; in integers, since a
            # floating-point linspace may round a whole number down to the frame before it
            return np.unique(np.arange(self.value) * (num_frames - 1) // max(self.value - 1, 1))
        if self.mode == 'middle':
            return np.unique((2 * np.arange(self.value) + 1) * num_frames // (2 * self.value))
        if self.mode == 'parts':
            return np.unique(self.starts(num_frames))
        return np.arange(0, num_frames, self.value if self.mode == 'stride' else 1)

    def starts(self, num_frames: int) -> list[int]:
        """Of 'parts': the frame of each part, ascending, the last of the video where it is shorter."""
        if num_frames < 1:
            return []
        return [min(self.first + k * (num_frames // self.value), num_frames - 1) for k in range(self.value)]


def parts_of(wanted: Sequence[int], num_frames: int) -> dict[int, list[int]]:
    """Chosen frame of a video -> others of its part that may take its place, ascending.

    The parts meet halfway between two chosen frames. Of a large part some frames are tried, spread over it.

    Args:
        wanted: The chosen frames, ascending.
        num_frames: Frames of the video, or about so many.
    """
    between = [(a + b) // 2 + 1 for a, b in itertools.pairwise(wanted)]
    parts = {}
    for frame, first, end in zip(wanted, [0, *between], [*between, num_frames]):
        others = [n for n in range(first, end) if n != frame]
        count = min(len(others), _TRIES)
        parts[frame] = [others[(2 * i + 1) * len(others) // (2 * count)] for i in range(count)]
    return parts


@dataclass(frozen=True)
class Item:
    """One source file.

    Attributes:
        path: The file, as given to the operating system.
        source: Path relative to its root, with '/' between folders.
        root: Number of the root among the sources, from 0.
        key: Name of its results without ending or frame number, relative, unique among all items:
            ``sub/photo``, ``train/real/000_003``.
        frames: Which frames; None for a picture.
        frame_name: What follows ``key`` in the name of a frame: a format of ``index``, its number in the video, and
            ``number``, its place among the chosen ones, both from 0.
        map_path: The parsing map of a picture; None without one, and where it is in parts.
        map_parts: Of a map in parts: number of the class and file of each, which is 0 where it is not.
        mask_video: A video of the same frames that shows in white whose face is wanted; None where nothing says it.
        member: Place of a picture in the archive ``path``, see :func:`fsfm_mm.files.archives.members`; None for a file.
    """

    path: str
    source: str
    root: int
    key: str
    frames: FrameChoice | None = None
    frame_name: str = '_frame_{index}'
    map_path: str | None = None
    map_parts: tuple[tuple[int, str], ...] = ()
    mask_video: str | None = None
    member: tuple[int, int] | None = None

    @property
    def map_files(self) -> tuple[str, ...]:
        """All files of its map."""
        return (self.map_path,) if self.map_path is not None else tuple(file for _, file in self.map_parts)


@dataclass(frozen=True)
class Origin:
    """Where a crop of a picture with a map comes from.

    Attributes:
        item: Its source.
        shape: Height and width of the picture as it is stored.
        square: What was cut out: left, top, right, bottom, whole pixels; None for all of it.
        quarters: By so many quarters of a circle the picture was turned clockwise before that.
    """

    item: Item
    shape: tuple[int, ...]
    square: tuple[int, int, int, int] | None = None
    quarters: int = 0


def items_by_key(items: Iterable[Item]) -> dict[str, Item]:
    """The items by their keys.

    Raises:
        ValueError: Two have the same one: they would overwrite each other's results.
    """
    by_key: dict[str, Item] = {}
    for item in items:
        other = by_key.setdefault(item.key, item)
        if other is not item:
            raise ValueError(
                f'{printable(other.path)} and {printable(item.path)} would both be written as {item.key}: '
                'rename or remove one.'
            )
    return by_key
