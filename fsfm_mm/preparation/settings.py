"""What decides the bytes of a result, and what only decides how it is computed."""

from __future__ import annotations

import importlib.util
import inspect
import os
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from fsfm_mm.preparation.cutting.videos import check_video_reader, has_pyav
from fsfm_mm.preparation.detectors.base import FaceDetector
from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.writers.base import FaceWriter
from fsfm_mm.registry import FACE_DETECTORS, FACE_PARSERS
from fsfm_mm.version import __version__

if TYPE_CHECKING:  # workers begin without it
    from mmengine.registry import Registry

#: Crops are this times the longer side of the face box (FSFM appendix; FaceForensics++).
CROP_MARGIN = 1.3
#: Whom to cut out.
CHOICES = ('largest', 'best', 'all')
#: Writers by the ``type`` in their config: module and class.
WRITERS = {
    'folders': ('fsfm_mm.preparation.writers.folders', 'FoldersWriter'),
    'archive': ('fsfm_mm.preparation.writers.archive', 'ArchiveWriter'),
}

#: More would only fill its memory: one process alone keeps a GPU busy for most of the time.
_WORKERS_PER_GPU = 2


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of a result, together with the listing of the sources.

    Attributes:
        detector: Config of a face detector, e.g. ``dict(type='YuNet')``.
        parser: Config of a face parser, or None for crops without maps.
        format: Config of the writer, e.g. ``dict(type='folders', image_format='png')``.
        choice: Whom to cut out: 'largest', 'best' or 'all'. In a video this chooses tracks, not single faces.
        margin: Side of the square over the longer side of the face's box, above 0.
        size: Side of the crops in pixels; None keeps each as large as it was cut out (files without maps only).
        min_face: Faces whose box's longer side is below so many pixels are left out (status 'small').
        chunk_size: Pictures, or wanted frames, that are worked on and written together; None lets the plan choose.
        landmarks: Config of a detector that looks *inside the crops* for the landmarks which the parser needs and
            ``detector`` does not give; None where nobody needs to.
        follow: Whether ``choice`` follows people through a video, and of a number of wanted frames those without the
            person are replaced by others of the same part of the video; False takes each frame by itself.
        chip_padding: Cut chips that are aligned by the landmarks instead of squares, with so much about the face's
            square on each side, in sides of it (see :mod:`fsfm_mm.preparation.cutting.chips`); None cuts squares.
        cut_black_borders: Take each picture whole but for its black borders, stretched to ``size``: for pictures
            that are faces already.
        upright: Turn pictures and videos whose faces lie on their side or upside down; False gives such faces the
            status 'turned' instead.
        video_reader: Who decodes videos, one of :data:`~fsfm_mm.preparation.cutting.videos.VIDEO_READERS`.
    """

    detector: Mapping[str, Any]
    parser: Mapping[str, Any] | None
    format: Mapping[str, Any] = field(default_factory=lambda: {'type': 'folders'})
    choice: str = 'largest'
    margin: float = CROP_MARGIN
    size: int | None = 224
    min_face: int = 40
    chunk_size: int | None = None
    landmarks: Mapping[str, Any] | None = None
    follow: bool = True
    chip_padding: float | None = None
    cut_black_borders: bool = False
    upright: bool = False
    video_reader: str = 'auto'

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise ValueError(f'faces must be one of {", ".join(CHOICES)}, found {self.choice!r}.')
        if not 0.1 <= self.margin <= 10:
            raise ValueError(f'the margin must lie within 0.1 and 10 (published: 1.3), found {self.margin}.')
        for name, least in (('size', 8), ('min_face', 0), ('chunk_size', 1)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ValueError(f'{name} must be {least} or more, found {getattr(self, name)}.')
        if self.size is None and (self.parser is not None or self.format.get('type') != 'folders'):
            raise ValueError('crops of their own size have no maps and go to folders: give a size.')
        if self.chip_padding is not None and not 0 <= self.chip_padding <= 2:
            raise ValueError(
                f'chip_padding must lie within 0 and 2 (published: .37), found {self.chip_padding}.'
            )
        if self.size is None and (self.chip_padding is not None or self.cut_black_borders):
            raise ValueError('aligned chips, and faces without black borders, have one size: give it.')
        if self.chip_padding is not None and self.cut_black_borders:
            raise ValueError('chip_padding and cut_black_borders exclude each other.')
        check_video_reader(self.video_reader)


@dataclass(frozen=True)
class Execution:
    """How a result is computed; another choice gives the same files.

    Attributes:
        workers: Processes on this machine; 0 works in the calling process, where a file that crashes it ends
            the run. None takes one for each core, and at most two for each GPU that is computed on (both shared
            by the ranks of torchrun on this machine).
        device: 'auto', 'cpu', 'cuda' or 'cuda:N' for detectors and parsers that compute with torch; workers
            share several GPUs round robin.
        batch_size: Crops that are parsed together.
        timeout: Seconds without a sign of life from a worker after which its item counts as hung.
        imports: Modules to import first in every process, for detectors and parsers of one's own.
    """

    workers: int | None = None
    device: str = 'auto'
    batch_size: int = 16
    timeout: float = 900.0
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f'workers must be 0 or more, found {self.workers}.')
        if self.batch_size < 1 or self.timeout <= 0:
            raise ValueError(
                f'batch_size and timeout must be above 0, found {self.batch_size} and {self.timeout}.'
            )
        if self.device not in ('auto', 'cpu', 'cuda') and not self.device.startswith('cuda:'):
            raise ValueError(f'device must be auto, cpu, cuda or cuda:N, found {self.device!r}.')
        if self.device.startswith('cuda') and not _gpus():
            raise ValueError(f'device is {self.device}, but torch finds no CUDA here: use auto or cpu.')

    def num_workers(self, with_device: bool = False) -> int:
        """Processes to start on this machine.

        Args:
            with_device: Whether detector or parser compute on ``device``: each process keeps its own copy there.
        """
        if self.workers is not None:
            return self.workers
        workers = len(os.sched_getaffinity(0))
        if with_device and self.device != 'cpu' and (gpus := _gpus()):
            workers = min(workers, _WORKERS_PER_GPU * (gpus if self.device in ('auto', 'cuda') else 1))
        return max(1, workers // int(os.environ.get('LOCAL_WORLD_SIZE', 1)))

    def device_of(self, worker: int) -> str:
        """Device of a worker: the GPUs in turn where 'auto' or 'cuda' leaves the choice."""
        gpus = _gpus() if self.device in ('auto', 'cuda') else 0
        if not gpus:
            return 'cpu' if self.device == 'auto' else self.device
        return f'cuda:{(int(os.environ.get("LOCAL_RANK", 0)) + worker) % gpus}'


def _gpus() -> int:
    import torch  # here: whoever computes without it does not wait for it

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _built(registry: Any, config: Mapping[str, Any], device: Callable[[], str]) -> Any:
    # first here: a look-up of mmengine's imports torch, and may import more
    kind = registry.module_dict.get(config['type']) or registry.get(config['type'])
    if kind is None:
        known = ', '.join(sorted(registry.module_dict))
        raise ValueError(f'there is no {registry.name} {config["type"]!r}; known are {known}.')
    if 'device' in inspect.signature(kind).parameters and 'device' not in config:
        config = {**config, 'device': device()}
    return _called(kind, config, registry.name)


def _called(kind: Callable, config: Mapping[str, Any], what: str) -> Any:
    try:
        return kind(**{key: value for key, value in config.items() if key != 'type'})
    except TypeError as error:
        raise ValueError(f'{what} {config["type"]}: {error}.') from error


def presets(registry: Registry) -> dict[str, dict[str, Any]]:
    """The detectors or parsers that have a name on the command line: name -> config."""
    return {
        name: dict(type=kind.__name__, **arguments)
        for kind in registry.module_dict.values()
        for name, arguments in vars(kind).get('presets', {}).items()
    }


def build_components(
    settings: Settings, execution: Execution, worker: int = 0
) -> tuple[FaceDetector, FaceParser | None, FaceDetector | None]:
    """Build the detector, the parser, and who finds landmarks inside the crops.

    Args:
        settings: Their configs.
        execution: Device, for those that take a ``device`` and have none in their config; modules to import first.
        worker: Number of the process on this machine; chooses among several GPUs.

    Raises:
        ValueError: An unknown type, wrong arguments, or a parser that would get no landmarks and so give no map.
    """
    for module in execution.imports:
        importlib.import_module(module)

    def device() -> str:
        return execution.device_of(worker)

    detector = _built(FACE_DETECTORS, settings.detector, device)
    parser = None if settings.parser is None else _built(FACE_PARSERS, settings.parser, device)
    inside = None if settings.landmarks is None else _built(FACE_DETECTORS, settings.landmarks, device)
    check_landmarks(detector, parser, inside)
    if settings.chip_padding is not None and detector.gives_landmarks is False:
        raise ValueError(
            f'chips are aligned by landmarks, which {type(detector).__name__} does not give: take the detector YuNet '
            'or retinaface.'
        )
    return detector, parser, inside


def check_landmarks(detector: FaceDetector, parser: FaceParser | None, inside: FaceDetector | None) -> None:
    """Refuse a parser that would get no landmarks: every face would be without a map, after all the work.

    Raises:
        ValueError: Naming the parts and what to do.
    """
    if parser is None or not parser.needs_landmarks or detector.gives_landmarks is not False:
        return
    if inside is None or inside.gives_landmarks is False:
        raise ValueError(
            f'{type(parser).__name__} needs landmarks, which {type(detector).__name__} does not give: give '
            "Settings(landmarks=dict(type='YuNet')), which finds them inside the crops, or take another detector."
        )


def build_writer(config: Mapping[str, Any]) -> FaceWriter:
    """Build a writer from a config such as ``dict(type='folders', image_format='jpeg')``.

    Raises:
        ValueError: An unknown type or wrong arguments.
    """
    if config.get('type') not in WRITERS:
        raise ValueError(f'the format must be one of {", ".join(WRITERS)}, found {config.get("type")!r}.')
    module, name = WRITERS[config['type']]
    return _called(getattr(importlib.import_module(module), name), config, 'format')


def versions() -> dict[str, str]:
    """Versions of what can change a pixel."""
    extras = {'av': metadata.version('av')} if has_pyav() else {}
    return {
        'fsfm_mm': __version__,
        'numpy': np.__version__,
        'opencv': cv2.__version__,
        'torch': _torch_version(),
        **extras,
    }


def _torch_version() -> str:
    """Read from its file, since importing torch takes seconds."""
    spec = importlib.util.find_spec('torch')
    assert spec is not None and spec.submodule_search_locations
    return runpy.run_path(os.path.join(spec.submodule_search_locations[0], 'version.py'))['__version__']
