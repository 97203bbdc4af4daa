"""What a picture has beside its face: numbers of its file, its rim and its background, by property."""

from __future__ import annotations

import os

import cv2
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'AVIF', 'HEIF')
MODES = ('RGB', 'L', 'RGBA', 'P')
#: Share of a side that counts as rim.
RIM = 0.1
#: Cells of the grid over a picture along a side, for its background.
CELLS = 8
#: Half axes of the ellipse in the middle that may hold the face, as shares of width and height: of tight crops, whose
#: cheeks and chins reach far (with 0.40 and 0.48 DFDC's "background" would tell its fakes by their blurred chins).
FACE = (0.5, 0.55)
_PLACES = (np.arange(CELLS) + 0.5) / CELLS - 0.5
#: bool (8, 8): cells whose middle lies outside of it.
OUTSIDE = (_PLACES[None] / FACE[0]) ** 2 + (_PLACES[:, None] / FACE[1]) ** 2 > 1

#: Property -> what it says of a picture that a face alone does not need; the order of :func:`measure`.
PROPERTIES = {
    'bytes per pixel': 'size of the file over width times height',
    'picture size': 'width, height and their ratio',
    'quality tables': 'format, colour mode, chroma sampling and quantisation tables of the file',
    'border colour': 'the outermost pixels: their colour, and how even they are',
    'rim pixels': f'the outer {100 * RIM:.0f}% of each side: colour, contrast, edges, black and white',
    'background': f'colour and contrast outside an ellipse in the middle, on {CELLS}x{CELLS} cells',
}


def measure(path: str, image: np.ndarray) -> tuple[np.ndarray, ...]:
    """All properties of a picture.

    Args:
        path: Its file.
        image: uint8 (H, W, 3), BGR.

    Returns:
        float32 (d,) for each of :data:`PROPERTIES`, d the same for every picture.
    """
    height, width = image.shape[:2]
    if min(height, width) < CELLS:
        image = cv2.resize(image, (max(width, CELLS), max(height, CELLS)), interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    found = (
        [np.log(os.path.getsize(path) / (height * width))],
        [height, width, np.log(width / height)],
        _file_facts(path),
        _border(image, grey),
        _rim(image, grey),
        _background(image),
    )
    return tuple(np.asarray(values, np.float32) for values in found)


def _file_facts(path: str) -> np.ndarray:
    """Format, mode, sampling, and the mean of each quarter of both quantisation tables (log; 0 without)."""
    tables: list[list[int]] = []
    sampling = -2  # of what is no JPEG; -1 is an unusual one
    try:
        with Image.open(path) as picture:  # the header alone
            kind, mode = picture.format, picture.mode
            if isinstance(picture, JpegImageFile):
                tables, sampling = list(picture.quantization.values()), get_sampling(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # OpenCV reads more than PIL
        kind = mode = None
    quarters = np.ones((2, 4))
    for number in range(2 if tables else 0):
        quarters[number] = np.reshape(tables[min(number, len(tables) - 1)], (4, 16)).mean(axis=1)
    known = [kind == name for name in FORMATS] + [mode == name for name in MODES]
    return np.concatenate([known, [sampling], np.log(quarters).ravel()])


def _border(image: np.ndarray, grey: np.ndarray) -> list[float]:
    """Mean and deviation of the outermost pixels, and the share of them within 2 steps of their median."""
    ring = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(np.float32)
    line = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    even = float((abs(line - np.median(line)) <= 2).mean())
    return [*ring.mean(axis=0), *ring.std(axis=0), even]


def _rim(image: np.ndarray, grey: np.ndarray) -> list[float]:
    """Of each side: mean colour, contrast, mean step from pixel to pixel, shares of black and of white."""
    high, wide = (max(round(RIM * side), 2) for side in grey.shape)
    values: list[float] = []
    for part in (
        np.s_[:high],
        np.s_[-high:],
        np.s_[:, :wide],
        np.s_[:, -wide:],
    ):
        band = grey[part]
        steps = abs(np.diff(band, axis=0)).mean() + abs(np.diff(band, axis=1)).mean()
        values += image[part].reshape(-1, 3).mean(axis=0).tolist()
        values += [float(band.std()), float(steps), float((band < 5).mean()), float((band > 250).mean())]
    return values


def _background(image: np.ndarray) -> np.ndarray:
    """Mean colour and contrast of every cell of :data:`OUTSIDE`."""
    small = cv2.resize(image, (4 * CELLS, 4 * CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells = small.reshape(CELLS, 4, CELLS, 4, 3).swapaxes(1, 2).reshape(CELLS, CELLS, 16, 3)[OUTSIDE]
    return np.concatenate([cells.mean(axis=1).ravel(), cells.std(axis=1).mean(axis=1)])
