"""Opening every file of a data set, in several processes, and keeping a few numbers of each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import cv2
import numpy as np

from fsfm_mm.doctor.properties import measure
from fsfm_mm.files import sha256_of
from fsfm_mm.files.parallel import Attempt, Pool
from fsfm_mm.files.pictures import BrokenSampleError, WrongSizeError, read_image, read_parsing_map
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.ops.resizing import resize_labels
from fsfm_mm.regions import NUM_LABELS, REGION_LABELS, REGION_ORDER, region_membership
from fsfm_mm.text import printable

CHUNK = 64
#: Side of the grey copies in pixels.
THUMB = 16
#: Regions are counted on the grid of the published recipe: 14x14 patches of 16 pixels.
GRID, PATCH = 14, 16
#: Sides in pixels between which :func:`detail_of` looks for detail.
DETAIL_SIDE, DETAIL_BASE = 32, 112
#: Labels of the parts whose places tell how a face is turned.
ABOVE, MOUTH = (*REGION_LABELS['eyebrows'], *REGION_LABELS['eyes']), REGION_LABELS['mouth']
_MEMBER = region_membership()


@dataclass
class Opened:
    """What reading one sample gave.

    Attributes:
        image: uint8 (H, W, 3) BGR; None where it cannot be read.
        labels: uint8 (H, W); None without a usable map.
        properties: What :func:`~fsfm_mm.doctor.properties.measure` gives; None where it was not asked for.
        problems: Name of the check and a sentence for everything that is wrong.
    """

    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    properties: tuple[np.ndarray, ...] | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)


class Source(Protocol):
    """Samples that can be read by number; pickled once for every worker process."""

    names: Sequence[str]

    def read(self, index: int) -> Opened:
        """Read a sample; what is wrong with it is noted, not raised."""


@dataclass
class FileSource:
    """Pictures in files.

    Attributes:
        names: Name of each for reports.
        images: Path of each.
        maps: Path of each one's parsing map, None for none.
        sha256: Checksums that pictures should have, by their number.
        measured: Numbers of the pictures whose properties are measured.
    """

    names: Sequence[str]
    images: Sequence[str]
    maps: Sequence[str | None]
    sha256: dict[int, str] = field(default_factory=dict)
    measured: frozenset[int] = frozenset()

    def read(self, index: int) -> Opened:
        """Read a picture with its map."""
        opened = Opened()
        map_path = self.maps[index]
        try:
            opened.image = read_image(self.images[index])
            if index in self.measured:
                opened.properties = measure(self.images[index], opened.image)
        except BrokenSampleError as error:
            opened.problems.append(('unreadable picture', str(error)))
        if map_path is not None:
            shape = None if opened.image is None else opened.image.shape[:2]
            try:
                opened.labels = read_parsing_map(map_path, shape)
            except WrongSizeError as error:
                height, width = shape or (0, 0)
                found = (
                    f'the map is {error.size[0]}x{error.size[1]} pixels, but its picture {width}x{height}.'
                )
                opened.problems.append(('size mismatch', f'{printable(map_path)}: {found}'))
            except BrokenSampleError as error:
                opened.problems.append(('unusable map', str(error)))
        self._check_sum(opened, index)
        return opened

    def _check_sum(self, opened: Opened, index: int) -> None:
        expected = self.sha256.get(index)
        if expected and opened.image is not None and sha256_of(self.images[index]) != expected:
            sentence = (
                f'{self.images[index]}: is not the file that the manifest describes (its SHA-256 differs).'
            )
            opened.problems.append(('changed file', sentence))


def describe(image: np.ndarray) -> tuple[int, np.ndarray]:
    """What is kept of a picture to compare it.

    Args:
        image: uint8 (H, W, 3), BGR.

    Returns:
        A 64-bit hash (which of the 8x8 lowest DCT coefficients lie above their median), and a grey copy, uint8 (256,).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])  # the first is the mean brightness
    thumb = cv2.resize(small, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    return int(np.packbits(bits).view(np.uint64)[0]), np.rint(thumb).astype(np.uint8).ravel()


def detail_of(image: np.ndarray) -> float:
    """Share of a picture's contrast, 0..1, that is finer than 32 pixels across would show."""
    whole = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    base, low = (DETAIL_BASE, DETAIL_BASE), (DETAIL_SIDE, DETAIL_SIDE)
    shrinks = min(whole.shape) > DETAIL_BASE
    grey = cv2.resize(whole, base, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    coarse = cv2.resize(
        cv2.resize(grey, low, interpolation=cv2.INTER_AREA), base, interpolation=cv2.INTER_CUBIC
    )
    return float((grey - coarse).std() / max(float(grey.std()), 1e-3))


def roll_of(labels: np.ndarray) -> float:
    """Degrees that a face is turned clockwise, -180 to 180, by eyes, brows and mouth of its map; NaN without."""
    middles = []
    for part in (ABOVE, MOUTH):  # the middle of middles: a map may call an ear an eye
        places = [np.nonzero(labels == label) for label in part]
        medians = [np.median(place, axis=1) for place in places if len(place[0])]
        if not medians:
            return float('nan')
        middles.append(np.mean(medians, axis=0))
    (y, x), (to_y, to_x) = middles
    return float(np.degrees(np.arctan2(x - to_x, to_y - y)))


@dataclass
class Scan:
    """A few numbers of each of N samples.

    Attributes:
        sizes: int32 (N, 2), height and width; 0 where the picture cannot be read.
        hashes: uint64 (N,), thumbs: uint8 (N, 256): see :func:`describe`.
        details: float32 (N,), rolls: float32 (N,): see :func:`detail_of` and :func:`roll_of`; NaN where there is none.
        labels: float32 (N, 11), share of the pixels with each label; NaN without a map.
        regions: float32 (N, 8), share of the patches in each region; NaN without a map.
        properties: Number of a measured sample -> its properties.
        problems: Number of a sample -> what is wrong with it: name of the check, sentence.
    """

    sizes: np.ndarray
    hashes: np.ndarray
    thumbs: np.ndarray
    details: np.ndarray
    rolls: np.ndarray
    labels: np.ndarray
    regions: np.ndarray
    properties: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)
    problems: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int) -> Scan:
        """Make room for ``count`` samples."""
        return cls(
            np.zeros((count, 2), np.int32),
            np.zeros(count, np.uint64),
            np.zeros((count, THUMB * THUMB), np.uint8),
            np.full(count, np.nan, np.float32),
            np.full(count, np.nan, np.float32),
            np.full((count, NUM_LABELS), np.nan, np.float32),
            np.full((count, len(REGION_ORDER)), np.nan, np.float32),
        )

    def note(self, index: int, opened: Opened) -> None:
        """Keep the numbers of one sample."""
        if opened.image is not None:
            self.sizes[index] = opened.image.shape[:2]
            self.hashes[index], self.thumbs[index] = describe(opened.image)
            self.details[index] = detail_of(opened.image)
        if opened.labels is not None:
            self.rolls[index] = roll_of(opened.labels)
            counts = np.bincount(opened.labels.ravel(), minlength=NUM_LABELS)
            self.labels[index] = counts / opened.labels.size
            # the grid of the published recipe, whatever the size
            grid = patch_labels(resize_labels(opened.labels, (GRID * PATCH, GRID * PATCH)), PATCH)
            self.regions[index] = _MEMBER[:, grid.ravel()].mean(axis=1)
        if opened.properties is not None:
            self.properties[index] = opened.properties
        if opened.problems:
            self.problems[index] = opened.problems

    def put(self, start: int, part: Scan) -> None:
        """Take in the samples from number ``start`` on."""
        stop = start + len(part.sizes)
        for name in ('sizes', 'hashes', 'thumbs', 'details', 'rolls', 'labels', 'regions'):
            getattr(self, name)[start:stop] = getattr(part, name)
        self.properties |= {start + index: values for index, values in part.properties.items()}
        self.problems |= {start + index: found for index, found in part.problems.items()}

    def of(self, check: str) -> list[tuple[int, str]]:
        """Samples with a certain problem: number and sentence, in order."""
        return [
            (index, sentence)
            for index in sorted(self.problems)
            for name, sentence in self.problems[index]
            if name == check
        ]


