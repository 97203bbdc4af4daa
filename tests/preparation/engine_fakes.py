"""Detectors and parsers that are quick, and that die, hang or fail at marked pictures; and trees to compare.

Worker processes import this module by name (``Execution.imports``), so it registers what it defines.
"""

import hashlib
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.parsers.base import FaceParser
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.items import FrameChoice, Item
from fsfm_mm.registry import FACE_DETECTORS, FACE_PARSERS

#: First pixel (BGR) of a picture that the detector below does something to.
MARKS = {'exit': (1, 0, 7), 'segv': (2, 0, 7), 'hang': (3, 0, 7), 'raise': (4, 0, 7), 'no_face': (5, 0, 7)}
#: What the machine, not the picture, is to blame for: kind of error by mark.
MACHINE_MARKS = {(21, 0, 7): MemoryError, (22, 0, 7): torch.OutOfMemoryError, (23, 0, 7): ConnectionError}
#: The same for the parser, as the first pixel of a crop.
PARSER_MARKS = {'exit': (11, 0, 7), 'raise': (14, 0, 7), 'none': (15, 0, 7)}
PARSER_MACHINE_MARKS = {(31, 0, 7): MemoryError, (32, 0, 7): torch.OutOfMemoryError}


@FACE_DETECTORS.register_module(force=True)
class MarkedDetector(FaceDetector):
    """One face in the middle, or what the mark says."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def detect(self, pictures):
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture):
        time.sleep(self.seconds)
        mark = tuple(int(value) for value in picture[0, 0])
        if mark == MARKS['exit']:
            os._exit(7)
        if mark == MARKS['segv']:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file where the tests run
            os.kill(os.getpid(), signal.SIGSEGV)
        if mark == MARKS['hang']:
            time.sleep(600)
        if mark == MARKS['raise']:
            raise RuntimeError('this detector cannot bear it')
        if mark in MACHINE_MARKS:
            raise MACHINE_MARKS[mark]('it is all used up.')
        height, width = picture.shape[:2]
        if mark == MARKS['no_face']:
            return []
        return [Face(np.array([0.0, 0.0, width, height]), 0.75)]


@FACE_PARSERS.register_module(force=True)
class MarkedParser(FaceParser):
    """Labels by grey value, or what the mark says."""

    def parse(self, crops, landmarks):
        return [self._parse(crop) for crop in crops]

    def _parse(self, crop):
        mark = tuple(int(value) for value in crop[0, 0])
        if mark == PARSER_MARKS['exit']:
            os._exit(9)
        if mark == PARSER_MARKS['raise']:
            raise RuntimeError('this parser cannot bear it')
        if mark in PARSER_MACHINE_MARKS:
            raise PARSER_MACHINE_MARKS[mark]('it is all used up.')
        return None if mark == PARSER_MARKS['none'] else (crop.max(axis=2) % 11).astype(np.uint8)


def settings(seconds=0.0, **changes):
    values = dict(
        detector=dict(type='MarkedDetector', seconds=seconds),
        parser=dict(type='MarkedParser'),
        size=32,
        min_face=8,
        chunk_size=4,
    )
    return Settings(**{**values, **changes})


def execution(workers=0, **changes):
    return Execution(workers, device='cpu', imports=('engine_fakes',), batch_size=3, **changes)


def picture(seed, size=40, mark=None):
    """A picture that survives PNG and, where nothing is resized, keeps its first pixel."""
    image = np.random.default_rng(seed).integers(0, 200, (size, size, 3)).astype(np.uint8)
    if mark is not None:
        image[0, 0] = mark
    return image


def write_pictures(folder, count=10, **marks):
    """Pictures ``00.png`` ...; ``marks`` names further ones: ``bad=(1, 0, 7)``."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        cv2.imwrite(str(folder / f'{seed:02d}.png'), picture(seed, 32))
    for number, (name, mark) in enumerate(marks.items()):
        cv2.imwrite(str(folder / f'{name}.png'), picture(1000 + number, 32, mark))
    return items_of(folder)


def items_of(folder):
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return [Item(str(path), path.name, 0, path.stem) for path in files]


def write_video(path, frames, size=64):
    """A small mp4 of the given frames, uint8 (H, W, 3)."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (size, size))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()


def video_item(path, choice=None):
    return Item(str(path), path.name, 0, path.stem, choice or FrameChoice('count', 4))


def tree(folder):
    """Every file below a folder with the hash of its bytes, and every folder."""
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''
        for path in sorted(folder.rglob('*'))
    }


@FACE_DETECTORS.register_module(force=True)
class FailsInWorkers(MarkedDetector):
    """Cannot load its model in a worker process, by an error or by dying."""

    def __init__(self, exits=False):
        super().__init__()
        self.exits = exits

    def prepare(self):
        if multiprocessing.parent_process() is None:
            return
        if self.exits:
            os._exit(3)
        raise RuntimeError('not in a worker')


@FACE_PARSERS.register_module(force=True)
class LacksWeights(MarkedParser):
    """Says what a parser says whose weights cannot be fetched."""

    def prepare(self):
        raise ConnectionError('no network: use --parser template')


@FACE_PARSERS.register_module(force=True)
class MustBePrepared(MarkedParser):
    """Fails at every crop unless its model was loaded before."""

    ready = False

    def prepare(self):
        self.ready = True

    def parse(self, crops, landmarks):
        assert self.ready
        return super().parse(crops, landmarks)
