"""Small data sets of drawn faces for the tests of the checks."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from fsfm_mm.drawn.face_drawing import draw_face


@functools.cache
def drawn(number: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Picture (BGR) and map of a face."""
    return draw_face(number, size, 0)


def write_picture(path: Path, image: np.ndarray, *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
    return path


def write_map(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as file:
        np.save(file, labels[None].astype(np.int8))
    return path


def pretraining_set(root: Path, count: int = 6, size: int = 64) -> Path:
    """``images/sub/f0.png`` ... with maps and statistics: nothing to complain of."""
    for number in range(count):
        image, labels = drawn(number, size)
        write_picture(root / f'images/sub/f{number}.png', image)
        write_map(root / f'parsing_maps/sub/f{number}.npy', labels)
    (root / 'mean_std.json').write_text('{}')
    return root


def labelled_set(root: Path, videos: dict[str, list[str]], frames: int = 2, first: int = 0) -> Path:
    """``{folder}/{video}_frame_{i}.png`` for ``{'train/real': ['a', 'b'], ...}``; every frame another face."""
    number = first
    for folder, names in videos.items():
        for name in names:
            for frame in range(frames):
                write_picture(root / folder / f'{name}_frame_{frame}.png', drawn(number)[0])
                number += 1
    return root
