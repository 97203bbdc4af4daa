"""Reading photos and videos of any origin, and saying precisely what is wrong with a broken file."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Collection, Container, Iterable, Iterator

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, features

from fsfm_mm.files.broken import broken, reason
from fsfm_mm.files.picture_headers import heif_says_turns, kind_of_heif
from fsfm_mm.files.pictures import (
    BrokenSampleError,
    check_header,
    is_cut_jpeg,
    only_errors,
    open_picture,
    read_sample,
)
from fsfm_mm.preparation.cutting.hdf5_frames import is_hdf5, read_hdf5_frames
from fsfm_mm.preparation.cutting.videos import Video, has_pyav, opened
from fsfm_mm.preparation.sources.items import FrameChoice
from fsfm_mm.text import printable

#: Contents that are read, whatever the file is called. Not all that PIL knows: EPS would start another program.
_FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP')
#: What is read where it is installed, and what to install: AVIF by some builds of PIL only, HEIC by an extra.
_WITH = {'AVIF': '--upgrade pillow', 'HEIF': 'pillow-heif'}
#: Rows of a picture that are converted at a time.
_STRIP = 256
#: Frames of a video are held back until their number is known, up to so many bytes.
_HELD_BYTES = 1 << 28
#: A video that ends before this share of its stated length is broken; a few frames less are common and harmless.
_WHOLE = 0.9
#: Frames that are decoded between two signs of life.
_ALIVE_EVERY = 100


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """Read a photo as it is meant to be seen.

    An EXIF orientation is applied (of HEIC and AVIF only where the file has no turns of its own). Grey, palette and
    CMYK pictures become RGB, 16 bits their upper 8, transparent parts are put over white, of an animation or several
    pages the first is taken. Colour profiles are not applied.

    Args:
        path: The file; any characters that the file system allows.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        BrokenSampleError: The file cannot be read, is cut off, has more pixels than
            :func:`~fsfm_mm.files.picture_headers.max_pixels`, or is no picture.
    """
    return decode_picture(read_sample(path), path)


def decode_picture(data: bytes, path: str | os.PathLike) -> np.ndarray:
    """Decode the bytes of a photo, see :func:`read_picture`; ``path`` is what they are called in a message."""
    check_header(data, path)
    kind = kind_of_heif(data)
    if kind is not None and not can_read(kind):
        raise BrokenSampleError(
            f'{printable(path)}: is a picture in {kind}, which is read after `pip install {_WITH[kind]}`.'
        )
    try:
        with open_picture(data, _FORMATS if kind is None else (kind,)) as image:
            if image.format == 'JPEG' and image.mode in ('L', 'RGB'):
                picture = _decode_plain_jpeg(data)
                if picture is not None:
                    return picture
            if kind == 'HEIF' and not heif_says_turns(data):
                # pillow-heif takes the file's own turns for granted, and those of EXIF away
                image.getexif()[ExifTags.Base.Orientation] = image.info.get('original_orientation') or 1
            return _decode(image)
    except Image.UnidentifiedImageError as error:
        raise BrokenSampleError(
            f'{printable(path)}: is not a picture, or its beginning is damaged '
            f'({len(data)} bytes; read are {", ".join((*_FORMATS, *_WITH))}).'
        ) from error
    except Exception as error:  # damaged files make decoders raise nearly anything
        told = f': cannot be decoded as a picture ({reason(error)}).'
        raise broken(path, told, BrokenSampleError) from error


def can_read(kind: str) -> bool:
    """Whether PIL reads AVIF or HEIF here; it does so with one thread from now on."""
    if kind == 'AVIF':
        if not features.check('avif'):
            return False
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        return True
    if importlib.util.find_spec('pillow_heif') is None:
        return False
    import pillow_heif  # an extra: only who has such files needs it

    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True


def _decode_plain_jpeg(data: bytes) -> np.ndarray | None:
    """OpenCV gives the same pixels as PIL in half the time; None where it is better to ask PIL."""
    if is_cut_jpeg(data):
        return None
    try:
        with only_errors():
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # beyond OpenCV's limits: PIL decodes it, or says what is wrong
        return None


def _decode(image: Image.Image) -> np.ndarray:
    """Any picture of PIL's as uint8 (H, W, 3) BGR."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith('I;16'):
        gray = (np.asarray(image) >> 8).astype(np.uint8)  # PIL's own conversion clips at 255
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    if image.mode in ('I', 'F'):
        raise ValueError('its pixels have 32 bits, whose range nobody states: save it with 8 or 16')
    picture = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(
        0, image.height, _STRIP
    ):  # a copy of the whole for each step would cost five times as much
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        if strip.has_transparency_data:
            strip = strip.convert('RGBA')
            strip = Image.alpha_composite(Image.new('RGBA', strip.size, 'white'), strip)
        picture[top : top + _STRIP] = np.asarray(strip.convert('RGB'))[..., ::-1]
    return picture


