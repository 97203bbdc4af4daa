"""Skin, hair and what is neither, told by where a pixel lies, who is a person, and by the crop's own colours."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.preparation.mediapipe import LEFT_EYE, RIGHT_EYE, upright
from fsfm_mm.preparation.parsers.colours import fill, rounded
from fsfm_mm.preparation.parsers.mesh_parts import OVAL
from fsfm_mm.regions import BACKGROUND, HAIR, SKIN

#: Everything is computed on this many cells across the crop.
GRID = 112
#: Smallest variance of a colour in CIE L*a*b*; keeps a plain backdrop from refusing its own noise.
_MIN_VARIANCE = 20.0
#: Widths of smoothing, in distances of the eyes' outer corners: colours, wider colours, texture, the result.
_NARROW, _WIDE, _TEXTURE, _RESULT = 0.075, 0.2, 0.04, 0.025
#: What each column of :func:`cell_features` says for clothes and neck, skin, and hair; for the backdrop, 0. Fitted
#: by logistic regression to 100 CelebAMask-HQ faces. No column is a colour as such, only its likeness to others of
#: the same crop: neither skin nor hair is expected to be light or dark.
_SPEAKS = np.array(
    [
        (-0.66, 0.40, -0.38),
        (1.17, 2.03, 1.53),
        (1.06, 2.42, -0.07),
        (-0.45, 1.31, -0.16),
        (-1.51, -1.84, -2.38),
        (-0.86, 0.09, 0.43),
        (-0.19, -1.24, -0.44),
        (0.50, 0.17, 0.96),
        (1.00, -1.27, -1.63),
        (-0.68, -1.24, -0.46),
        (-0.03, -0.59, 0.46),
        (-0.16, -0.16, -0.20),
        (-0.25, -0.50, -0.32),
        (0.73, 1.86, 0.52),
        (-0.20, -0.85, 0.70),
        (0.19, 1.63, 0.98),
        (-0.17, 0.77, -0.19),
        (0.01, 0.34, -0.46),
        (0.51, -0.32, 0.15),
        (-0.12, 0.09, 0.10),
        (-0.13, -0.57, -0.17),
        (0.40, 0.97, -0.24),
        (-0.17, -0.66, 0.53),
        (0.05, -0.40, -0.43),
        (0.03, 0.31, 0.38),
        (-0.96, -1.61, -0.09),
        (0.15, 0.81, 0.38),
        (0.03, 0.66, 0.12),
        (0.00, -0.05, -0.25),
        (0.04, -0.59, 0.82),
    ],
    np.float32,
)
#: Half the width of a bridge between hair and a suit, in distances of the eyes' outer corners.
_BRIDGE = 0.08
_CHIN, _FOREHEAD, _LIPS = 152, 10, (13, 14)


def cell_features(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """What is known of each cell of a crop.

    Four colours are fitted to the cells that are surest by their place: backdrop (no person), clothes (a person
    below the chin), skin (inside the oval), hair (a person outside the oval, above the mouth).

    Args:
        crop: uint8 (S, S, 3) BGR.
        points: float64 (468, 2) of the mesh, in pixels.
        person: float32 (GRID, GRID), probability of a person.

    Returns:
        float32 (GRID * GRID, 30).
    """
    axes, unit = upright(points)
    scale = np.array([GRID / crop.shape[1], GRID / crop.shape[0]])
    cell_unit = unit * float(scale.mean())
    cells = cv2.resize(crop, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    planes = cv2.cvtColor(cells, cv2.COLOR_BGR2Lab)
    colours = planes.reshape(-1, 3)
    oval = np.zeros((GRID, GRID), np.uint8)
    fill(oval, (rounded(points[list(OVAL)]) + 0.5) * scale - 0.5, 1)
    ways = [cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (oval, 1 - oval)]
    depth = (ways[0] - ways[1]).reshape(-1) / cell_unit

    origin = (points[list(RIGHT_EYE)].mean(0) + points[list(LEFT_EYE)].mean(0)) / 2
    centres = np.stack(np.meshgrid(*(np.arange(GRID) + 0.5,) * 2), -1).reshape(-1, 2) / scale - 0.5
    x, y = ((centres - origin) @ axes.T / unit).T
    top, chin, mouth = (
        float((points[list(places)].mean(0) - origin) @ axes[1] / unit)
        for places in ((_FOREHEAD,), (_CHIN,), _LIPS)
    )
    chance = np.clip(person.reshape(-1), 1e-4, 1 - 1e-4)
    seeds = np.stack(
        [
            (1 - chance) ** 2,
            chance * (y > chin + 0.05),
            depth > 0.08,
            chance * (depth < -0.04) * (y < mouth - 0.2) * np.exp(2 * np.minimum(depth, 0)),
        ]
    )
    fits = [_agreement(colours, seed + 1e-3) / 4 for seed in seeds]

    def smooth(plane: np.ndarray, width: float) -> np.ndarray:
        sigma = min(max(width * cell_unit, 0.3), GRID / 8)
        return cv2.GaussianBlur(plane.astype(np.float32).reshape(GRID, GRID), (0, 0), sigma).reshape(-1)

    light = colours[:, 0]
    variance = smooth(light * light, _TEXTURE) - smooth(light, _TEXTURE) ** 2
    texture = np.log(np.sqrt(np.maximum(variance, 0)) + 1)
    odds = np.clip(np.log(chance / (1 - chance)), -6, 6) / 3
    above, below = (1 / (1 + np.exp(np.clip(way, -50, 50))) for way in (y * 8, (chin - y) * 8))
    out = depth < 0
    return np.stack(
        [
            *(np.ones_like(x), odds, np.clip(depth, -0.6, 0) * 5, np.clip(depth, 0, 0.4) * 10, below, above),
            *(
                x * x,
                below * x * x,
                np.clip(y - mouth, -1, 1),
                np.clip(y - top, -0.6, 0.6),
                above * depth.clip(-0.3, 0.3) * 10,
            ),
            *(
                *fits,
                below * fits[3],
                out * above * fits[2],
                ~out * above * fits[3],
                np.abs(y - 0.1).clip(0, 0.4) * out * 5,
            ),
            *(smooth(fit, _NARROW) for fit in fits),
            *(smooth(fit, _WIDE) for fit in fits),
            *(texture, texture * out, smooth(texture, _NARROW)),
        ],
        -1,
    ).astype(np.float32)


def _agreement(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logarithm of a Gaussian's density fitted with the weights, -20..5: (cells,)."""
    share = weights / weights.sum()
    offset = colours - share @ colours
    covariance = (offset * share[:, None]).T @ offset + np.eye(3) * _MIN_VARIANCE
    distance = (offset @ np.linalg.inv(covariance) * offset).sum(1)
    return np.clip(-0.5 * distance - 0.5 * np.log(np.linalg.det(covariance) / _MIN_VARIANCE**3), -20, 5)


