"""Brows, eyes, nose and mouth from the points of a face mesh: outlines that the colours inside them correct."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.preparation.mediapipe import LEFT_EYE, RIGHT_EYE, upright
from fsfm_mm.preparation.parsers.colours import fill, rounded
from fsfm_mm.regions import LABEL_NAMES

# Outlines in the mesh's published topology, each closed; 'right' is the person's.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_NOSE = (
    *(168, 193, 245, 188, 174, 198, 209, 49, 48, 64, 98, 97),
    *(2, 326, 327, 294, 278, 279, 429, 420, 399, 412, 465, 417),
)
_LIPS_TOP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_UPPER_EDGE = (308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
_LOWER_EDGE = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_LIPS_BOTTOM = (291, 375, 321, 405, 314, 17, 84, 181, 91, 146, 61)
#: Of the cheeks and the forehead: where the skin's colour is taken.
_BARE = (50, 280, 101, 330, 117, 346, 36, 266, 205, 425, 151, 9, 108, 337)

#: The parts: label, outline, and whether it is the mirror image of another one.
PARTS: tuple[tuple[str, tuple[int, ...], bool], ...] = (
    ('nose', _NOSE, False),
    ('right_brow', _RIGHT_BROW, False),
    ('left_brow', _LEFT_BROW, True),
    ('right_eye', RIGHT_EYE, False),
    ('left_eye', LEFT_EYE, True),
    ('upper_lip', (*_LIPS_TOP, *_UPPER_EDGE), False),
    ('lower_lip', (*_LOWER_EDGE, *_LIPS_BOTTOM), False),
    ('inner_mouth', (*_LOWER_EDGE, *_UPPER_EDGE[1:-1]), False),
)
#: For each part, mirror images sharing one, what speaks for it in each column of :func:`part_window`. Fitted by
#: logistic regression to 100 CelebAMask-HQ faces; a brow is darker than the skin, lips are redder, teeth are not.
_SPEAKS: dict[str, tuple[float, ...]] = {
    'nose': (1.32, 16.03, 6.13, 2.07, 6.06, 4.49, -0.85, 0, -0.86, 0.22, 0),
    'brow': (0.38, 16.23, -1.61, -6.38, -0.54, -0.17, 5.23, 2.09, -7.14, -8.27, 5.03),
    'eye': (-1.03, 18.75, 8.20, 0.38, -1.71, -1.78, 5.47, 1.57, -10.79, -5.36, -2.84),
    'upper_lip': (1.06, 20.38, 0.37, -3.50, 6.28, 1.05, -3.31, 0, -2.88, -7.82, 0),
    'lower_lip': (-4.03, 18.36, 2.58, 0.04, 10.53, -6.39, 3.53, 0, 1.24, -1.87, 0),
    'inner_mouth': (-0.88, 15.35, 7.54, 1.56, -14.25, -0.70, 1.38, 0, -1.07, 0.64, 0),
}
#: How far from its outline a pixel can still be of the part, in distances of the eyes' outer corners.
REACH = 0.12
#: Distances are computed on so many times finer a raster: an eye is a few pixels high.
_FINE = 3


def picture_colours(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The crop's colours less the skin's: float32 (H, W, 3), CIE L*, a*, b* in steps of 20.

    Args:
        crop: uint8 (H, W, 3) BGR.
        points: float64 (468, 2) of the mesh.
    """
    _, unit = upright(points)
    lab = cv2.cvtColor(
        cv2.GaussianBlur(crop, (0, 0), max(unit / 110, 0.3)).astype(np.float32) / 255, cv2.COLOR_BGR2Lab
    )
    column, row = np.clip(
        points[list(_BARE)].round().astype(int), 0, (crop.shape[1] - 1, crop.shape[0] - 1)
    ).T
    return (lab - np.median(lab[row, column], 0)) / 20


def draw_parts(labels: np.ndarray, crop: np.ndarray, points: np.ndarray) -> None:
    """Draw brows, eyes, nose and mouth.

    Args:
        labels: uint8 (H, W), changed in place.
        crop: uint8 (H, W, 3) BGR.
        points: float64 (468, 2) of the mesh, in pixels.
    """
    axes, unit = upright(points)
    colours = picture_colours(crop, points)
    best = np.zeros(labels.shape, np.float32)
    for name, places, mirrored in PARTS:
        outline = rounded(points[list(places)], 1)
        found = part_window(outline, axes, unit, mirrored, colours)
        if found is None:
            continue
        window, columns, near = found
        says = columns @ np.array(_SPEAKS[name.removeprefix('right_').removeprefix('left_')], np.float32)
        wins = near & (says > best[window])
        best[window][wins] = says[wins]
        labels[window][wins] = LABEL_NAMES.index(name)


def part_window(
    outline: np.ndarray, axes: np.ndarray, unit: float, mirrored: bool, colours: np.ndarray
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """What is known of the pixels about one part.

    Args:
        outline: float64 (N, 2) in pixels, closed.
        axes: As of :func:`fsfm_mm.preparation.mediapipe.upright`.
        unit: Its unit of length.
        mirrored: Whether the part is the mirror image of the one that its numbers were fitted for.
        colours: Of :func:`picture_colours`.

    Returns:
        Rows and columns of a window; float32 (h, w, 11): 1, distance to the outline (inside above 0), the same
        but 0 outside, colour, and place in the part with its squares; and bool (h, w), near enough. None where
        the part lies outside the picture.
    """
    height, width = colours.shape[:2]
    room = REACH * unit + 1
    low = np.clip(np.floor(outline.min(0) - room), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(outline.max(0) + room) + 1, 0, (width, height)).astype(int)
    if (high <= low).any():
        return None
    columns, rows = (int(size) for size in high - low)
    fine = np.zeros((rows * _FINE, columns * _FINE), np.uint8)
    fill(fine, (outline - low + 0.5) * _FINE - 0.5, 1)
    ways = [cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (fine, 1 - fine)]
    distance = cv2.resize(ways[0] - ways[1], (columns, rows), interpolation=cv2.INTER_AREA) / (_FINE * unit)
    window = slice(low[1], high[1]), slice(low[0], high[0])
    inside = outline @ axes.T
    pixels = np.stack(np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])), -1)
    x, y = np.moveaxis((pixels @ axes.T - (inside.min(0) + inside.max(0)) / 2) / unit, -1, 0)
    x = -x if mirrored else x
    level, green_red, blue_yellow = np.moveaxis(colours[window], -1, 0)
    columns_of = [
        *(np.ones_like(x), distance * 20, np.maximum(distance, 0) * 20, level, green_red, blue_yellow),
        *(y * 10, x * 5, x * x * 25, y * y * 100, x * y * 50),
    ]
    return window, np.stack(columns_of, -1).astype(np.float32), distance > -REACH
