"""Outlines of the face: head, ears, eyes, brows, nose and mouth."""

from __future__ import annotations

import numpy as np

from fsfm_mm.drawn.drawing.geometry import ShapeBuilder, Shapes, head_half, mirrored, view_of
from fsfm_mm.drawn.drawing.params import Expression, FaceParams, Identity
from fsfm_mm.drawn.drawing.wear import add_glasses, add_hair


def build_shapes(params: FaceParams) -> Shapes:
    """All outlines of head, features, hair and glasses."""
    identity, expression = params.identity, params.expression
    builder = ShapeBuilder(view_of(params.pose))
    _add_head(builder, identity, expression)
    for side, sign in (('-', -1.0), ('+', 1.0)):
        _add_eye(builder, identity, expression, side, sign)
        _add_brow(builder, identity, expression, side, sign)
        _add_ear(builder, identity, side, sign)
    _add_nose(builder, identity)
    _add_mouth(builder, identity, expression)
    add_hair(builder, params)
    add_glasses(builder, params)
    return builder.build()


def _add_head(builder: ShapeBuilder, identity: Identity, expression: Expression) -> None:
    half = head_half(identity, 0.5 * expression.mouth_open)
    depth = np.concatenate([half[:, 2], half[-2:0:-1, 2]])
    builder.add('head', mirrored(half[:, :2]), depth, 'rim')


def _add_ear(builder: ShapeBuilder, identity: Identity, side: str, sign: float) -> None:
    size, y = identity.ear_size, identity.eye_y + 0.16
    local = np.array(
        [
            (-0.08, -0.20),
            (0.03, -0.25),
            (0.10, -0.18),
            (0.10, -0.02),
            (0.06, 0.14),
            (0.02, 0.24),
            (-0.06, 0.22),
        ]
    )
    x = sign * (identity.face_width + size * local[:, 0])
    builder.add('ear' + side, np.column_stack([x, y + size * local[:, 1]]), -0.1, 'rim')
    builder.add(
        'concha' + side, np.column_stack([x - sign * 0.015, y + 0.6 * size * local[:, 1]]), -0.1, 'rim'
    )


def _add_eye(
    builder: ShapeBuilder, identity: Identity, expression: Expression, side: str, sign: float
) -> None:
    half, height = 0.5 * identity.eye_width, identity.eye_height
    up, low = 0.66 * height * expression.eye_open, 0.36 * height * (1.0 - 0.35 * max(expression.smile, 0.0))
    # Along the lids from the inner corner; doubled corners keep the spline sharp there.
    a = np.array([-1.0, -1.0, -0.55, 0.0, 0.55, 1.0, 1.0, 0.5, 0.0, -0.55])
    b = np.array([0.012, 0.012, -0.62 * up, -up, -0.72 * up, 0, 0, 0.62 * low, low, 0.7 * low])
    x, y = sign * (identity.eye_distance + half * a), identity.eye_y + b - identity.eye_tilt * a
    builder.add('eye' + side, np.column_stack([x, y]), 0.0)
    upper = slice(1, 6)
    builder.add('lid' + side, np.column_stack([x[upper], y[upper]]), 0.0, closed=False)
    crease = np.array([0.02, -0.035, -0.045, -0.04, -0.02])
    spread = np.array([0.99, 1.0, 1.0, 1.0, 1.04])
    inner = sign * identity.eye_distance
    builder.add(
        'crease' + side,
        np.column_stack([inner + (x[upper] - inner) * spread, y[upper] + crease]),
        0.0,
        closed=False,
    )
    bag = identity.eye_y + low + 0.055 + np.array([-0.02, 0.03, 0.03, -0.02])
    builder.add(
        'bag' + side,
        np.column_stack([inner + sign * half * np.array([-1.0, -0.4, 0.4, 1.0]), bag]),
        0.0,
        closed=False,
    )
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    radius = 0.215 * identity.eye_width
    cx = inner + 0.22 * half * expression.gaze_x
    cy = identity.eye_y - 0.16 * height + 0.25 * height * expression.gaze_y
    builder.add(
        'iris' + side, np.column_stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)]), 0.0
    )