def draw_regions(labels: np.ndarray, crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> None:
    """Draw skin and hair over all of a map; the rest, neck and clothes as well, is background.

    What would be hair below the mouth must be connected with hair above it, by more than a thin bridge: a dark suit
    is no hair.

    Args:
        labels: uint8 (H, W), changed in place.
        crop: uint8 (H, W, 3) BGR.
        points: float64 (468, 2) of the mesh, in pixels.
        person: float32 (GRID, GRID), probability of a person.
    """
    height, width = labels.shape
    axes, unit = upright(points)
    says = np.pad(cell_features(crop, points, person) @ _SPEAKS, ((0, 0), (1, 0)))
    says = np.exp(says - says.max(1, keepdims=True))
    says /= says.sum(1, keepdims=True)
    shares = np.stack([says[:, 0] + says[:, 1], says[:, 2], says[:, 3]], -1).reshape(GRID, GRID, 3)
    sigma = min(max(_RESULT * unit * GRID / width, 0.3), GRID / 8)
    shares = cv2.resize(cv2.GaussianBlur(shares, (0, 0), sigma), (width, height))
    labels[:] = np.array([BACKGROUND, SKIN, HAIR], np.uint8)[shares.argmax(-1)]
    down = np.arange(width) * axes[1, 0] + np.arange(height)[:, None] * axes[1, 1]
    above = down < points[list(_LIPS)].mean(0) @ axes[1]
    radius = min(max(round(_BRIDGE * unit), 1), width // 8)
    round_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    hair = labels == HAIR
    _, pieces = cv2.connectedComponents(cv2.erode(hair.astype(np.uint8), round_brush), connectivity=4)
    held = (pieces > 0) & np.isin(pieces, pieces[above])
    labels[hair & ~above & (cv2.dilate(held.astype(np.uint8), round_brush) == 0)] = BACKGROUND
