"""Outlines of what surrounds the face: hair, glasses, neck and clothes."""

from __future__ import annotations

import numpy as np

from fsfm_mm.drawn.drawing.geometry import ShapeBuilder, Shapes, head_half, mirrored, view_of
from fsfm_mm.drawn.drawing.params import FaceParams


def add_hair(builder: ShapeBuilder, params: FaceParams) -> None:
    """Add 'cap' (hair over the skull down to the hairline) and for long hair 'back' and 'lock-', 'lock+'."""
    style = params.style
    if style.hair == 'bald':
        return
    outer, inner = _hair_outer(params), _hairline(params)
    # The outer rim is a silhouette and keeps its width; the hairline turns with the forehead.
    outer[:, 0] /= builder.view.turn[0, 0]
    across = inner[:, 0] / params.identity.face_width
    depth = 0.55 * np.sqrt(np.maximum(0.0, 1.0 - across**2))
    builder.add(
        'cap', np.concatenate([outer, inner]), np.concatenate([np.zeros(len(outer)), depth]), 'middle'
    )
    if style.hair == 'long':
        _add_long_hair(builder, params)


def _hair_outer(params: FaceParams) -> np.ndarray:
    """Rim of the hair from the image's right ear over the top to the left one, (n, 2)."""
    style, identity = params.style, params.identity
    half = head_half(identity)[:5, :2]
    low = np.array([(half[4, 0] + 0.01, identity.eye_y + 0.14)])
    right = np.concatenate([low, half[4:0:-1]])
    grow = np.array([0.02, 0.5, 0.8, 0.95, 1.0])[:, None] * style.volume
    right = right + grow * np.array([(0.9, 0.0), (1.0, 0.0), (1.0, -0.3), (0.9, -0.7), (0.4, -1.0)])
    top = np.array([(0.12 * style.parting, half[0, 1] - style.volume)])
    rim = np.concatenate([right, top, right[::-1] * (-1.0, 1.0)])
    if style.hair != 'curly':
        return rim
    return _lobes(rim, 3, 0.028 + 0.03 * style.wave, style.parting)


def _lobes(rim: np.ndarray, per_span: int, height: float, phase: float) -> np.ndarray:
    """Refine the rim and push every other point outwards: the silhouette of curls."""
    place = np.linspace(0, len(rim) - 1, per_span * (len(rim) - 1) + 1)
    k = np.arange(len(rim))
    fine = np.column_stack([np.interp(place, k, rim[:, 0]), np.interp(place, k, rim[:, 1])])
    out = fine - (0.0, -0.2)
    out /= np.sqrt((out**2).sum(axis=1, keepdims=True))
    push = height * (np.arange(len(fine)) % 2 + 0.6 * np.sin(2.4 * place + 9.0 * phase))
    return fine + out * push[:, None]


def _hairline(params: FaceParams) -> np.ndarray:
    """Lower edge of the cap from the image's left sideburn over the forehead to the right one, (n, 2)."""
    style, identity = params.style, params.identity
    w, line = identity.face_width, style.hairline
    brow_top = identity.eye_y - identity.brow_gap - 0.09
    side = np.array(
        [
            (0.97, identity.eye_y + 0.16),
            (0.915, identity.eye_y - 0.02),
            (0.87, -0.42),
            (0.76, 0.5 * line - 0.21),
        ]
    )
    a = np.array([-0.62, -0.42, -0.2, 0.0, 0.2, 0.42, 0.62])
    rise = 0.05 * np.cos(3.0 * (a - style.parting)) - 0.22 * np.abs(a) * (1.0 - style.volume)
    y = line - rise
    hang = np.clip(1.25 - 1.1 * np.abs(a - 1.3 * style.parting), 0.0, 1.0) * style.fringe
    y = y + hang * (brow_top - y)
    left = side * (-w, 1.0)
    edge = np.concatenate([left, np.column_stack([a * w, y]), side[::-1] * (w, 1.0)])
    # Small teeth: hair does not end in a smooth edge.
    return _lobes(edge, 2, -0.008 - 0.02 * style.fringe, style.parting)


