"""Light on the head: smooth fields, computed on a small fixed grid and enlarged to the picture.

Relief and complexion are sums of Gaussian spots at facial landmarks; the relief's slope, added to the
normal of an ellipsoid, is lit by a key and an ambient light. The grid does not depend on the picture's size,
so that neither does the light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fsfm_mm.drawn.drawing.geometry import Shapes, landmarks
from fsfm_mm.drawn.drawing.params import FaceParams, Light

#: Cells of the grid along each axis of the picture.
GRID = 80


@dataclass(frozen=True)
class Fields:
    """Smooth fields over the picture.

    Args:
        skin: Lit skin, sRGB as BGR planes, float32 (3, GRID, GRID).
        shade: Brightness of the light relative to full light, in sRGB's scale, float32 (GRID, GRID).
        flush: Where cheeks and nose redden, float32 (GRID, GRID), about 0 to 0.6.
        beard: Density of the beard, float32 (GRID, GRID), 0 to 1.
        u: Turned head units to the right, float32 (GRID, GRID).
        v: Turned head units downwards, float32 (GRID, GRID).
        towards: Unit vector towards the key light: right, down, to the camera.
    """

    skin: np.ndarray
    shade: np.ndarray
    flush: np.ndarray
    beard: np.ndarray
    u: np.ndarray
    v: np.ndarray
    towards: np.ndarray


def light_fields(params: FaceParams, shapes: Shapes) -> Fields:
    """Compute the light on a face.

    Args:
        params: The face.
        shapes: Its outlines.

    Returns:
        The fields.
    """
    u, v = _head_grid(shapes)
    relief, flush, dark, beard = _spots(params, shapes, u, v)
    towards = direction(params.light)
    normal = _normals(u, v, relief, params, shapes)
    lit = sum(normal[k] * np.float32(towards[k]) for k in range(3))
    shadow = _shadows(shapes, towards)
    linear = _incident(lit, shadow, params.light)
    albedo = _complexion(params, flush, dark, beard)
    shine = _shine(normal, towards, params.light) * shadow
    colour = np.maximum(albedo * linear + shine, 0.0)
    shade = np.clip(linear[1], 0.0, 1.6) ** np.float32(1 / 2.2)
    return Fields(_to_srgb(colour), shade, flush, beard, u, v, towards)


def direction(light: Light) -> np.ndarray:
    """Unit vector (3,) towards the key light: right, down, to the camera."""
    azimuth, elevation = np.deg2rad([light.azimuth, light.elevation])
    flat = np.cos(elevation)
    return np.array([np.sin(azimuth) * flat, -np.sin(elevation), np.cos(azimuth) * flat])


def key_colour(light: Light) -> np.ndarray:
    """Linear colour (3,) of the key light, BGR."""
    return light.key * np.array([1.0 - 0.28 * light.warmth, 1.0, 1.0 + 0.22 * light.warmth])


def ambient_colour(light: Light) -> np.ndarray:
    """Linear colour (3,) of the ambient light, BGR: a little of the key's opposite."""
    return light.ambient * np.array([1.0 + 0.12 * light.warmth, 1.0, 1.0 - 0.06 * light.warmth])


def enlarge(field: np.ndarray, size: int) -> np.ndarray:
    """A field (GRID, GRID) or planes (n, GRID, GRID) at the picture's size."""
    if field.ndim == 2:
        return cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.stack([cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR) for plane in field])


@lru_cache(maxsize=1)
def _cells() -> np.ndarray:
    """Centres of the grid's cells in the unit picture, float32 (2, GRID, GRID)."""
    at = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    return np.stack(np.meshgrid(at, at))


def _head_grid(shapes: Shapes) -> tuple[np.ndarray, np.ndarray]:
    """Turned head units of every cell."""
    linear, offset = shapes.view.flat[:, :2], shapes.view.flat[:, 2]
    back = np.linalg.inv(linear).astype(np.float32)
    x, y = _cells()
    x, y = x - np.float32(offset[0]), y - np.float32(offset[1])
    return back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y


