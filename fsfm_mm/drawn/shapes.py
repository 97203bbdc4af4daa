"""Outlines of a face: curves in head units, posed, projected and joined by splines."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from fsfm_mm.drawn.params import FaceParams

#: Weak perspective: how much nearer points grow per head unit.
_PERSPECTIVE = 0.10
#: Depth around which the head turns.
_PIVOT = 0.25
#: Half the side of the square, in head units, that :meth:`View.place` lays over the head.
REACH = 1.7
#: The image's left ('-', the subject's right) and right.
SIDES = (('-', -1.0), ('+', 1.0))
_CIRCLE = np.array([(np.cos(t), np.sin(t)) for t in np.linspace(0, 2 * np.pi, 10, endpoint=False)])


class View:
    """The projection of one pose.

    Args:
        params: The face, for its pose.
        strength: Share of the turns: neck and shoulders follow the head in part.

    Attributes:
        turn: Rotation by yaw and pitch, (3, 3).
        flat: Affine map (2, 3) from turned head units to the unit picture (x right, y down, 0 to 1).
    """

    def __init__(self, params: FaceParams, strength: float = 1.0) -> None:
        yaw, pitch, roll = np.deg2rad([params.yaw, params.pitch, params.roll]) * strength
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        self.turn = np.array([[cy, 0, sy], [-sp * sy, cp, sp * cy], [-cp * sy, -sp, cp * cy]])
        c, s = params.scale * np.cos(roll), params.scale * np.sin(roll)
        # The face box runs from the hairline (-0.85) to the chin (1): its middle goes to the picture's.
        x, y = 0.5 + params.shift_x + 0.08 * s, 0.5 + params.shift_y - 0.08 * c
        self.flat = np.array([[c, -s, x], [s, c, y]])

    def turned(self, points: np.ndarray, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """Turned head units (n, 2), before roll and scale.

        Args:
            points: Points (n, 2) on the face's surface, or (n, 3) with their depth from the head's middle.
            lift: Height over that, a scalar or (n,).
        """
        moved = np.empty((len(points), 3))
        moved[:, : points.shape[1]] = points
        if points.shape[1] == 2:
            inside = 1.0 - (points / (0.86, 1.4)) ** 2 @ np.ones(2)
            moved[:, 2] = 0.62 * np.sqrt(np.maximum(0.04, inside))
        moved[:, 2] += lift - _PIVOT
        moved = moved @ self.turn.T
        return moved[:, :2] * (1.0 + _PERSPECTIVE * moved[:, 2:])

    def curve(self, points: np.ndarray, lift: float | np.ndarray = 0.0, closed: bool = True) -> np.ndarray:
        """The spline through points as of :meth:`turned`, in the unit picture, float (m, 2)."""
        return _spline(len(points), closed) @ self.turned(points, lift) @ self.flat[:, :2].T + self.flat[:, 2]

    def silhouette(self, points: np.ndarray) -> np.ndarray:
        """A closed curve, mirrored from its x >= 0 half (n, 3): its width stays when the round head turns."""
        return self.curve(_mirrored(points) / (self.turn[0, 0], 1.0, 1.0))

    def place(self, field: np.ndarray, size: int) -> np.ndarray:
        """Lay a field (G, G) or fields (G, G, n) over turned head units -REACH to REACH into the picture.

        Returns:
            float32 (size, size) or (n, size, size).
        """
        cells = field.shape[0] / (2 * REACH)
        matrix = self.flat * size
        # cv2 counts from the middles of cells and of pixels.
        matrix[:, 2] += matrix[:, :2].sum(axis=1) * (0.5 / cells - REACH) - 0.5
        matrix[:, :2] /= cells
        placed = cv2.warpAffine(field, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(np.moveaxis(placed, -1, 0) if placed.ndim == 3 else placed)


@lru_cache(maxsize=64)
def _spline(count: int, closed: bool) -> np.ndarray:
    """Weights (samples, count) of a smooth curve through ``count`` points: four-point subdivision, three times."""
    points = np.eye(count)
    for _ in range(3):
        ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
        p = np.concatenate([ends[0], points, ends[1]])
        between = (9.0 * (p[1:-2] + p[2:-1]) - p[:-3] - p[3:]) / 16.0
        finer = np.stack([points[: len(between)], between], axis=1).reshape(-1, count)
        points = finer if closed else np.concatenate([finer, points[-1:]])
    return points


def ribbon(line: np.ndarray, width: float) -> np.ndarray:
    """Outline (2n, 2) of a stroke of a full width along a line (n, 2)."""
    tangent = np.gradient(line, axis=0)
    offset = tangent[:, ::-1] * (-0.5, 0.5) * width / (np.hypot(*tangent.T)[:, None] + 1e-9)
    return np.concatenate([line + offset, (line - offset)[::-1]])


def _mirrored(half: np.ndarray) -> np.ndarray:
    """Both halves of a symmetric closed curve from the x >= 0 half (n, 3), whose ends lie on the axis."""
    return np.concatenate([half, half[-2:0:-1] * (-1.0, 1.0, 1.0)])


def build_shapes(params: FaceParams) -> dict[str, np.ndarray]:
    """All outlines of head, features, hair, glasses and body.

    Args:
        params: The face.

    Returns:
        Closed polygons, and lips' lines from corner to corner, by name: in the unit picture, float (n, 2);
        '-' and '+' end the names of what lies on the image's left and right. Hair and glasses are there as
        the face has them.
    """
    view, body = View(params), View(params, 0.35)
    w, jaw, chin = params.face_width, params.face_width * params.jaw_width, params.chin_width
    drop = 0.5 * params.mouth_open
    head = [(0.0, -1.27, 0.0), (0.57 * w, -1.17, 0.0), (0.93 * w, -0.82, 0.0), (1.02 * w, -0.42, 0.0)]
    head += [(w, -0.06, 0.02), (0.96 * w, 0.24 + 0.2 * drop, 0.04), (jaw, 0.54 + 0.5 * drop, 0.12)]
    head += [(0.66 * jaw + 0.2 * chin, 0.8 + 0.8 * drop, 0.26), (0.5 * chin + 0.17 * jaw, 0.935 + drop, 0.36)]
    head += [(0.55 * chin, 0.985 + drop, 0.40), (0.0, 1.0 + drop, 0.42)]
    neck = [(0.0, 0.2), (0.78 * jaw, 0.3), (0.76 * jaw, 0.85), (0.82 * jaw, 1.1)]
    neck += [(1.15 * jaw, 1.35), (0.0, 1.9)]
    clothes = [(0.0, 1.42), (0.3, 1.32), (0.8 * jaw, 1.12), (jaw, 1.13), (1.15, 1.32), (2.4, 2.0), (0.0, 4.2)]
    shapes = {
        'head': view.silhouette(np.array(head)),
        'neck': body.silhouette(np.insert(neck, 2, -0.05, axis=1)),
        'clothes': body.silhouette(np.insert(clothes, 2, -0.05, axis=1)),
    }
    for side, sign in SIDES:
        shapes |= {name + side: outline for name, outline in _eye_and_ear(view, params, sign).items()}
    return shapes | _nose(view, params) | _mouth(view, params) | _hair(view, params)


def _eye_and_ear(view: View, params: FaceParams, sign: float) -> dict[str, np.ndarray]:
    """One side's eye, iris, brow, ear and lens."""
    half, height, inner = 0.5 * params.eye_width, params.eye_height, sign * params.eye_distance
    up, low = 0.66 * height * params.eye_open, 0.36 * height * (1.0 - 0.35 * max(params.smile, 0.0))
    # Along the lids from the inner corner; doubled corners keep the spline sharp there.
    a = np.array([-1.0, -1.0, -0.55, 0.0, 0.55, 1.0, 1.0, 0.5, 0.0, -0.55])
    b = np.array([0.012, 0.012, -0.62 * up, -up, -0.72 * up, 0, 0, 0.62 * low, low, 0.7 * low])
    eye = np.column_stack([inner + sign * half * a, params.eye_y + b - 0.006 * a])
    pupil = (inner + 0.22 * half * params.gaze, params.eye_y - 0.16 * height)
    x = inner + sign * 0.714 * params.eye_width * np.array([-0.62, -0.2, 0.25, 0.62, 0.9])
    y = params.eye_y - params.brow_gap + 0.02 - np.array([0.0, 0.35, 0.85, 1.0, 0.25]) * params.brow_arch
    thick = 0.5 * params.brow_thickness * np.array([0.85, 1.0, 0.9, 0.62, 0.12])
    brow = np.concatenate([np.column_stack([x, y + thick]), np.column_stack([x, y - thick])[::-1]])
    ear = np.array([(-0.08, -0.20), (0.03, -0.25), (0.10, -0.18), (0.10, -0.02), (0.02, 0.24), (-0.06, 0.22)])
    ear = (ear + (params.face_width, params.eye_y + 0.16)) * (sign / view.turn[0, 0], 1.0)
    shapes = {
        'eye': view.curve(eye),
        'iris': view.curve(pupil + 0.215 * params.eye_width * _CIRCLE),
        'brow': view.curve(brow, 0.03),
        'ear': view.curve(np.insert(ear, 2, -0.1, axis=1)),
    }
    if params.glasses > 0.0:
        centre = (sign * max(params.eye_distance, 0.25), params.eye_y + 0.03)
        lens = centre + _CIRCLE * (0.205, params.glasses)
        shapes['lens'] = view.curve(np.insert(lens, 2, 0.6 - 0.3 * np.abs(lens[:, 0]), axis=1))
    return shapes