def _add_long_hair(builder: ShapeBuilder, params: FaceParams) -> None:
    style, w = params.style, params.identity.face_width
    wide, end = w + 0.06 + style.volume, style.length
    spread = 0.10 + 0.12 * style.wave
    bow = 0.05 * style.wave
    half = np.array(
        [
            (0.0, -1.2),
            (0.8 * wide, -0.9),
            (wide, -0.3),
            (wide + 0.4 * spread + bow, 0.25),
            (wide + spread - bow, 0.5 * end + 0.2),
        ]
    )
    half = np.concatenate([half, [(wide + 0.5 * spread, end), (0.0, end + 0.05)]])
    builder.add('back', mirrored(half), -0.25, 'rim')
    top = params.identity.eye_y - 0.3
    inner = np.array([(0.86, top), (0.93, 0.1), (1.0, 0.45), (1.02, 0.75)]) * (w, 1.0)
    for side, sign in (('-', -1.0), ('+', 1.0)):
        lean = 0.06 * sign * style.parting
        tail = np.array([(0.72 * wide + lean, end), (wide + spread - 0.04, end - 0.06)])
        rim = np.array(
            [(wide + 0.3 * spread + bow, 0.35), (wide + 0.01, -0.1), (0.97 * wide, -0.55), (0.85 * w, -0.75)]
        )
        keep = inner[inner[:, 1] < end - 0.1]
        depth = np.concatenate([np.full(len(keep), 0.10), np.full(6, 0.0)])
        builder.add('lock' + side, np.concatenate([keep, tail, rim]) * (sign, 1.0), depth, 'rim')


def add_glasses(builder: ShapeBuilder, params: FaceParams) -> None:
    """Add 'lens-', 'lens+' (middle line of the rims), 'bridge' and 'arm-', 'arm+' where glasses are worn."""
    style, identity = params.style, params.identity
    if style.glasses == 0.0:
        return
    high, wide = style.glasses, 0.205 + 0.3 * (style.glasses - 0.14)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    power = 2.0 / style.frame_roundness
    ca, sa = np.cos(angle), np.sin(angle)
    x, y = wide * np.sign(ca) * np.abs(ca) ** power, high * np.sign(sa) * np.abs(sa) ** power
    centre, cy = max(identity.eye_distance, wide + 0.05), identity.eye_y + 0.03
    for side, sign in (('-', -1.0), ('+', 1.0)):
        builder.add(
            'lens' + side, np.column_stack([sign * centre + x, cy + y]), _lens_depth(x * sign), 'middle'
        )
        arm = np.array([(centre + wide, cy - 0.3 * high), (identity.face_width, cy - 0.3 * high)])
        builder.add('arm' + side, arm * (sign, 1.0), np.array([0.5, 0.02]), 'middle', closed=False)
    gap = centre - wide
    bridge = np.array([(-gap, cy - 0.02), (-0.4 * gap, cy - 0.06), (0.4 * gap, cy - 0.06), (gap, cy - 0.02)])
    builder.add('bridge', bridge, 0.68, 'middle', closed=False)


def _lens_depth(outwards: np.ndarray) -> np.ndarray:
    return 0.6 - 0.3 * outwards


def body_shapes(params: FaceParams) -> Shapes:
    """Outlines 'neck', 'clothes' and 'collar' line, which follow the head's turns only in part."""
    builder = ShapeBuilder(view_of(params.pose, 0.35))
    w, depth = params.identity.face_width * params.identity.jaw_width, params.scene.neckline
    neck = np.array(
        [(0.0, 0.2), (0.78 * w, 0.3), (0.76 * w, 0.85), (0.82 * w, 1.1), (1.15 * w, 1.35), (0.0, 1.9)]
    )
    builder.add('neck', mirrored(neck), -0.05, 'rim')
    half = np.array(
        [
            (0.0, 1.25 + depth),
            (0.3, 1.2 + 0.7 * depth),
            (0.80 * w, 1.12),
            (0.98 * w, 1.13),
            (1.15, 1.32),
            (1.75, 1.6),
        ]
    )
    half = np.concatenate([half, [(2.4, 2.4), (2.4, 4.0), (0.0, 4.2)]])
    builder.add('clothes', mirrored(half), -0.05, 'rim')
    collar = half[2::-1]
    builder.add('collar', np.concatenate([collar, collar[-2::-1] * (-1.0, 1.0)]), -0.05, 'rim', closed=False)
    return builder.build()