def _spot_table(params: FaceParams) -> np.ndarray:
    """Spots (n, 9): x, y, lift, width, height; weight in relief, flush, darkness and beard."""
    i, e = params.identity, params.expression
    top, base, my = i.eye_y, i.nose_base, i.mouth_y
    smile, length = max(e.smile, 0.0), i.nose_base - i.eye_y
    age, drop = i.age, 0.5 * e.mouth_open
    rows = [
        (0.0, top + 0.20 * length, 0.06, 0.055, 0.13, 0.055, 0, 0, 0),
        (0.0, top + 0.55 * length, 0.14, 0.065, 0.13, 0.080, 0.1, 0, 0),
        (0.0, base - 0.06, 0.22, 0.080, 0.070, 0.110, 0.45, 0, 0),
        (0.0, -0.62, 0.0, 0.36, 0.20, 0.035, 0, 0, 0),
        (0.0, (base + my) / 2, 0.05, 0.022, 0.05, -0.014, 0, 0, 0),
        (0.0, my, 0.03, 0.20, 0.12, 0.050, 0, 0, 0),
        (0.0, my + 0.17 + drop, 0.0, 0.13, 0.04, -0.030, 0, 0.05, 0),
        (0.0, 0.87 + drop, 0.03, 0.13, 0.09, 0.055, 0.12, 0, 1.2),
        (0.0, (base + my) / 2 + 0.02, 0.05, 0.17, 0.055, 0, 0, 0, 0.95),
        (0.0, base + 0.05, 0.08, 0.11, 0.03, 0, 0, 0.30, 0),
    ]
    for s in (-1.0, 1.0):
        eye = s * i.eye_distance
        rows += [
            (s * 0.75 * i.nose_width, base - 0.05, 0.06, 0.045, 0.045, 0.045, 0.2, 0, 0),
            (0.75 * eye, top - 0.06, 0.0, 0.12, 0.08, -0.060, 0.1, 0.12, 0),
            (eye, top - 0.01, 0.0, 0.10, 0.065, 0.045, 0, 0.05, 0),
            (eye, top + 0.10, 0.0, 0.13, 0.035, -0.008 - 0.012 * age, 0.1, 0.10 + 0.10 * age, 0),
            (1.05 * eye, top - i.brow_gap, 0.02, 0.18, 0.055, 0.032, 0, 0, 0),
            (s * 0.43, 0.13 - 0.04 * smile, 0.0, 0.16, 0.13, 0.045 + 0.035 * smile, 0.55, 0, 0),
            (s * 0.27, my - 0.14, 0.0, 0.035, 0.10, -0.010 - 0.02 * smile - 0.01 * age, 0, 0.03, 0),
            (s * 0.33, my, 0.0, 0.05, 0.06, -0.012, 0, 0.08, 0),
            (s * 0.60, 0.50, 0.0, 0.10, 0.24, 0, 0, 0, 1.3),
            (s * 0.38, 0.80 + drop, 0.0, 0.17, 0.13, 0, 0, 0, 1.3),
        ]
    return np.array(rows)


def _spots(params: FaceParams, shapes: Shapes, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """Relief (head units), flush, darkness and beard: float32 (GRID, GRID) each."""
    table = _spot_table(params)
    centres = landmarks(shapes.view, table[:, 0], table[:, 1], table[:, 2])
    sx, sy = table[:, 3], table[:, 4]
    # The exponent of every Gaussian is a polynomial in (u, v): one product gives them all.
    terms = np.stack([np.ones_like(u), u, v, u * u, v * v]).reshape(5, -1)
    px, py = 0.5 / sx**2, 0.5 / sy**2
    weights = np.stack(
        [
            -px * centres[:, 0] ** 2 - py * centres[:, 1] ** 2,
            2 * px * centres[:, 0],
            2 * py * centres[:, 1],
            -px,
            -py,
        ],
        axis=1,
    )
    # einsum instead of @: BLAS rounds differently with another number of threads, and faces must not.
    exponents = np.einsum('st,tg->sg', weights.astype(np.float32), terms)
    spots = cv2.exp(np.maximum(exponents, -30.0))
    mixed = np.einsum('sf,sg->fg', np.ascontiguousarray(table[:, 5:], np.float32), spots)
    relief, flush, dark, beard = mixed.reshape(4, GRID, GRID)
    return relief, flush, dark, np.clip(beard, 0.0, 1.0) * np.float32(params.style.beard)


def _normals(
    u: np.ndarray, v: np.ndarray, relief: np.ndarray, params: FaceParams, shapes: Shapes
) -> np.ndarray:
    """Unit normals, float32 (3, GRID, GRID): right, down, to the camera (in turned, unrolled axes)."""
    middle = landmarks(shapes.view, np.zeros(1), np.full(1, -0.1), np.full(1, -0.35))[0].astype(np.float32)
    nx = (u - middle[0]) / np.float32(1.12 * params.identity.face_width)
    ny = (v - middle[1]) / np.float32(1.32)
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.03))
    # A cell is 1 / (GRID * scale) head units wide; Sobel sums to 8 times the slope.
    slope = np.float32(GRID * params.pose.scale / 8.0 * 0.95)
    nx = 0.85 * nx - slope * cv2.Sobel(relief, cv2.CV_32F, 1, 0)
    ny = 0.60 * ny - slope * cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    normal = np.stack([nx, ny, nz])
    return normal / np.sqrt(nx * nx + ny * ny + nz * nz)


