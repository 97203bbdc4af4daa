"""Forgeries and spoofs made from a genuine picture: pure functions on arrays, no data needed.

They stand in for real attacks in tests and demonstrations: the traces are of the right kind (a blended seam,
statistics that differ inside the face, interference of a screen, dots of a print), not of any particular
generator. Pictures are uint8 (H, W, 3) BGR; ``labels`` are LaPa's, uint8 (H, W). Every function draws from
``rng`` only: the same generator state gives the same bytes. Lengths scale with the picture, except for
those that are traces of pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fsfm_mm.regions import BACKGROUND, HAIR, SKIN

Forgery = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def inner_face(labels: np.ndarray) -> np.ndarray:
    """Mask of the inner face: the hull of brows, eyes, nose and mouth, widened, without hair.

    Args:
        labels: LaPa labels, uint8 (H, W).

    Returns:
        bool (H, W); all skin where a face shows no features, and empty where there is no skin either.
    """
    skin = (labels != BACKGROUND) & (labels != HAIR)
    features = skin & (labels != SKIN)
    if not features.any():
        return skin
    points = cv2.findNonZero(features.astype(np.uint8))
    hull = np.zeros(labels.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    side = 2 * max(1, round(0.05 * labels.shape[0])) + 1
    widened = cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return (np.asarray(widened) > 0) & skin


def soft_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deform a mask at random and soften its seam.

    Args:
        mask: bool (H, W).
        rng: Random generator.

    Returns:
        Weights of blending, float32 (H, W, 1), 0 to 1.
    """
    size = mask.shape[0]
    bent = cv2.remap(mask.astype(np.float32), *_bend(mask.shape, 0.02 * size, rng), cv2.INTER_LINEAR)
    sigma = size * rng.uniform(0.012, 0.03)
    return cv2.GaussianBlur(bent, (0, 0), sigma)[..., None] * np.float32(rng.uniform(0.85, 1.0))


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Grey levels rounded and cut off: uint8 of the same shape."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def saturated(picture: np.ndarray, factor: float) -> np.ndarray:
    """Colours of another strength, 0 (grey) upwards: float32 of the same shape (H, W, 3)."""
    grey = picture.mean(axis=-1, keepdims=True, dtype=np.float32)
    return grey + np.float32(factor) * (picture.astype(np.float32) - grey)


