"""From one source to cut-out faces: read, detect, choose or follow, cut."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from fsfm_mm.files.pictures import BrokenSampleError, read_image
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.ops.resizing import resize_image
from fsfm_mm.preparation.cutting.chips import cut_chip, without_black_borders
from fsfm_mm.preparation.cutting.reading import FrameSearch, read_frames, read_picture
from fsfm_mm.preparation.cutting.tracks import choose_faces, choose_track
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.settings import CROP_MARGIN, Settings
from fsfm_mm.preparation.sources.items import Item, Origin
from fsfm_mm.text import printable

T = TypeVar('T')
#: What is read of a video before its frames are searched for faces, at most.
_BATCH_BYTES = 1 << 26
_BATCH_FRAMES = 16


class Clock:
    """Seconds that each stage took, measured where the work is done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def iterate(self, name: str, values: Iterable[T]) -> Iterator[T]:
        """Count the making of the values to a stage."""
        iterator = iter(values)
        while True:
            with self.stage(name):
                try:
                    value = next(iterator)
                except StopIteration:
                    return
            yield value


@dataclass
class Cut:
    """A face that was cut out, or the record of why there is none.

    Attributes:
        record: Its line of the manifest.
        key: Name of the result without ending; '' without a face.
        slot: Where the crop is kept; None without one.
        landmarks: float (5, 2) in the crop's pixels, or None.
        origin: The picture of which it is all; None where it was cut out.
    """

    record: FaceRecord
    key: str = ''
    slot: int | None = None
    landmarks: np.ndarray | None = None
    origin: Origin | None = None