def scan(source: Source, workers: int, progress: bool = True) -> Scan:
    """Read all samples of a source.

    Args:
        source: The samples.
        workers: Processes; 0 reads in this one.
        progress: Show on stderr how far it is.

    Returns:
        What was read; a file that kills its process twice is an unreadable picture.

    Raises:
        StoppedError: Processes do not start.
    """
    count = len(source.names)
    result = Scan.empty(count)
    tasks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    pool = Pool(min(workers, count // CHUNK))
    with ProgressBar(count, 'pictures', shown=progress) as bar:
        parts = pool.work(
            partial(_begin, source), tasks, lambda task, position: printable(source.names[task[position]])
        )
        for indices, part in parts:
            result.put(indices.start, part)
            bar.add(len(indices))
    return result


def _begin(source: Source, number: int) -> Callable[[range, Attempt], Scan]:
    if multiprocessing.parent_process() is not None:
        # decoders of C libraries complain to stderr of each broken file, through the progress bar
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
    return partial(_read_part, source)


def _read_part(source: Source, indices: range, attempt: Attempt) -> Scan:
    part = Scan.empty(len(indices))
    for position, index in enumerate(indices):
        if position in attempt.skip:
            opened = Opened(problems=[('unreadable picture', f'{attempt.skip[position]}.')])
        else:
            attempt.tell((position,))
            opened = source.read(index)
        part.note(position, opened)
    return part
