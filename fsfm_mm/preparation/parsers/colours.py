"""Hair, skin and background told apart by their colours, beginning from outlines that are roughly right."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fsfm_mm.regions import BACKGROUND, HAIR, SKIN

#: Everything is computed on this many cells across the crop.
GRID = 56
#: Rounds of estimating the colours and sharing out the cells.
ROUNDS = 3
#: Smallest variance of a colour, grey levels squared; keeps a plain backdrop from refusing its own noise.
MIN_VARIANCE = 30.0
#: Borders are smoothed by this many cells.
SMOOTHING = 0.8

# Lengths below are in distances of the eyes, from between them; y points to the chin.
_FACE_BLUR, _HEAD_BLUR = 0.16, 0.18
_CHIN, _NECK, _NECK_WIDTH = 1.3, 1.2, 0.95
#: How likely what lies beyond the head's outline is hair: beside it, and under the chin.
_LOOSE_HAIR, _HAIR_UNDER_CHIN = 0.15, 0.03


def rounded(outline: Sequence[Sequence[float]] | np.ndarray, times: int = 2) -> np.ndarray:
    """A closed outline (N, 2) with its corners cut (Chaikin) so many times: float64 (N * 2**times, 2)."""
    points = np.asarray(outline, np.float64)
    for _ in range(times):
        after = np.roll(points, -1, 0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1).reshape(-1, 2)
    return points


def fill(canvas: np.ndarray, outline: np.ndarray, value: float) -> None:
    """Fill a closed outline.

    Args:
        canvas: (H, W), changed in place.
        outline: float64 (N, 2), x and y in pixels; may reach far outside.
        value: What to fill it with.
    """
    # sixteenths of a pixel; what lies very far outside would take OpenCV long, or overflow
    whole = np.clip(outline * 16, -(1 << 18), 1 << 18).round().astype(np.int32)
    cv2.fillPoly(canvas, [whole], value, shift=4)


def refine(
    labels: np.ndarray, crop: np.ndarray, head: np.ndarray, face: np.ndarray, place: np.ndarray
) -> None:
    """Redraw the borders of hair, skin and background where the colours change; other labels stay.

    Four Gaussian colours (face, hair, backdrop, what is below the chin) are estimated by a few rounds of
    expectation and maximisation. What a cell may be is bound to where it lies: around the given outlines, hair
    also hanging beside the face. The neck has the face's colour and is background.

    Args:
        labels: uint8 (S, S), changed in place where it is background, skin or hair.
        crop: uint8 (S, S, 3) BGR.
        head: float64 (N, 2), outline of the hair with the face in pixels.
        face: float64 (M, 2), outline of the face with the ears.
        place: float64 (2, 3), from distances of the eyes to pixels.
    """
    height, width = labels.shape
    cells = cv2.resize(crop, (GRID, GRID), interpolation=cv2.INTER_AREA)
    scale = np.array([GRID / width, GRID / height])
    share = _memberships(_features(cells), _priors(head, face, place, scale))
    smooth = cv2.GaussianBlur(share.T.reshape(GRID, GRID, 3), (0, 0), SMOOTHING)
    outside, skin, hair = cv2.split(cv2.resize(smooth, (width, height)))
    chosen = np.where(skin > np.maximum(hair, outside), SKIN, np.where(hair > outside, HAIR, BACKGROUND))
    free = (labels == BACKGROUND) | (labels == SKIN) | (labels == HAIR)
    np.copyto(labels, chosen.astype(np.uint8), where=free)


def _priors(head: np.ndarray, face: np.ndarray, place: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """How likely each cell is backdrop, clothes, neck, face or hair by its place alone: float32 (5, cells)."""
    unit = float(np.hypot(*place[:, 0])) * float(scale.mean())
    in_face = _blurred_area(face, scale, _FACE_BLUR * unit)
    in_head = np.maximum(_blurred_area(head, scale, _HEAD_BLUR * unit), in_face)
    x, y = _face_coordinates(place, scale)
    below = 1 / (1 + np.exp((_CHIN - y) * 8))
    under = ((np.abs(x) < _NECK_WIDTH) & (y > _NECK)).astype(np.float32)
    hair = in_head - in_face + (1 - in_head) * np.where(under > 0, _HAIR_UNDER_CHIN, _LOOSE_HAIR)
    rest = np.maximum(1 - in_face - hair, 0)
    neck = 0.5 * under * rest
    rest = rest - neck
    backdrop = rest * (0.95 - 0.65 * below)
    return np.stack([backdrop, rest - backdrop, neck, in_face, hair]).astype(np.float32) + np.float32(1e-4)


def _blurred_area(outline: np.ndarray, scale: np.ndarray, sigma: float) -> np.ndarray:
    """Share 0..1 of a closed outline in each cell, blurred: float32 (cells,)."""
    area = np.zeros((GRID, GRID), np.float32)
    fill(area, (outline + 0.5) * scale - 0.5, 1.0)
    sigma = min(max(sigma, 0.3), GRID / 4)  # its cost grows with it, and faces are not larger than crops
    return cv2.GaussianBlur(area, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).reshape(-1)


def _face_coordinates(place: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each cell, x and y in distances of the eyes, float64 (cells,) each."""
    centres = np.arange(GRID) + 0.5
    pixels = np.stack(np.meshgrid(centres / scale[0], centres / scale[1]), -1).reshape(-1, 2) - 0.5
    x, y = ((pixels - place[:, 2]) @ np.linalg.inv(place[:, :2]).T).T
    return x, y


def _features(cells: np.ndarray) -> np.ndarray:
    """1, the colour, and the products of its parts for each cell: float32 (cells, 13)."""
    colour = cells.reshape(-1, 3).astype(np.float32)
    products = (colour[:, :, None] * colour[:, None, :]).reshape(-1, 9)
    return np.concatenate([np.ones((len(colour), 1), np.float32), colour, products], 1)


def _memberships(features: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Share the cells out among background, skin and hair: float32 (3, cells)."""
    backdrop, clothes, neck, face, hair = priors
    logs = np.log(np.stack([backdrop, clothes, neck, face, hair]))
    # begin with the cells that are surest by their place
    share = np.stack([backdrop**2, clothes**2, face**3, hair**2])
    for _ in range(ROUNDS):
        fit = _log_densities(features, share)
        score = fit[[0, 1, 2, 2, 3]] + logs
        score = np.exp(score - score.max(0))
        score /= score.sum(0)
        share = np.stack([score[0], score[1], score[3], score[4]])
    return np.stack([score[0] + score[1] + score[2], score[3], score[4]])


def _log_densities(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logarithm of a Gaussian's density fitted with each row of weights: float32 (rows, cells)."""
    moments = (weights @ features).astype(np.float64)
    moments /= moments[:, :1] + 1e-9
    mean, second = moments[:, 1:4], moments[:, 4:].reshape(-1, 3, 3)
    covariance = second - mean[:, :, None] * mean[:, None, :] + MIN_VARIANCE * np.eye(3)
    inverse = np.linalg.inv(covariance)
    linear = np.einsum('kij,kj->ki', inverse, mean)
    constant = -0.5 * (np.einsum('ki,ki->k', linear, mean) + np.log(np.linalg.det(covariance)))
    table = np.concatenate([constant[:, None], linear, -0.5 * inverse.reshape(-1, 9)], 1)
    return table.astype(np.float32) @ features.T