@dataclass
class Cutter:
    """Cuts the wanted faces out of a source.

    Attributes:
        settings: Choice, margin, size, least face.
        detector: Finds the faces.
        keep: Takes a crop, uint8 (S, S, 3), and returns where it is kept.
        alive: Called after every few frames of a video, also of those that are only passed over.
        clock: Counts the seconds of reading, detecting and cutting.
    """

    settings: Settings
    detector: FaceDetector
    keep: Callable[[np.ndarray], int]
    alive: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=Clock)

    def cut(self, item: Item) -> list[Cut]:
        """Cut the wanted faces out of a picture or video.

        Returns:
            At least one: the faces, and what else became of the source or of single frames.

        Raises:
            StoppedError: A picture that is to keep its size has another than all the others.
        """
        if item.frames is not None:
            return self._cut_searched(item) if item.frames.search else self._cut_video(item)
        try:
            with self.clock.stage('read'):
                picture = (read_image if self.detector.as_stored else read_picture)(item.path)
        except BrokenSampleError as error:
            return [nothing(item, 'unreadable', str(error))]
        if self.detector.as_stored:
            return [self._take_whole(item, picture)]
        return self.cut_picture(item, picture)

    def cut_picture(self, item: Item, picture: np.ndarray) -> list[Cut]:
        """Cut the wanted faces out of a picture that is read, uint8 (H, W, 3) BGR; as :meth:`cut`."""
        (faces,) = self._detect([picture])
        chosen = choose_faces(faces, self.settings.choice)
        with self.clock.stage('cut'):
            cuts = [self._cut_face(item, picture, face, number) for number, face in enumerate(chosen)]
        for number, cut in enumerate(cuts):
            cut.key = _person(item.key, number)
        return cuts or [nothing(item, 'no_face')]

    def _take_whole(self, item: Item, picture: np.ndarray) -> Cut:
        height, width = picture.shape[:2]
        only = self.detector.only_size
        if only is not None and (height, width) != (only, only):
            raise StoppedError(
                f'{printable(item.path)} is {width}x{height} pixels, but the first picture {only}x{only}: --size '
                'resizes them'
            )
        assert self.settings.size is not None
        with self.clock.stage('cut'):
            crop = resize_image(picture, (self.settings.size, self.settings.size))
        return Cut(FaceRecord(item.source), item.key, self.keep(crop), None, Origin(item, (height, width)))

    def _detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        with self.clock.stage('detect'):
            found = self.detector.detect(pictures)
        # copies: a detector may return the same object twice, but videos tell faces apart by identity
        return [
            [replace(face) for face in faces if self._usable(face, picture.shape[1], picture.shape[0])]
            for faces, picture in zip(found, pictures)
        ]

    def _usable(self, face: Face, width: int, height: int) -> bool:
        aligned = self.settings.chip_padding is not None
        return _in_view(face.box, width, height) and not (aligned and face.landmarks is None)

    def _cut_face(
        self, item: Item, picture: np.ndarray, face: Face, number: int, frame: int | None = None
    ) -> Cut:
        # a picture that is a crop already has its margin
        margin = 1.0 if self.detector.crops_already else self.settings.margin
        square = crop_square(face.box, picture.shape[1], picture.shape[0], margin)
        if self.settings.cut_black_borders:
            bright = without_black_borders(picture)
            if bright is None:
                return nothing(item, 'no_face', 'the picture is black all over', frame)
            square = bright
        record = FaceRecord(
            source=item.source,
            root=item.root,
            frame=frame,
            face=number,
            score=round(float(face.score), 4),
            box=[round(float(value), 2) for value in face.box],
            square=None if self.settings.chip_padding is not None else list(square),
            landmarks=None if face.landmarks is None else np.round(face.landmarks, 2).tolist(),
        )
        side = _side(face)
        if side < self.settings.min_face:
            record.status = 'small'
            record.message = (
                f'the face is {side:.0f} pixels large, wished are {self.settings.min_face} or more'
            )
            return Cut(record)
        if self.settings.chip_padding is not None:
            assert face.landmarks is not None and self.settings.size is not None  # see _usable and Settings
            chip, points = cut_chip(picture, face.landmarks, self.settings.size, self.settings.chip_padding)
            return Cut(record, '', self.keep(chip), points)
        slot = self.keep(cut_out(picture, square, self.settings.size))
        return Cut(record, '', slot, landmarks_in(face.landmarks, square, self.settings.size))

    def _cut_searched(self, item: Item) -> list[Cut]:
        """Of each chosen frame, or the next one with a face that is large enough, that face."""
        assert item.frames is not None
        search = FrameSearch(item.path, item.frames, self.alive)
        faces: dict[int, tuple[np.ndarray, Face]] = {}
        broken: list[Cut] = []
        try:
            for index, picture in self.clock.iterate('read', search):
                self.alive()
                large = [face for face in self._detect([picture])[0] if _side(face) >= self.settings.min_face]
                for face in choose_faces(large, self.settings.choice)[:1]:
                    search.take(index)
                    faces[index] = picture, face
        except BrokenSampleError as error:  # what was found before it is used
            broken = [nothing(item, 'unreadable', str(error))]
        cuts = []
        for number, (start, place) in enumerate(zip(search.starts, search.places)):
            if place is None:
                cuts.append(nothing(item, 'no_face', 'no face from this frame on', start))
                continue
            picture, face = faces[place]
            with self.clock.stage('cut'):
                cut = self._cut_face(item, picture, face, 0, place)
            if cut.slot is not None:
                cut.key = item.key + item.frame_name.format(index=place, number=number)
            cuts.append(cut)
        return cuts + broken

    def _cut_video(self, item: Item) -> list[Cut]:
        frames: list[int] = []
        faces: list[list[Face]] = []
        cuts: dict[int, Cut] = {}  # by the face's id
        broken: list[Cut] = []
        assert item.frames is not None
        try:
            frames_read = read_frames(item.path, item.frames, self.alive)
            for batch in _batches(self.clock.iterate('read', frames_read)):
                self.alive()
                frames += [index for index, _ in batch]
                found = self._detect([picture for _, picture in batch])
                faces += found
                with self.clock.stage('cut'):
                    for (index, picture), here in zip(batch, found):
                        cuts.update(
                            {id(face): self._cut_face(item, picture, face, 0, index) for face in here}
                        )
        except BrokenSampleError as error:  # what was read before it is used
            broken = [nothing(item, 'unreadable', str(error))]
        people = (
            choose_track(faces, self.settings.choice)
            if self.settings.follow
            else [list(enumerate(choose_faces(here, self.settings.choice))) for here in faces]
        )
        chosen = [[(rank, cuts[id(face)]) for rank, face in here] for here in people]
        return _named(item, frames, chosen) + broken


