"""Light on the head: smooth fields over the upright head, laid into the picture afterwards.

The relief is a sum of Gaussian spots at facial landmarks; its slope, added to the normal of an ellipsoid, is lit
by a key and an ambient light. The grid does not depend on the picture's size, so that neither does the light.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.drawn.params import FaceParams
from fsfm_mm.drawn.shapes import REACH, View

#: Cells along each axis of the fields, which span turned head units from -REACH to REACH.
GRID = 80
#: Their centres, float32 (GRID,).
CELLS = (((np.arange(GRID) + 0.5) / GRID * 2 - 1) * REACH).astype(np.float32)


def towards(params: FaceParams) -> np.ndarray:
    """Unit vector (3,) towards the key light: right, down, to the camera."""
    azimuth, elevation = np.deg2rad([params.azimuth, params.elevation])
    flat = np.cos(elevation)
    return np.array([np.sin(azimuth) * flat, -np.sin(elevation), np.cos(azimuth) * flat])


def light_on(params: FaceParams, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the light on a face.

    Args:
        params: The face.
        view: Its projection.

    Returns:
        Lit skin, sRGB as BGR, float32 (GRID, GRID, 3); the light's brightness in sRGB's scale, float32
        (GRID, GRID); where a beard grows, float32 (GRID, GRID), 0 to 1.
    """
    relief, beard = _spots(params, view)
    light = towards(params)
    halfway = light + (0.0, 0.0, 1.0)
    directions = np.stack([light, halfway / np.sqrt(halfway @ halfway)])
    along, mirrored = cv2.split(cv2.transform(_normals(params, view, relief), directions.astype(np.float32)))
    tint = params.warmth * np.array([-0.25, 0.0, 0.2], np.float32)
    # Red wraps further round: it scatters deepest in skin.
    wrap = np.array([0.10, 0.16, 0.26], np.float32)
    incident = params.key * (1.0 + tint) * np.maximum((along[..., None] + wrap) / (1.0 + wrap), 0.0)
    incident += params.ambient * (1.0 - 0.3 * tint)
    linear = np.array(params.skin, np.float32) ** 2.2 * incident
    linear += np.float32(params.gloss * params.key) * cv2.pow(np.maximum(mirrored, 0.0), 22)[..., None]
    # A soft shoulder, so that bright skin does not clip.
    lit = cv2.pow(linear / (1.0 + 0.18 * linear * linear), 1 / 2.2)
    return lit, np.ascontiguousarray(incident[..., 1]) ** np.float32(1 / 2.2), np.clip(beard, 0.0, 1.0)


def _spots(params: FaceParams, view: View) -> np.ndarray:
    """Relief (head units) and beard: float32 (2, GRID, GRID)."""
    top, base, my, eye = params.eye_y, params.nose_base, params.mouth_y, params.eye_distance
    smile, drop = max(params.smile, 0.0), 0.5 * params.mouth_open
    # x, y, lift, width and height; relief and beard
    rows = [
        (0.0, 0.65 * top + 0.35 * base, 0.10, 0.060, 0.16, 0.080, 0.0),  # nose
        (0.0, base - 0.06, 0.22, 0.080, 0.070, 0.110, 0.0),
        (0.0, my, 0.03, 0.20, 0.12, 0.050, 0.0),  # mouth, the upper lip's beard, chin
        (0.0, 0.5 * (base + my) + 0.02, 0.05, 0.17, 0.055, 0.0, 0.95),
        (0.0, my + 0.17 + drop, 0.0, 0.13, 0.04, -0.030, 0.0),
        (0.0, 0.87 + drop, 0.03, 0.13, 0.09, 0.055, 1.2),
    ]
    for s in (-1.0, 1.0):
        rows += [
            (s * 0.75 * params.nose_width, base - 0.05, 0.06, 0.045, 0.045, 0.045, 0.0),
            (s * 0.75 * eye, top - 0.06, 0.0, 0.12, 0.08, -0.060, 0.0),  # socket, eyeball
            (s * eye, top - 0.01, 0.0, 0.10, 0.065, 0.045, 0.0),
            (s * 0.43, 0.13 - 0.04 * smile, 0.0, 0.16, 0.13, 0.045 + 0.035 * smile, 0.0),  # cheek, jaw
            (s * 0.60, 0.50, 0.0, 0.10, 0.24, 0.0, 1.3),
            (s * 0.38, 0.80 + drop, 0.0, 0.17, 0.13, 0.0, 1.3),
        ]
    table = np.array(rows)
    centres = view.turned(table[:, :2], table[:, 2])
    across, down = (
        np.exp(-0.5 * ((CELLS - centres[:, k, None]) / table[:, 3 + k, None]) ** 2).astype(np.float32)
        for k in (0, 1)
    )
    weighted = table[:, 5:].T[:, :, None].astype(np.float32) * down
    # einsum instead of @: BLAS rounds differently with another number of threads, and faces must not.
    return np.einsum('fsv,su->fvu', weighted, across)


def _normals(params: FaceParams, view: View, relief: np.ndarray) -> np.ndarray:
    """Unit normals, float32 (GRID, GRID, 3): right, down, to the camera (in turned, unrolled axes)."""
    middle = view.turned(np.array([(0.0, -0.1)]), -0.35)[0].astype(np.float32)
    nx = (CELLS[None, :] - middle[0]) / np.float32(1.12 * params.face_width)
    ny = (CELLS[:, None] - middle[1]) / np.float32(1.32)
    nz = np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.03))
    # Sobel sums to 8 times the slope per cell.
    slope = np.float32(0.95 / 8.0 * GRID / (2 * REACH))
    nx = 0.85 * nx - slope * cv2.Sobel(relief, cv2.CV_32F, 1, 0)
    ny = 0.60 * ny - slope * cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    return cv2.merge([nx, ny, nz]) / np.sqrt(nx * nx + ny * ny + nz * nz)[..., None]
