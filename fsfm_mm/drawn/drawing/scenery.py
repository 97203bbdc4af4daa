"""What is behind the face, and what the camera does to the whole picture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fsfm_mm.drawn.drawing.canvas import noise_crop
from fsfm_mm.drawn.drawing.params import Camera, Scene

#: Backgrounds are out of focus: they are drawn this large and enlarged.
_SMALL = 64


def background(scene: Scene, size: int) -> np.ndarray:
    """Draw the background.

    Args:
        scene: What to draw.
        size: Height and width in pixels.

    Returns:
        Planes, float32 (3, size, size), sRGB as BGR.
    """
    rng = np.random.default_rng(scene.seed)
    draw = {
        'gradient': _gradient,
        'blobs': _blobs,
        'stripes': _stripes,
        'bokeh': _bokeh,
        'two_tone': _two_tone,
    }
    mix = draw[scene.background](rng).astype(np.float32)
    # A faint slope keeps flat parts from being flat.
    mix = mix + 0.25 * (_gradient(rng) - 0.5).astype(np.float32)
    large = cv2.resize(mix, (size, size), interpolation=cv2.INTER_CUBIC)
    first, second = (np.array(c, np.float32)[:, None, None] for c in scene.colours)
    return first + large * (second - first)


def _axes() -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(-1.0, 1.0, _SMALL)
    return at[None, :], at[:, None]


def _gradient(rng: np.random.Generator) -> np.ndarray:
    x, y = _axes()
    angle = rng.uniform(0, 2 * np.pi)
    return 0.5 + 0.4 * (np.cos(angle) * x + np.sin(angle) * y)


def _blobs(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((int(rng.integers(3, 8)),) * 2)
    return cv2.resize(coarse, (_SMALL, _SMALL), interpolation=cv2.INTER_CUBIC)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    x, y = _axes()
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    wave = np.sin(rng.uniform(4, 16) * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 6.3))
    return 0.5 + 0.5 * np.tanh(rng.uniform(1, 6) * wave)


def _bokeh(rng: np.random.Generator) -> np.ndarray:
    mix = 0.25 * _gradient(rng).astype(np.float32)
    for _ in range(int(rng.integers(6, 16))):
        centre = tuple(int(c) for c in rng.integers(0, _SMALL * 16, 2))
        disc = np.zeros((_SMALL, _SMALL), np.float32)
        cv2.circle(
            disc, centre, int(rng.uniform(2, 8) * 16), float(rng.uniform(0.15, 0.6)), -1, cv2.LINE_8, 4
        )
        mix += disc
    return cv2.GaussianBlur(mix, (0, 0), 0.8)


def _two_tone(rng: np.random.Generator) -> np.ndarray:
    x, y = _axes()
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.6, 0.6)
    return 0.5 + 0.5 * np.tanh(rng.uniform(2, 30) * side)


@lru_cache(maxsize=8)
def _corner_distance(size: int) -> np.ndarray:
    """Squared distance from the middle, 1 in the corners, float32 (size, size)."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    return 0.5 * (at[None, :] ** 2 + at[:, None] ** 2)


def photograph(planes: np.ndarray, camera: Camera) -> np.ndarray:
    """Take the picture.

    Args:
        planes: float32 (3, size, size), sRGB as BGR, 0 to 1; overwritten.
        camera: What to add.

    Returns:
        uint8 (size, size, 3), BGR.
    """
    size = planes.shape[1]
    grey = 0.114 * planes[0] + 0.587 * planes[1] + 0.299 * planes[2]
    planes -= grey
    planes *= np.float32(camera.saturation)
    planes += grey
    planes *= np.float32(255.0 * camera.exposure) * (
        1.0 - np.float32(camera.vignette) * _corner_distance(size)
    )
    sigma = camera.blur * size / 1000.0
    rng = np.random.default_rng(camera.seed)
    image = np.empty((size, size, 3), np.uint8)
    for k in range(3):
        plane = cv2.GaussianBlur(planes[k], (0, 0), sigma) if sigma > 0.25 else planes[k]
        plane += np.float32(camera.noise) * noise_crop(size, 'white', rng)
        np.clip(plane, 0.0, 255.0, out=plane)
        image[:, :, k] = np.rint(plane)
    return image