def read_frames(
    path: str | os.PathLike,
    choice: FrameChoice,
    alive: Callable[[], None] = lambda: None,
    reader: str = 'auto',
) -> Iterator[tuple[int, np.ndarray]]:
    """Read the chosen frames of a video, upright; or of an HDF5 file of frames.

    Every frame is decoded in turn, since seeking is not exact in most formats. The number of frames that a file
    states may be wrong: where decoding finds another one, the choice is made anew from that.

    Args:
        path: The file; any characters that the file system allows.
        choice: Which frames.
        alive: Called every hundred frames that are decoded, wanted or not.
        reader: Who decodes it, one of :data:`~fsfm_mm.preparation.cutting.videos.VIDEO_READERS`.

    Yields:
        Number of the frame, from 0, ascending, and the frame, uint8 (H, W, 3) BGR.

    Raises:
        BrokenSampleError: The file is no video or holds no frame; or, *after* all chosen frames of the readable
            beginning have been yielded, it breaks off long before its stated end.
    """
    if is_hdf5(path):
        yield from read_hdf5_frames(path, choice)
        return
    if choice.mode in ('stride', 'all'):
        first = _Pass(
            path, range(0, sys.maxsize, choice.value if choice.mode == 'stride' else 1), alive, reader
        )
        yield from first
    else:
        stated, frame_bytes = _stated(path, reader)
        wanted = frozenset(choice.indices(stated).tolist())
        fits = len(wanted) * frame_bytes <= _HELD_BYTES
        first = _Pass(path, wanted if fits else frozenset(), alive, reader)
        held: Iterable[tuple[int, np.ndarray]] = list(first)
        if not fits or first.count != stated:
            wanted = frozenset(choice.indices(first.count).tolist())
            # the rest was decoded before
            held = itertools.islice(_Pass(path, wanted, alive, reader), len(wanted))
        yield from held
    if first.problem:
        raise BrokenSampleError(f'{printable(path)}: {first.problem}')


def read_more_frames(
    path: str | os.PathLike,
    wanted: Collection[int],
    alive: Callable[[], None] = lambda: None,
    reader: str = 'auto',
) -> Iterator[tuple[int, np.ndarray]]:
    """Read frames of a video by their numbers, as :func:`read_frames` gives them; none for those beyond its end.

    What is wrong with the video was told by the first reading of it.
    """
    yield from itertools.islice(_Pass(path, frozenset(wanted), alive, reader), len(wanted))


class FrameSearch:
    """Frames of a video that each move on to the next one that suits.

    Iterating gives the number and the picture of every frame that is to be looked at, as :func:`read_frames` does and
    with its errors; whoever looks at it says at once, by :meth:`take`, that it suits.

    Args:
        path: The file.
        choice: Which frames, of the mode 'parts'.
        alive: Called every hundred frames that are decoded.
        reader: As of :func:`read_frames`.

    Attributes:
        starts: Where each of the chosen frames begins to move on.
        places: Where each has come to; None where nothing suits up to the end.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        choice: FrameChoice,
        alive: Callable[[], None] = lambda: None,
        reader: str = 'auto',
    ) -> None:
        self.path, self.choice, self.alive, self.reader = path, choice, alive, reader
        self.starts: list[int] = []
        self.places: list[int | None] = []

    def __contains__(self, index: object) -> bool:
        assert isinstance(index, int)
        return any(place is None and start <= index for start, place in zip(self.starts, self.places))

    def take(self, index: int) -> None:
        """The frame that was given last suits."""
        self.places = [
            index if place is None and start <= index else place
            for start, place in zip(self.starts, self.places)
        ]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        count, _ = _stated(self.path, self.reader)
        while True:
            self.starts = self.choice.starts(count)
            self.places = [None] * len(self.starts)
            frames = _Pass(self.path, self, self.alive, self.reader)
            yield from frames
            if self.choice.starts(frames.count) == self.starts:
                break
            count = frames.count  # it was stated wrong
        if frames.problem:
            raise BrokenSampleError(f'{printable(self.path)}: {frames.problem}')


class _Pass:
    """One pass over a video from its beginning.

    Args:
        path: The file.
        wanted: Numbers of the frames to give; asked anew at every frame.
        alive: Called every hundred frames.
        reader: Who decodes it.

    Attributes:
        count: Frames decoded so far.
        problem: Why it ended before its end; '' where it did not. To be looked at afterwards.
    """

    def __init__(
        self, path: str | os.PathLike, wanted: Container[int], alive: Callable[[], None], reader: str
    ) -> None:
        self.path, self.wanted, self.alive, self.reader = path, wanted, alive, reader
        self.count = 0
        self.problem = ''

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        with opened(self.path, self.reader) as video:
            seen = 0.0
            while video.grab():
                seen = video.seconds
                if self.count in self.wanted:
                    frame = video.retrieve()
                    if frame is None:
                        self.problem = f'frame {self.count} cannot be decoded.'
                        return
                    yield self.count, frame
                self.count += 1
                if self.count % _ALIVE_EVERY == 0:
                    self.alive()
            self.problem = self._why_it_ended(video, seen)

    def _why_it_ended(self, video: Video, seen: float) -> str:
        if self.count == 0:
            hint = '' if self.reader == 'opencv' or has_pyav() else ' More are read after `pip install av`.'
            return f'holds no frame that can be decoded.{hint}'
        # the number is an estimate from the duration in some formats, so time decides
        stated, rate = video.stated, video.rate
        if self.count >= stated or rate <= 0 or seen + 1 / rate >= _WHOLE * stated / rate:
            return ''
        return f'breaks off after frame {self.count - 1}, {stated} frames are stated (cut off or damaged).'


def stated_frames(path: str | os.PathLike, reader: str = 'auto') -> int:
    """How many frames a video says that it has, at least 0; the file may be wrong."""
    return _stated(path, reader)[0]


def frame_rate(path: str | os.PathLike) -> float:
    """Frames a second that a video states; 25 where it states none."""
    with opened(path) as video:
        return video.rate if 0 < video.rate <= 1000 else 25.0


def _stated(path: str | os.PathLike, reader: str) -> tuple[int, int]:
    """How many frames a video says that it has, at least 0, and the bytes of a frame."""
    with opened(path, reader) as video:
        width, height = video.size
        return video.stated, width * height * 3