def _named(item: Item, frames: list[int], chosen: list[list[tuple[int, Cut]]]) -> list[Cut]:
    """The chosen faces of a video under their names, and a record for each frame without any."""
    cuts = []
    for number, (frame, here) in enumerate(zip(frames, chosen)):
        for rank, cut in here:
            cut.record.face = rank
            cut.key = _person(item.key, rank) + item.frame_name.format(index=frame, number=number)
            cuts.append(cut)
        if not here:
            cuts.append(nothing(item, 'no_face', frame=frame))
    return cuts


def _person(key: str, number: int) -> str:
    return f'{key}_face{number}' if number else key


def nothing(item: Item, status: str, message: str = '', frame: int | None = None) -> Cut:
    """Why there is no face of a source, or of a frame of it."""
    return Cut(FaceRecord(item.source, item.root, status, message, frame))


def _side(face: Face) -> float:
    left, top, right, bottom = face.box
    return float(max(right - left, bottom - top))


def _in_view(box: Sequence[float] | np.ndarray, width: int, height: int) -> bool:
    """Whether a box has an area, and some of it lies in a picture."""
    left, top, right, bottom = box
    return right > max(left, 0) and bottom > max(top, 0) and left < width and top < height


def _batches(frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[list[tuple[int, np.ndarray]]]:
    """A few frames at a time, of bounded size; those before an error come before it."""
    batch: list[tuple[int, np.ndarray]] = []
    problem = None
    try:
        for frame in frames:
            batch.append(frame)
            if len(batch) >= _BATCH_FRAMES or len(batch) * frame[1].nbytes >= _BATCH_BYTES:
                yield batch
                batch = []
    except BrokenSampleError as error:
        problem = error
    if batch:
        yield batch
    if problem is not None:
        raise problem


def crop_square(
    box: Sequence[float] | np.ndarray, width: int, height: int, margin: float = CROP_MARGIN
) -> tuple[int, int, int, int]:
    """Square about a face box, clipped to the picture; a square still, as in FaceForensics++.

    The side is ``margin`` times the longer side of the box, in whole pixels; it begins half a side, rounded down,
    before the box's centre, rounded down. A square that reaches over the picture's left or top edge begins at that
    edge, and one that reaches over the right or bottom edge gets shorter.

    Args:
        box: Left, top, right, bottom in pixels.
        width: Width of the picture.
        height: Height of the picture.
        margin: Factor, above 0.

    Returns:
        Left, top, right, bottom in whole pixels, right - left == bottom - top >= 1.

    Raises:
        ValueError: When the box has no area or lies outside the picture.
    """
    left, top, right, bottom = (float(value) for value in box)
    if not _in_view(box, width, height):
        raise ValueError(f'the box {[left, top, right, bottom]} holds nothing of a {width}x{height} picture.')
    side = max(int(max(right - left, bottom - top) * margin), 1)
    x0 = min(max(math.floor((left + right) / 2) - side // 2, 0), width - 1)
    y0 = min(max(math.floor((top + bottom) / 2) - side // 2, 0), height - 1)
    side = min(side, width - x0, height - y0)
    return x0, y0, x0 + side, y0 + side


def cut_out(picture: np.ndarray, square: tuple[int, int, int, int], size: int | None = None) -> np.ndarray:
    """Cut a square out of a picture and resize it.

    Args:
        picture: uint8 (H, W, 3).
        square: Left, top, right, bottom inside the picture, see :func:`crop_square`; a rectangle is stretched to the
            square result.
        size: Side of the result in pixels; None keeps the square's own.

    Returns:
        uint8 (size, size, 3), an array of its own; bicubic, averaged over areas where it shrinks (antialiased).
    """
    x0, y0, x1, y1 = square
    crop = picture[y0:y1, x0:x1]
    if size is None or crop.shape[:2] == (size, size):
        return np.ascontiguousarray(crop).copy()
    return resize_image(crop, (size, size))


def landmarks_in(
    landmarks: np.ndarray | None, square: tuple[int, int, int, int], size: int | None = None
) -> np.ndarray | None:
    """Landmarks in the pixels of a crop.

    Args:
        landmarks: float (5, 2) in pixels of the picture, or None.
        square: The square that was cut out.
        size: Side of the resized crop; None for the square's own.

    Returns:
        float64 (5, 2), or None.
    """
    if landmarks is None:
        return None
    scale = 1.0 if size is None else size / (square[2] - square[0])
    # pixel centres are at +0.5, before and after
    return (np.asarray(landmarks, np.float64) + 0.5 - np.array(square[:2])) * scale - 0.5
