"""From one source to cut-out faces: read, detect, choose or follow, cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fsfm_mm.files.archives import read_member
from fsfm_mm.files.pictures import BrokenSampleError, decode_image, read_image
from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.ops.resizing import resize_image
from fsfm_mm.preparation.cutting.chips import cut_chip, without_black_borders
from fsfm_mm.preparation.cutting.clock import Clock
from fsfm_mm.preparation.cutting.hdf5_frames import is_hdf5
from fsfm_mm.preparation.cutting.reading import (
    FrameSearch,
    decode_picture,
    read_frames,
    read_more_frames,
    read_picture,
    stated_frames,
)
from fsfm_mm.preparation.cutting.squares import crop_square, cut_out, in_view, landmarks_in
from fsfm_mm.preparation.cutting.tracks import choose_faces, choose_track, under_mask, without_doubles
from fsfm_mm.preparation.cutting.turning import (
    most_common,
    quarters_of,
    quarters_of_faceless,
    turn_picture,
    turned_by,
)
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.settings import Settings
from fsfm_mm.preparation.sources.items import Item, Origin, parts_of
from fsfm_mm.text import printable

#: What is read of a video before its frames are searched for faces, at most.
_BATCH_BYTES = 1 << 26
_BATCH_FRAMES = 16
#: First frames of a video that are looked at turned where they show no face.
_FACELESS = 3


@dataclass
class Cut:
    """A face that was cut out, or the record of why there is none.

    Attributes:
        record: Its line of the manifest.
        key: Name of the result without ending; '' without a face.
        slot: Where the crop is kept; None without one.
        landmarks: float (5, 2) in the crop's pixels, or None.
        origin: Where it comes from, of a picture with a map; None of others.
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
                picture = self._read(item)
        except BrokenSampleError as error:
            return [nothing(item, 'unreadable', str(error))]
        if self.detector.as_stored:
            return [self._take_whole(item, picture)]
        return self.cut_picture(item, picture)

    def cut_picture(self, item: Item, picture: np.ndarray) -> list[Cut]:
        """Cut the wanted faces out of a picture that is read, uint8 (H, W, 3) BGR; as :meth:`cut`."""
        (faces,) = self._detect([picture])
        quarters = self._quarters(picture, faces, bool(faces) and not self.settings.upright)
        if quarters and not self.settings.upright:
            return [nothing(item, 'turned', turned_by(quarters))]
        if quarters:
            picture = turn_picture(picture, quarters)
            (faces,) = self._detect([picture])
        chosen = choose_faces(faces, self.settings.choice)
        with self.clock.stage('cut'):
            cuts = [
                self._cut_face(item, picture, face, number, quarters=quarters)
                for number, face in enumerate(chosen)
            ]
        for number, cut in enumerate(cuts):
            cut.key = _person(item.key, number)
        return cuts or [nothing(item, 'no_face')]

    def _read(self, item: Item) -> np.ndarray:
        as_stored = self.detector.as_stored or bool(item.map_files)  # maps are of the stored pixels
        if item.member is None:
            return (read_image if as_stored else read_picture)(item.path)
        try:
            data = read_member(item.path, item.member)
        except OSError as error:
            raise BrokenSampleError(f'{printable(item.source)}: cannot be read ({error}).') from error
        return decode_image(data, item.source) if as_stored else decode_picture(data, item.source)

    def _quarters(self, picture: np.ndarray, faces: list[Face], later: bool = False) -> int:
        """How a picture is to be turned; 0 where its faces are looked at one by one ``later``."""
        if later:
            return 0
        chosen = choose_faces(faces, self.settings.choice)[:1]
        if not chosen:
            return quarters_of_faceless(picture, self.detector)
        return quarters_of(picture, chosen[0], self.detector, self.settings.chip_padding is not None)

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
        usable = [
            [replace(face) for face in faces if self._usable(face, picture.shape[1], picture.shape[0])]
            for faces, picture in zip(found, pictures)
        ]
        return list(map(without_doubles, usable)) if self.settings.choice == 'all' else usable

    def _usable(self, face: Face, width: int, height: int) -> bool:
        aligned = self.settings.chip_padding is not None
        return in_view(face.box, width, height) and not (aligned and face.landmarks is None)

    def _cut_face(
        self,
        item: Item,
        picture: np.ndarray,
        face: Face,
        number: int,
        frame: int | None = None,
        quarters: int = 0,
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
            turned=90 * quarters or None,
        )
        side = _side(face)
        if side < self.settings.min_face:
            record.status = 'small'
            record.message = (
                f'the face is {side:.0f} pixels large, wished are {self.settings.min_face} or more'
            )
            return Cut(record)
        if lies := self._quarters(picture, [face]):
            record.status, record.message = 'turned', turned_by(lies)
            return Cut(record)
        if self.settings.chip_padding is not None:
            assert face.landmarks is not None and self.settings.size is not None  # see _usable and Settings
            chip, points = cut_chip(picture, face.landmarks, self.settings.size, self.settings.chip_padding)
            return Cut(record, '', self.keep(chip), points)
        slot = self.keep(cut_out(picture, square, self.settings.size))
        inside = landmarks_in(face.landmarks, square, self.settings.size)
        stored = picture.shape[:2] if quarters % 2 == 0 else picture.shape[1::-1]
        return Cut(
            record, '', slot, inside, Origin(item, stored, square, quarters) if item.map_files else None
        )

    def _cut_searched(self, item: Item) -> list[Cut]:
        """Of each chosen frame, or the next one with a face that is large enough, that face."""
        assert item.frames is not None
        search = FrameSearch(item.path, item.frames, self.alive, self.settings.video_reader)
        faces: dict[int, tuple[np.ndarray, Face, int]] = {}
        small = -1
        broken: list[Cut] = []
        try:
            for index, picture in self.clock.iterate('read', search):
                self.alive()
                (found,) = self._detect([picture])
                if self.settings.upright and (quarters := self._quarters(picture, found)):
                    picture = turn_picture(picture, quarters)
                    (found,) = self._detect([picture])
                else:
                    quarters = 0
                large = [face for face in found if _side(face) >= self.settings.min_face]
                small = index if found and not large else small
                for face in choose_faces(large, self.settings.choice)[:1]:
                    search.take(index)
                    faces[index] = picture, face, quarters
        except BrokenSampleError as error:  # what was found before it is used
            broken = [nothing(item, 'unreadable', str(error))]
        cuts = []
        for number, (start, place) in enumerate(zip(search.starts, search.places)):
            if place is None:
                status = 'small' if small >= start else 'no_face'
                which = 'no face that is large enough' if small >= start else 'no face'
                cuts.append(nothing(item, status, f'{which} from this frame on', start))
                continue
            picture, face, quarters = faces[place]
            with self.clock.stage('cut'):
                cut = self._cut_face(item, picture, face, 0, place, quarters)
            if cut.slot is not None:
                cut.key = item.key + item.frame_name.format(index=place, number=number)
            cuts.append(cut)
        return cuts + broken

    def _cut_video(self, item: Item) -> list[Cut]:
        """Of each chosen frame the chosen people, or of another frame of the same part of the video."""
        assert item.frames is not None
        reader = self.settings.video_reader
        seen = _Seen()
        broken: list[Cut] = []
        try:
            self._look(item, seen, read_frames(item.path, item.frames, self.alive, reader))
        except BrokenSampleError as error:  # what was read before it is used
            broken = [nothing(item, 'unreadable', str(error))]
        wanted = sorted(seen.faces)
        people = self._people(seen, wanted)
        parts = (
            parts_of(wanted, stated_frames(item.path, reader))
            if wanted
            and self.settings.follow
            and item.frames.mode in ('count', 'middle')
            and not is_hdf5(item.path)
            else {}
        )
        more = [n for frame, part in parts.items() if not _ends_search(people[frame]) for n in part]
        if more:
            self._look(item, seen, read_more_frames(item.path, more, self.alive, reader))
            people = self._people(seen, wanted)
        cuts = []
        for number, frame in enumerate(wanted):
            others = [
                n
                for n in parts.get(frame, ())
                if n in people and any(c.slot is not None for _, c in people[n])
            ]
            if others and not _ends_search(people[frame]):
                frame = min(others, key=lambda n: (abs(n - frame), n))
            for rank, cut in people[frame]:
                cut.record.face = rank
                cut.key = _person(item.key, rank) + item.frame_name.format(index=frame, number=number)
                cuts.append(cut)
            if not people[frame]:
                cuts.append(self._nobody(item, seen, frame))
        if '{number' in item.frame_name and 0 < len(wanted) < item.frames.value:
            told = f'frames in the video: {len(wanted)}, needed: {item.frames.value}'
            cuts.append(nothing(item, 'short', told))
        return cuts + broken

    def _nobody(self, item: Item, seen: _Seen, frame: int) -> Cut:
        if seen.faces[frame] or frame in seen.others:
            return nothing(item, 'other_person', frame=frame)
        if seen.faceless and not self.settings.upright:
            return nothing(item, 'turned', turned_by(seen.faceless), frame)
        return nothing(item, 'no_face', frame=frame)

    def _people(self, seen: _Seen, wanted: Sequence[int]) -> dict[int, list[tuple[int, Cut]]]:
        """Frame -> the chosen people in it with their ranks; whom to choose is decided by the wanted frames."""
        frames = sorted(seen.faces)
        faces = [seen.faces[frame] for frame in frames]
        if self.settings.follow:
            voters = set(wanted)
            chosen = choose_track(faces, self.settings.choice, [frame in voters for frame in frames])
        else:
            chosen = [list(enumerate(choose_faces(here, self.settings.choice))) for here in faces]
        return {
            frame: [(rank, seen.cuts[id(face)]) for rank, face in here] for frame, here in zip(frames, chosen)
        }

    def _look(self, item: Item, seen: _Seen, frames: Iterable[tuple[int, np.ndarray]]) -> None:
        """Find and cut out all faces of some frames."""
        for batch in _batches(self.clock.iterate('read', frames)):
            self.alive()
            found = self._detect([picture for _, picture in batch])
            if seen.quarters is None:
                lie = [self._quarters(p, f, not self.settings.upright) for (_, p), f in zip(batch, found)]
                seen.quarters = most_common(lie)
            if seen.quarters:
                batch = [(index, turn_picture(picture, seen.quarters)) for index, picture in batch]
                found = self._detect([picture for _, picture in batch])
            if item.mask_video is not None:
                numbers, reader = [index for index, _ in batch], self.settings.video_reader
                masks = dict(read_more_frames(item.mask_video, numbers, self.alive, reader))
                masks = {index: turn_picture(mask, seen.quarters) for index, mask in masks.items()}
                seen.others |= {index for (index, _), faces in zip(batch, found) if faces}
                found = [under_mask(faces, masks.get(index)) for (index, _), faces in zip(batch, found)]
            for (index, picture), here in zip(batch, found):
                seen.faces[index] = here
                # a video without a face so far may lie on its side
                if not here and not any(seen.faces.values()) and len(seen.faces) <= _FACELESS:
                    seen.faceless = seen.faceless or self._quarters(picture, [])
                with self.clock.stage('cut'):
                    for face in here:
                        seen.cuts[id(face)] = self._cut_face(item, picture, face, 0, index, seen.quarters)


@dataclass
class _Seen:
    """What was seen of a video.

    Attributes:
        faces: Frame -> its faces.
        cuts: What came of each face, by its id.
        quarters: How its frames are turned upright; None before the first ones are seen.
        faceless: How frames without a face would be turned to show one; 0 for none.
        others: Frames with faces, of a video whose mask says which one is wanted.
    """

    faces: dict[int, list[Face]] = field(default_factory=dict)
    cuts: dict[int, Cut] = field(default_factory=dict)
    quarters: int | None = None
    faceless: int = 0
    others: set[int] = field(default_factory=set)


def _ends_search(people: Sequence[tuple[int, Cut]]) -> bool:
    """Whether a frame needs no other in its place: a face was cut out, or it is a matter of how the camera lay."""
    return any(cut.slot is not None or cut.record.status == 'turned' for _, cut in people)


def _person(key: str, number: int) -> str:
    return f'{key}_face{number}' if number else key


def nothing(item: Item, status: str, message: str = '', frame: int | None = None) -> Cut:
    """Why there is no face of a source, or of a frame of it."""
    return Cut(FaceRecord(item.source, item.root, status, message, frame))


def _side(face: Face) -> float:
    left, top, right, bottom = face.box
    return float(max(right - left, bottom - top))


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