def _nose(view: View, params: FaceParams) -> dict[str, np.ndarray]:
    base, wing, top = params.nose_base, params.nose_width, params.eye_y - 0.04
    length = base - top
    half = [(0.0, top, 0.06), (0.058, top + 0.02, 0.03), (0.061, top + 0.4 * length, 0.05)]
    half += [(0.085, top + 0.66 * length, 0.07), (0.86 * wing, base - 0.15, 0.05), (wing, base - 0.065, 0.03)]
    half += [(0.86 * wing, base, 0.06), (0.42 * wing, base + 0.012, 0.10), (0.0, base + 0.045, 0.13)]
    nose = _mirrored(np.array(half))
    shapes = {'nose': view.curve(nose[:, :2], nose[:, 2])}
    for side, sign in SIDES:
        nostril = np.array([(0.26, 0.0), (0.45, -0.018), (0.66, 0.0), (0.45, 0.014)]) * (sign * wing, 1.0)
        shapes['nostril' + side] = view.curve(nostril + (0.0, base - 0.004), 0.09)
    return shapes


def _mouth(view: View, params: FaceParams) -> dict[str, np.ndarray]:
    """Lines from corner to corner: the edges of both lips."""
    smile, gap = params.smile, params.mouth_open
    a = np.array([-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0])
    x = params.mouth_width * (1.0 + 0.20 * max(smile, 0.0)) * a
    arch = np.array([0.0, 0.7, 0.96, 1.0, 0.96, 0.7, 0.0])
    seam = params.mouth_y - 0.075 * smile * np.abs(a) ** 1.6 + 0.012 * smile
    wavy = seam + np.array([0.0, -0.006, 0.006, 0.012, 0.006, -0.006, 0.0])
    lines = {
        'lip_top': seam - 0.9 * params.lips * np.array([0.0, 0.66, 1.0, 0.86, 1.0, 0.66, 0.0]),
        'lip_upper': wavy - 0.25 * gap * arch,
        'lip_lower': wavy + 0.75 * gap * arch,
        'lip_bottom': wavy + (0.75 * gap + params.lips) * arch,
    }
    return {name: view.curve(np.column_stack([x, y]), 0.05, closed=False) for name, y in lines.items()}


