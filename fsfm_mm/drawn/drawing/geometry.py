"""Curves in head units, posed, projected and joined by splines.

All shapes of a face are posed in one go (a few matrix products), because this runs once per training picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fsfm_mm.drawn.drawing.params import Identity, Pose

_SAMPLES = 6
#: Weak perspective: how much nearer points grow per head unit.
_PERSPECTIVE = 0.10
#: Depth around which the head turns.
_PIVOT = 0.25


@lru_cache(maxsize=64)
def _basis(count: int, closed: bool) -> np.ndarray:
    """Catmull-Rom weights (samples, count) of a curve through ``count`` control points."""
    spans = count if closed else count - 1
    t = np.arange(_SAMPLES) / _SAMPLES
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    )
    basis = np.zeros((spans * _SAMPLES + (not closed), count))
    for span in range(spans):
        rows = slice(span * _SAMPLES, (span + 1) * _SAMPLES)
        for k in range(4):
            point = span + k - 1
            point = point % count if closed else min(max(point, 0), count - 1)
            basis[rows, point] += weights[k]
    if not closed:
        basis[-1, -1] = 1.0
    return basis


def ribbon(line: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Outline (2n, 2) of a stroke along the polyline (n, 2), of one full width or one for each vertex."""
    tangent = np.empty_like(line)
    tangent[1:-1] = line[2:] - line[:-2]
    tangent[0], tangent[-1] = line[1] - line[0], line[-1] - line[-2]
    reach = 0.5 * width / (np.hypot(tangent[:, 0], tangent[:, 1]) + 1e-9)
    offset = tangent[:, ::-1] * reach[:, None]
    offset[:, 0] *= -1.0
    return np.concatenate([line + offset, (line - offset)[::-1]])


def surface_depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of the head's front at ``(x, y)`` in head units, same shape."""
    return 0.62 * np.sqrt(np.maximum(0.04, 1.0 - (x / 0.86) ** 2 - (y / 1.4) ** 2))


@dataclass(frozen=True)
class View:
    """The projection of one pose.

    Args:
        turn: Rotation by yaw and pitch, (3, 3).
        flat: Affine map (2, 3) from turned head units to the unit picture (x right, y down, 0 to 1).
    """

    turn: np.ndarray
    flat: np.ndarray

    def turned(self, points: np.ndarray) -> np.ndarray:
        """Head points (n, 3) to turned head units (n, 2), before roll and scale."""
        moved = points @ self.turn.T
        return moved[:, :2] * (1.0 + _PERSPECTIVE * moved[:, 2:])

    def project(self, points: np.ndarray) -> np.ndarray:
        """Head points (n, 3) to the unit picture (n, 2)."""
        return self.turned(points) @ self.flat[:, :2].T + self.flat[:, 2]


def view_of(pose: Pose, strength: float = 1.0) -> View:
    """Projection of ``pose``; ``strength`` < 1 turns less (neck and shoulders follow the head in part)."""
    yaw, pitch, roll = np.deg2rad([pose.yaw * strength, pose.pitch * strength, pose.roll * strength])
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    c, s = pose.scale * np.cos(roll), pose.scale * np.sin(roll)
    linear = np.array([[c, -s], [s, c]])
    # The face box runs from the hairline (-0.85) to the chin (1): its middle goes to the picture's.
    middle = np.array([0.5 + pose.shift_x, 0.5 + pose.shift_y]) - np.array([-0.08 * s, 0.08 * c])
    return View(turn, np.column_stack([linear, middle]))


@dataclass
class Shapes:
    """Outlines of one face in the unit picture.

    Args:
        outline: Closed polygons or open lines by name, float (n, 2); sides are '-' (image's left) and '+'.
        view: The head's projection.
    """

    outline: dict[str, np.ndarray]
    view: View

    def __getitem__(self, name: str) -> np.ndarray:
        return self.outline[name]


class ShapeBuilder:
    """Collects control points and projects them together.

    Args:
        view: The projection to use.

    Attributes:
        view: The projection.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._points: list[np.ndarray] = []
        self._entries: list[tuple[str, int, bool]] = []

    def add(
        self,
        name: str,
        xy: np.ndarray,
        lift: float | np.ndarray,
        base: str = 'surface',
        closed: bool = True,
    ) -> None:
        """Add a curve.

        Args:
            name: Its name.
            xy: Control points (n, 2) in head units.
            lift: Depth over the base, a scalar or (n,).
            base: 'surface' for points on the face; 'middle' to count depth from the head's middle; 'rim' for
                the same on a silhouette, whose width stays when the round head turns.
            closed: Whether the curve closes.
        """
        points = np.empty((len(xy), 4))
        points[:, :2] = xy
        points[:, 2] = lift
        points[:, 3] = base == 'surface'
        if base == 'rim':
            points[:, 0] /= self.view.turn[0, 0]
        self._points.append(points)
        self._entries.append((name, len(points), closed))

    def build(self) -> Shapes:
        """Project everything and join it by splines."""
        points = np.concatenate(self._points)
        depth = points[:, 2] + points[:, 3] * surface_depth(points[:, 0], points[:, 1]) - _PIVOT
        flat = self.view.project(np.column_stack([points[:, :2], depth]))
        outline: dict[str, np.ndarray] = {}
        start = 0
        for name, count, closed in self._entries:
            outline[name] = _basis(count, closed) @ flat[start : start + count]
            start += count
        return Shapes(outline, self.view)


def landmarks(view: View, x: np.ndarray, y: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """Turned head units (n, 2) of the surface points ``(x, y)`` raised by ``lift``, (n,) each."""
    return view.turned(np.column_stack([x, y, surface_depth(x, y) + lift - _PIVOT]))


def mirrored(half: np.ndarray) -> np.ndarray:
    """Both halves of a symmetric closed curve from the x >= 0 half (n, 2), whose ends lie on the axis."""
    return np.concatenate([half, half[-2:0:-1] * (-1.0, 1.0)])


def head_half(identity: Identity, drop: float = 0.0) -> np.ndarray:
    """Right half (11, 3) of the skull and face outline, from the top down: x, y and depth from the middle."""
    w, jaw = identity.face_width, identity.face_width * identity.jaw_width
    chin = identity.chin_width
    return np.array(
        [
            (0.0, -1.27, 0.0),
            (0.40 * w / 0.7, -1.17, 0.0),
            (0.93 * w, -0.82, 0.0),
            (1.02 * w, -0.42, 0.0),
            (w, -0.06, 0.02),
            (0.96 * w, 0.24 + 0.2 * drop, 0.04),
            (jaw, 0.54 + 0.5 * drop, 0.12),
            (0.66 * jaw + 0.2 * chin, 0.80 + 0.8 * drop, 0.26),
            (0.5 * chin + 0.17 * jaw, 0.935 + drop, 0.36),
            (0.55 * chin, 0.985 + drop, 0.40),
            (0.0, 1.0 + drop, 0.42),
        ]
    )