def _shadows(shapes: Shapes, towards: np.ndarray) -> np.ndarray:
    """Share of the key light that reaches each cell past nose and hair, float32 (GRID, GRID)."""
    away = -towards[:2] / max(towards[2], 0.35)
    nose = _mask(shapes['nose'] + 0.035 * away)
    nose = np.clip(cv2.GaussianBlur(nose - _mask(shapes['nose']), (0, 0), 1.6), 0.0, 1.0)
    light = 1.0 - 0.75 * nose
    if 'cap' in shapes.outline:
        hair = cv2.GaussianBlur(_mask(shapes['cap'] + 0.02 * away + (0.0, 0.012)), (0, 0), 2.2)
        light *= 1.0 - 0.65 * hair
    return light


def _mask(outline: np.ndarray) -> np.ndarray:
    mask = np.zeros((GRID, GRID), np.uint8)
    vertices = np.clip((outline * GRID - 0.5) * 16, -(1 << 20), 1 << 20)
    cv2.fillPoly(mask, [np.rint(vertices).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask.astype(np.float32)


def _incident(lit: np.ndarray, shadow: np.ndarray, light: Light) -> np.ndarray:
    """Linear light (3, GRID, GRID) on the skin. Red wraps further round: it scatters deepest in skin."""
    key, ambient = key_colour(light), ambient_colour(light)
    planes = []
    for k, wrap in enumerate((0.10, 0.16, 0.30)):
        front = np.maximum((lit + np.float32(wrap)) / np.float32(1.0 + wrap), 0.0)
        planes.append(np.float32(key[k]) * front * shadow + np.float32(ambient[k]))
    return np.stack(planes)


def _complexion(params: FaceParams, flush: np.ndarray, dark: np.ndarray, beard: np.ndarray) -> np.ndarray:
    """Linear albedo of the skin, (3, GRID, GRID) BGR."""
    i = params.identity
    skin = np.array(i.skin, np.float32) ** 2.2
    red = np.float32(0.45 * i.redness) * flush
    albedo = np.stack([skin[0] * (1 - 0.8 * red), skin[1] * (1 - 0.75 * red), skin[2] * (1 - 0.12 * red)])
    albedo *= 1.0 - 0.9 * dark
    hair = np.array(params.style.hair_colour, np.float32)[:, None, None] ** 2.2
    return albedo + (0.92 * beard) * (0.08 * albedo + 0.7 * hair - albedo)


def _shine(normal: np.ndarray, towards: np.ndarray, light: Light) -> np.ndarray:
    half = towards + (0.0, 0.0, 1.0)
    half = (half / np.sqrt((half**2).sum())).astype(np.float32)
    facing = np.maximum(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0.0)
    return np.float32(light.gloss * light.key) * cv2.pow(facing, 22)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    """Gamma with a soft shoulder, so that bright skin does not clip."""
    soft = linear / (1.0 + 0.18 * linear * linear)
    return np.stack([cv2.pow(plane, 1 / 2.2) for plane in soft])