def _add_brow(
    builder: ShapeBuilder, identity: Identity, expression: Expression, side: str, sign: float
) -> None:
    a = np.array([-0.62, -0.2, 0.25, 0.62, 0.9])
    centre = np.array([0.0, -0.35, -0.85, -1.0, -0.25]) * identity.brow_arch
    thick = np.array([0.85, 1.0, 0.9, 0.62, 0.12]) * 0.5 * identity.brow_thickness
    x = sign * (identity.eye_distance + 0.2 * a * identity.eye_width / 0.28)
    y = identity.eye_y - identity.brow_gap - expression.brow_raise + centre + 0.02
    lower, upper = np.column_stack([x, y + thick]), np.column_stack([x, y - thick])
    builder.add('brow' + side, np.concatenate([lower, upper[::-1]]), 0.03)


def _add_nose(builder: ShapeBuilder, identity: Identity) -> None:
    base, wing, bridge, top = (
        identity.nose_base,
        identity.nose_width,
        identity.bridge_width,
        identity.eye_y - 0.04,
    )
    length = base - top
    half = np.array(
        [
            (0.0, top),
            (bridge, top + 0.02),
            (bridge * 1.05, top + 0.4 * length),
            (bridge * 1.3 + 0.01, top + 0.66 * length),
            (0.86 * wing, base - 0.15),
            (wing, base - 0.065),
            (0.86 * wing, base),
            (0.42 * wing, base + 0.012),
            (0.0, base + 0.045),
        ]
    )
    lift = np.array([0.06, 0.03, 0.05, 0.07, 0.05, 0.03, 0.06, 0.10, 0.13])
    builder.add('nose', mirrored(half), np.concatenate([lift, lift[-2:0:-1]]))
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    for side, sign in (('-', -1.0), ('+', 1.0)):
        x = sign * (0.45 * wing + 0.21 * wing * np.cos(angle))
        y = base - 0.004 + 0.018 * np.sin(angle) - 0.012 * np.cos(angle)
        builder.add('nostril' + side, np.column_stack([x, y]), 0.09)
        ala = np.array([(0.95, -0.13), (1.08, -0.06), (0.98, 0.0), (0.80, 0.012)]) * (sign * wing, 1.0)
        builder.add('ala' + side, ala + (0.0, base), 0.03, closed=False)


def _add_mouth(builder: ShapeBuilder, identity: Identity, expression: Expression) -> None:
    smile, gap = expression.smile, expression.mouth_open
    width = identity.mouth_width * (1.0 + 0.20 * max(smile, 0.0))
    a = np.array([-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0])
    bend = -0.075 * smile * (np.abs(a) ** 1.6) + 0.012 * smile
    seam = identity.mouth_y + bend
    thin = 1.0 - 0.15 * max(smile, 0.0)
    top = seam - thin * identity.upper_lip * np.array([0.0, 0.66, 1.0, 0.86, 1.0, 0.66, 0.0])
    inner = np.array([0.0, 0.7, 0.96, 1.0, 0.96, 0.7, 0.0])
    upper = seam + np.array([0.0, -0.006, 0.006, 0.012, 0.006, -0.006, 0.0]) - 0.25 * gap * inner
    lower = np.maximum(
        upper, seam + np.array([0.0, -0.006, 0.006, 0.012, 0.006, -0.006, 0.0]) + 0.75 * gap * inner
    )
    bottom = lower + thin * identity.lower_lip * np.array([0.0, 0.62, 0.97, 1.0, 0.97, 0.62, 0.0])
    for name, y in (('lip_top', top), ('lip_upper', upper), ('lip_lower', lower), ('lip_bottom', bottom)):
        builder.add(name, np.column_stack([width * a, y]), 0.05, closed=False)
    builder.add('teeth', np.column_stack([width * a, upper + 0.55 * gap * inner]), 0.04, closed=False)
    for side, sign in (('-', -1.0), ('+', 1.0)):
        fold = np.array([(0.19, -0.27), (0.27, -0.18), (0.325, -0.06), (0.33, 0.03)])
        fold = (fold + (max(smile, 0.0) * 0.03, 0.0)) * (sign, 1.0) + (0.0, identity.mouth_y)
        builder.add('fold' + side, fold, 0.0, closed=False)
