"""Opening videos: with OpenCV, or with PyAV (``av``), which decodes more of them; what both can read is the same.

Both hold an FFmpeg, which would follow playlists and scripts to other files and addresses, whatever a file is called:
here it opens the one file it is given, and only as a container that holds its frames itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from fsfm_mm.files.picture_headers import check_pixels, max_pixels
from fsfm_mm.files.pictures import BrokenSampleError, only_errors, refuse_special
from fsfm_mm.text import printable

if TYPE_CHECKING:
    import av

#: Who reads videos; 'auto' is OpenCV, and PyAV where OpenCV cannot and PyAV is installed.
VIDEO_READERS = ('auto', 'opencv', 'pyav')
#: Containers of FFmpeg that hold their frames themselves: no playlists, scripts, patterns of names.
_CONTAINERS = (
    'asf,avi,dv,flv,gif,h264,hevc,ivf,live_flv,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,ogg,webm'
)
_LOCAL = {'format_whitelist': _CONTAINERS, 'protocol_whitelist': 'file'}
#: OpenCV hands FFmpeg's options on from this variable of the environment only.
_OPTIONS, _CHANGE = 'OPENCV_FFMPEG_CAPTURE_OPTIONS', threading.Lock()
# FFmpeg's own lines do not say which file they are about; OpenCV asks for the level once, before its first video
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')


class Video(Protocol):
    """A video that is decoded from its beginning, frame by frame.

    Attributes:
        stated: Frames that it says it has, at least 0; may be wrong.
        rate: Frames a second that it states; 0 for none.
        size: Width and height in pixels, as stored.
    """

    stated: int
    rate: float
    size: tuple[int, int]

    @property
    def seconds(self) -> float:
        """Time of the frame that was decoded last, from the beginning."""

    def grab(self) -> bool:
        """Decode the next frame; False at the end, or where nothing more can be decoded."""

    def retrieve(self) -> np.ndarray | None:
        """The frame that was decoded last, upright, uint8 (H, W, 3) BGR; None where it cannot be converted."""

    def close(self) -> None:
        """Let go of the file."""


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec('av') is not None


def check_video_reader(reader: str) -> None:
    """Raise a ValueError where there is no such reader of videos, or it is not installed."""
    if reader not in VIDEO_READERS:
        raise ValueError(f'the video reader must be one of {", ".join(VIDEO_READERS)}, found {reader!r}.')
    if reader == 'pyav' and not has_pyav():
        raise ValueError('the video reader pyav needs PyAV, which is not installed: `pip install av`.')


@contextlib.contextmanager
def opened(path: str | os.PathLike, reader: str = 'auto') -> Iterator[Video]:
    """Open a video.

    Args:
        path: The file; any characters that the file system allows.
        reader: One of :data:`VIDEO_READERS`.

    Raises:
        BrokenSampleError: It is not there, no video, no file, or its frames have too many pixels.
        ValueError: The reader is not installed.
    """
    check_video_reader(reader)
    refuse_special(path)
    name = os.path.abspath(os.fspath(path))  # FFmpeg takes 'a:b.mp4' for an address of the protocol a
    with contextlib.ExitStack() as stack:
        if not name.isascii() and printable(name) != name:
            # OpenCV dies of a name that is no UTF-8
            link = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), 'video')
            os.symlink(name, link)
            name = link
        try:
            video = _chosen(name, reader)
        except ValueError as error:  # too many pixels
            raise BrokenSampleError(f'{path}: {error}.') from error
        if video is None:
            hint = '' if reader == 'opencv' or has_pyav() else '; more are read after `pip install av`'
            raise BrokenSampleError(
                f'{printable(path)}: cannot be opened as a video '
                f'({os.path.getsize(path)} bytes; cut off, damaged or not a video{hint}).'
            )
        stack.callback(video.close)
        yield video


def _chosen(name: str, reader: str) -> Video | None:
    if reader == 'pyav':
        return _pyav(name)
    first = _opencv(name)
    if reader == 'opencv' or not has_pyav() or (first is not None and first.decodes):
        return first
    second = _pyav(name)
    if first is None or (second is not None and second.decodes):
        if first is not None:
            first.close()
        return second
    if second is not None:
        second.close()
    return first


class _Ahead:
    """Looks at whether there is a first frame before it is asked for."""

    _waiting: bool | None = None

    @property
    def decodes(self) -> bool:
        """Whether a first frame can be decoded; to be asked before the first one is grabbed."""
        if self._waiting is None:
            self._waiting = self._next()
        return self._waiting

    def grab(self) -> bool:
        """As of :class:`Video`."""
        if self._waiting is not None:
            found, self._waiting = self._waiting, None
            return found
        return self._next()

    def _next(self) -> bool:
        raise NotImplementedError


@contextlib.contextmanager
def _only_this_file() -> Iterator[None]:
    with _CHANGE:
        before = os.environ.get(_OPTIONS)
        ours = '|'.join(f'{key};{value}' for key, value in _LOCAL.items())
        os.environ[_OPTIONS] = f'{before}|{ours}' if before else ours
        try:
            yield
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


def _silence() -> contextlib.AbstractContextManager[None]:
    """OpenCV does not say which file its errors are about."""
    return only_errors(cv2.utils.logging.LOG_LEVEL_SILENT)


def _opencv(name: str) -> _OpenCVVideo | None:
    with _silence(), _only_this_file():
        # one thread: files are worked on in parallel, and every thread holds frames
        video = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not video.isOpened():
        video.release()
        return None
    return _OpenCVVideo(video)


class _OpenCVVideo(_Ahead):
    def __init__(self, video: cv2.VideoCapture) -> None:
        self._video = video
        width, height = (
            int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        self.size = width, height
        self.stated = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.rate = max(float(video.get(cv2.CAP_PROP_FPS)), 0.0)
        try:
            check_pixels(width, height)
        except ValueError:
            self.close()
            raise

    def _next(self) -> bool:
        with _silence():
            return self._video.grab()

    @property
    def seconds(self) -> float:
        return self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def retrieve(self) -> np.ndarray | None:
        with _silence():
            whole, frame = self._video.retrieve()
        return frame if whole else None

    def close(self) -> None:
        self._video.release()


def _pyav(name: str) -> _PyAVVideo | None:
    import av  # an extra: most videos need it not

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(av.open(name, options=dict(_LOCAL), metadata_errors='replace'))
        except (av.FFmpegError, ValueError):
            return None
        stream = file.streams.best('video')
        if stream is None or stream.codec_context is None:  # nothing decodes it
            return None
        video = _PyAVVideo(file, stream)
        stack.pop_all()
        return video


class _PyAVVideo(_Ahead):
    def __init__(self, file: av.container.InputContainer, stream: Any) -> None:
        from av.video.reformatter import VideoReformatter

        self._file, self._stream = file, stream
        self._convert = VideoReformatter()
        self.size = stream.codec_context.width, stream.codec_context.height
        check_pixels(*self.size)
        stream.codec_context.thread_count = 1
        # a later frame may be larger than the file says
        stream.codec_context.options = {'max_pixels': str(min(max_pixels(), (1 << 31) - 1))}
        self.rate = float(stream.guessed_rate or 0)
        lasts = float(file.duration or 0) / 1e6 or float((stream.duration or 0) * (stream.time_base or 0))
        self.stated = max(stream.frames or int(lasts * self.rate + 0.5), 0)
        self._frames, self._last = self._decoded(), stream.start_time or 0
        self._frame: Any = None

    def _decoded(self) -> Iterator[av.VideoFrame]:
        import av

        packets, begun = self._file.demux(self._stream), False
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # cut off: what the decoder still holds
                packet = None
            try:
                for frame in self._stream.decode(packet):
                    begun = True
                    yield frame
            except av.FFmpegError:  # damaged, as OpenCV ends there: numbers of later frames would be wrong
                if begun:
                    return
            if packet is None:
                return

    def _next(self) -> bool:
        self._frame = next(self._frames, None)
        if self._frame is not None and self._frame.pts is not None:
            self._last = self._frame.pts
        return self._frame is not None

    @property
    def seconds(self) -> float:
        return float((self._last - (self._stream.start_time or 0)) * self._stream.time_base)

    def retrieve(self) -> np.ndarray | None:
        import av

        try:
            # as OpenCV converts: the same pixels
            image = self._convert.reformat(self._frame, format='bgr24', interpolation='BICUBIC', threads=1)
        except (av.FFmpegError, ValueError):
            return None
        frame = image.to_ndarray()
        turns, other = divmod(round(self._frame.rotation), 90)
        return np.ascontiguousarray(np.rot90(frame, turns)) if turns % 4 and not other else frame

    def close(self) -> None:
        self._file.close()