def _hair(view: View, params: FaceParams) -> dict[str, np.ndarray]:
    """'cap', over the skull down to the hairline, and 'back', which hangs behind the head."""
    w, volume, low = params.face_width, params.volume, params.eye_y + 0.15
    if params.hair == 'bald':
        return {}
    skull = np.array([(1.0, low), (1.0, -0.06), (1.02, -0.42), (0.93, -0.82), (0.57, -1.17)]) * (w, 1.0)
    skull += volume * np.array([(0.02, 0.0), (0.5, 0.0), (0.8, -0.24), (0.86, -0.66), (0.4, -1.0)])
    top = [(0.12 * params.parting, -1.27 - volume)]
    outer = np.concatenate([skull, top, skull[::-1] * (-1.0, 1.0)])
    a = np.linspace(-0.97, 0.97, 21)
    rise = 0.05 * np.cos(3.0 * (a - params.parting)) - 0.2 * np.abs(a) * (1.0 - volume)
    hang = np.clip(1.25 - 1.1 * np.abs(a - 1.3 * params.parting), 0.0, 1.0) * params.fringe
    y = params.hairline - rise + hang * (params.eye_y - params.brow_gap - 0.09 - params.hairline)
    # Sideburns, and small teeth: hair does not end in a smooth edge.
    y = y + (low - y) * np.abs(a) ** 9 + (0.006 + 0.015 * params.fringe) * np.cos(np.pi * np.arange(21))
    # The outer rim is a silhouette and keeps its width; the hairline turns with the forehead.
    outer[:, 0] /= view.turn[0, 0]
    depth = np.concatenate([np.zeros(len(outer)), 0.55 * np.sqrt(1.0 - a**2)])
    cap = view.curve(np.column_stack([np.concatenate([outer, np.column_stack([a * w, y])]), depth]))
    if params.hair == 'curly':
        rim = cap[: 8 * len(outer) - 7]
        lobes = (0.02 + 0.02 * params.wave) * np.sin(1.3 * np.arange(len(rim)))
        rim += lobes[:, None] * (rim - cap.mean(axis=0))
    if params.hair != 'long':
        return {'cap': cap}
    wide, end, bow = w + 0.06 + volume, params.length, 0.06 * params.wave
    half = [(0.0, -1.2), (0.8 * wide, -0.9), (wide, -0.3), (wide + 0.05 + bow, 0.25)]
    half += [(wide + 0.15 - bow, 0.5 * end + 0.2), (wide + 0.06, end), (0.0, end + 0.05)]
    return {'cap': cap, 'back': view.silhouette(np.insert(half, 2, -0.25, axis=1))}
