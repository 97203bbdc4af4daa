"""Drawn faces and forgeries of them, with classes, videos and domains: downstream tasks without any data."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fsfm_mm.datasets.labelled.base import LabelledDataset
from fsfm_mm.datasets.labelled.names import one_of
from fsfm_mm.drawn.face_drawing import render
from fsfm_mm.drawn.forging import DEEPFAKES, FORGERIES, saturated, to_bytes
from fsfm_mm.drawn.params import FaceParams, sample_params, varied
from fsfm_mm.registry import DATASETS


@dataclass(frozen=True)
class Capture:
    """How a domain takes its pictures: its light, its camera and its compression."""

    warmth: float  # shift of the light's colour, -1 (blue) to 1 (orange)
    ambient: float  # factor of the ambient light: flat (above 1) or hard
    exposure: float  # gain
    contrast: float  # about the middle grey
    saturation: float  # factor of the colours' strength
    blur: float  # standard deviation in pixels
    noise: float  # standard deviation in grey levels
    quality: int  # of the JPEG


#: The generated domains: a studio's camera, a telephone in warm light, and a cheap camera in cold light.
DOMAINS: dict[str, Capture] = {
    'a': Capture(0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 95),
    'b': Capture(0.6, 0.8, 1.05, 1.12, 1.1, 0.0, 2.5, 88),
    'c': Capture(-0.6, 1.3, 0.92, 0.92, 0.85, 0.4, 3.0, 72),
}
#: Standard deviations of what changes from frame to frame.
_MOVES = {'yaw': 4.0, 'pitch': 2.0, 'roll': 1.5, 'shift_x': 0.006, 'shift_y': 0.006}
_MOVES |= {'smile': 0.12, 'gaze': 0.2, 'azimuth': 2.0, 'key': 0.02}


def frame_params(person: FaceParams, capture: Capture, rng: np.random.Generator) -> FaceParams:
    """Another frame of a person's video: slightly other pose, expression and light.

    Args:
        person: The video's first frame.
        capture: The domain's style, for its light.
        rng: Random generator of the frame.

    Returns:
        The frame's parameters; person and scene are the same. Noise is left to :func:`capture_image`.
    """
    return dataclasses.replace(
        varied(person, rng, _MOVES),
        ambient=min(max(person.ambient * capture.ambient, 0.12), 0.5),
        warmth=min(max(0.6 * person.warmth + capture.warmth, -1.0), 1.0),
        noise=0.5,
    )


def capture_image(image: np.ndarray, capture: Capture, rng: np.random.Generator) -> np.ndarray:
    """Take a picture with a domain's camera: tone, blur, noise, compression.

    Args:
        image: uint8 (H, W, 3), BGR.
        capture: The domain's style.
        rng: Random generator, for the noise.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    picture = saturated(image, capture.saturation) * np.float32(capture.exposure)
    picture = 127.5 + np.float32(capture.contrast) * (picture - 127.5)
    if capture.blur > 0:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), capture.blur))
    picture += np.float32(capture.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    _, data = cv2.imencode('.jpg', to_bytes(picture), [cv2.IMWRITE_JPEG_QUALITY, capture.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def draw_frame(video: int, frame: int, kind: str, domain: str, size: int, seed: int) -> np.ndarray:
    """Draw one frame of a generated video.

    Every forgery is made before the domain's camera takes it, so that real and fake share its traces. What
    the medium of a spoof shows was taken with another camera (the domain 'a').

    Args:
        video: Number of the video, which is a person's.
        frame: Number of the frame.
        kind: 'real' or a key of ``forging.FORGERIES``.
        domain: A key of :data:`DOMAINS`.
        size: Side in pixels.
        seed: Another seed, other people.

    Returns:
        uint8 (size, size, 3), BGR; a function of the arguments alone.
    """
    capture = DOMAINS[domain]
    stream = [seed, tuple(DOMAINS).index(domain), video]
    by_frame = np.random.default_rng([*stream, 1, frame])
    # A forger uses one method throughout a video: the generator starts anew for each of its frames.
    by_video = np.random.default_rng([*stream, 0])
    person = sample_params(video, len(DOMAINS) * seed + stream[1])
    image, labels = render(frame_params(person, capture, by_frame), size)
    if kind != 'real':
        if kind not in DEEPFAKES:
            image = capture_image(image, DOMAINS['a'], by_frame)
        image = FORGERIES[kind](image, labels, by_video)
    return capture_image(image, capture, by_frame)


@functools.cache
def _draw_read_only(*arguments: Any) -> np.ndarray:
    image = draw_frame(*arguments)
    image.flags.writeable = False
    return image


@DATASETS.register_module()
class GeneratedForgeries(LabelledDataset):
    """Videos of drawn faces, every second one forged; nothing is read or stored.

    Video v has ``frames_per_video`` frames in a row, of one person; fake and real videos take turns, and so
    do the ``kinds`` among the fake ones. A sample has ``img`` (uint8 (S, S, 3), BGR) and the labelled data sets'
    keys before the pipeline, which therefore needs no LoadFace. Domains differ in light, camera and
    compression, and in their people.

    Args:
        length: Number of samples, at least two videos' worth.
        img_size: Side S in pixels, 32 or more.
        kinds: What fakes are: 'swap', 'resynthesis' (deepfakes); 'moire', 'print', 'replay' (spoofs).
        domain: 'a', 'b' or 'c'.
        seed: Another seed, other people.
        start_video: Number of the first video, even: disjoint ranges are disjoint splits.
        videos: Number of videos, in place of ``length``.
        frames_per_video: Frames of each video (the last one may have fewer, as ``length`` wants it).
        cache: Keep drawn pictures in memory, 3 * S * S bytes each, in every worker process.
        **kwargs: ``pipeline``, ``max_frames_per_video`` ... of
            :class:`~fsfm_mm.datasets.labelled.base.LabelledDataset`; the classes are 'fake' and 'real'.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        length: int = 1000,
        img_size: int = 224,
        kinds: Sequence[str] = tuple(DEEPFAKES),
        domain: str = 'a',
        seed: int = 0,
        start_video: int = 0,
        videos: int | None = None,
        frames_per_video: int = 4,
        cache: bool = False,
        **kwargs: Any,
    ) -> None:
        one_of('domain', domain, tuple(DOMAINS))
        self.kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in self.kinds:
            one_of('kinds', kind, tuple(FORGERIES))
        self.length = length if videos is None else videos * frames_per_video
        if img_size < 32 or frames_per_video < 1 or not self.kinds or self.length <= frames_per_video:
            raise ValueError(
                'GeneratedForgeries needs img_size >= 32, frames_per_video >= 1, one kind at least and samples of '
                f'two videos at least, but got img_size={img_size}, frames_per_video={frames_per_video}, '
                f'kinds={self.kinds}, length={self.length}.'
            )
        if min(seed, start_video) < 0 or start_video % 2:
            raise ValueError(
                f'seed must be >= 0 and start_video even and >= 0, but are {seed} and {start_video}.'
            )
        self.img_size, self.domain, self.seed = img_size, domain, seed
        self.start_video, self.frames_per_video = start_video, frames_per_video
        self._draw = _draw_read_only if cache else draw_frame
        super().__init__(**kwargs)

    def list_entries(self) -> list[dict]:
        """List the frames: besides the usual keys ``kind``, ``video`` and ``frame``."""
        entries = []
        for index in range(self.length):
            step, frame = divmod(index, self.frames_per_video)
            video = self.start_video + step
            name = ('fake', 'real')[video % 2]
            kind = self.kinds[video // 2 % len(self.kinds)] if name == 'fake' else 'real'
            identifier = f'{name}/{video:06d}'
            entries.append(
                {
                    'img_path': f'generated/{self.domain}/{self.seed}/{identifier}_frame_{frame}',
                    'class_name': name,
                    'video_id': identifier,
                    'domain': self.domain,
                    'kind': kind,
                    'video': video,
                    'frame': frame,
                }
            )
        return entries

    def get_data_info(self, idx: int) -> dict:
        """Draw sample ``idx``: its entry and ``img``."""
        info = super().get_data_info(idx)
        info['img'] = self._draw(
            info.pop('video'), info.pop('frame'), info['kind'], self.domain, self.img_size, self.seed
        )
        return info