def _bend(shape: tuple[int, ...], amount: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Maps of cv2.remap for a smooth random deformation of ``amount`` pixels."""
    height, width = shape[:2]
    coarse = rng.normal(0.0, 1.0, (4, 4, 2)).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(amount / 1.5)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + field[..., 0], y + field[..., 1]


def _blend(inner: np.ndarray, outer: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mixed = outer.astype(np.float32)
    mixed += weight * (inner.astype(np.float32) - mixed)
    return to_bytes(mixed)


def swap(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Self-blend: a warped, recoloured copy of the face blended into itself, as a face swap leaves it.

    Source: the idea of self-blended images (Shiohara and Yamasaki, CVPR 2022); the numbers are our own.
    """
    weight = soft_mask(inner_face(labels), rng)
    warped = _displace(image, rng).astype(np.float32)
    # brightness and contrast shift together, and each channel a little by itself
    gain = rng.uniform(0.93, 1.07) * (1.0 + rng.uniform(-0.03, 0.03, 3))
    offset = rng.uniform(5.0, 11.0) * rng.choice((-1.0, 1.0)) + rng.uniform(-3.5, 3.5, 3)
    return _blend(warped * gain.astype(np.float32) + offset.astype(np.float32), image, weight)


def _displace(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift, scale and bend by a few hundredths of the side."""
    size = image.shape[0]
    x, y = _bend(image.shape, 0.012 * size, rng)
    scale = 1.0 + rng.uniform(0.02, 0.05) * rng.choice((-1.0, 1.0))
    angle = rng.uniform(0, 2 * np.pi)
    shift = size * rng.uniform(0.012, 0.03)
    middle = size / 2
    x = (x - middle) / scale + middle + shift * np.cos(angle)
    y = (y - middle) / scale + middle + shift * np.sin(angle)
    maps = (x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def resynthesise(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Resynthesised face: fine detail lost and replaced by the faint grid of an upsampling generator."""
    height, width = image.shape[:2]
    factor = rng.uniform(1.6, 2.3) * max(1.0, (height / 96) ** 0.5)
    small = cv2.resize(image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    smooth = cv2.bilateralFilter(large, 5, 25, 3).astype(np.float32)
    detail = smooth - cv2.GaussianBlur(smooth, (0, 0), 1.5)
    weight = soft_mask(inner_face(labels), rng)
    sharper = smooth + np.float32(rng.uniform(0.3, 0.7)) * detail
    y, x = np.indices((height, width)) // 2
    # the checkerboard of a transposed convolution
    grid = (np.float32(rng.uniform(1.0, 2.2)) * (1 - 2 * ((x + y) % 2)))[..., None].astype(np.float32)
    return _blend(sharper + grid, image, weight)


def moire(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A screen's picture taken close by: coloured interference stripes and a slight cast."""
    shape = image.shape[:2]
    stripes = np.stack(
        [_interference(shape, rng.uniform(7.0, 13.0), rng) * rng.uniform(0.6, 1.0) for _ in range(3)], axis=-1
    )
    # the three colours lie beside each other on a screen, so that they interfere almost alike
    stripes = 0.6 * stripes.mean(-1, keepdims=True) + 0.4 * stripes
    screen = cv2.GaussianBlur(image, (0, 0), 0.5).astype(np.float32) * (0.9 + 0.1 * _screen_cast(rng))
    envelope = 0.55 + 0.45 * _smooth_noise(shape, 3, rng)[..., None]
    return to_bytes(screen + stripes * envelope)


def _interference(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Beat of two fine gratings: slightly bent stripes, float32 (H, W), -strength to strength."""
    size = shape[0]
    bent_x, bent_y = _bend(shape, 0.03 * size, rng)
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.11) * size
    along = bent_x * np.float32(np.cos(angle)) + bent_y * np.float32(np.sin(angle))
    wave = np.sin(along * np.float32(2 * np.pi / period) + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.float32(strength) * wave


def _smooth_noise(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, float32 (H, W), 0 to 1."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _screen_cast(rng: np.random.Generator) -> np.ndarray:
    """Gains of the three channels of a screen: bluish and bright, float32 (3,)."""
    return np.array([rng.uniform(1.1, 1.5), rng.uniform(0.95, 1.1), rng.uniform(0.7, 0.95)], np.float32)


def replay(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A replay on a screen: colour cast, lifted blacks, pixel rows, glare, and often an edge of the bezel."""
    height, width = image.shape[:2]
    cast = 0.6 + 0.4 * _screen_cast(rng)
    picture = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) * cast * np.float32(0.88) + 16.0
    rows = np.where(np.arange(height) % 2 == 0, 1.0, rng.uniform(0.9, 0.95)).astype(np.float32)
    picture *= rows[:, None, None]
    picture += _glare((height, width), rng)[..., None]
    if rng.random() < 0.7:
        picture = _with_bezel(picture, rng)
    return to_bytes(picture)


def _glare(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A soft bright patch or streak, float32 (H, W), 0 to about 70."""
    height, width = shape
    y, x = np.indices(shape, dtype=np.float32)
    right = x / width - rng.uniform(0.1, 0.9)
    down = y / height - rng.uniform(0.05, 0.6)
    angle = rng.uniform(0, np.pi)
    u = right * np.cos(angle) + down * np.sin(angle)
    v = down * np.cos(angle) - right * np.sin(angle)
    long, short = rng.uniform(0.15, 0.5), rng.uniform(0.05, 0.12)
    return rng.uniform(30, 70) * np.exp(-0.5 * ((u / long) ** 2 + (v / short) ** 2)).astype(np.float32)


def _with_bezel(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover a narrow strip at one side with the dark, slightly tilted edge of the device."""
    height, width = picture.shape[:2]
    depth, tilt = rng.uniform(0.03, 0.08), rng.uniform(-0.03, 0.03)
    along, across = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(0, 1, height))
    cover = np.clip((depth + tilt * along - across) * height + 0.5, 0, 1)
    side = int(rng.integers(4)) if height == width else 0
    weight = np.rot90(cover, side)[..., None].astype(np.float32)
    return picture + weight * (np.float32(rng.uniform(8, 30)) - picture)


def print_out(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A printed photograph: narrow gamut, dots of a halftone, texture of paper."""
    shape = image.shape[:2]
    grey = image.mean(axis=-1, keepdims=True, dtype=np.float32)
    muted = saturated(image, rng.uniform(0.7, 0.9))
    paper = np.array([rng.uniform(205, 228), rng.uniform(218, 236), rng.uniform(226, 242)], np.float32)
    black = rng.uniform(24, 42)
    inked = black + muted / 255.0 * (paper - black)
    strength = rng.uniform(9.0, 15.0)
    # dots show in the half-tones, neither in white paper nor in full ink
    halftone = np.float32(strength) * np.sin(np.pi * np.clip(grey / 255.0, 0, 1)) * _dots(shape, rng)
    fibres = cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (0, 0), 0.8)[..., None]
    fold = 10.0 * (_smooth_noise(shape, 4, rng)[..., None] - 0.5)
    return to_bytes(inked + halftone + np.float32(rng.uniform(5, 9)) * fibres + fold)


def _dots(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Halftone screens of the three inks, float32 (H, W, 3), -1 to 1."""
    y, x = np.indices(shape, dtype=np.float32)
    turn, period = rng.uniform(0, np.pi / 2), rng.uniform(3.0, 3.8)
    screens = []
    for offset in (0.26, 0.79, 1.31):  # angles of the screens differ, as in print
        c, s = np.float32(np.cos(turn + offset)), np.float32(np.sin(turn + offset))
        k = np.float32(2 * np.pi / period)
        screens.append(0.5 * (np.cos(k * (x * c + y * s)) + np.cos(k * (y * c - x * s))))
    return np.stack(screens, axis=-1)


#: Manipulations of a face in a genuine picture: deepfakes.
DEEPFAKES: dict[str, Forgery] = {'swap': swap, 'resynthesis': resynthesise}
#: Genuine pictures shown to a camera: presentation attacks.
SPOOFS: dict[str, Forgery] = {'moire': moire, 'print': print_out, 'replay': replay}
#: Every kind by its name.
FORGERIES: dict[str, Forgery] = {**DEEPFAKES, **SPOOFS}
