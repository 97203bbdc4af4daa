"""Colour of hair: strands that run down from the crown, or curls, under the head's light."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.drawn.drawing.canvas import fineness, noise_table
from fsfm_mm.drawn.drawing.params import FaceParams
from fsfm_mm.drawn.drawing.shading import Fields, enlarge


def hair_planes(params: FaceParams, fields: Fields, size: int) -> np.ndarray:
    """Lit hair all over the picture, to be painted through the outlines of the hair.

    Args:
        params: The face.
        fields: Its light.
        size: Height and width in pixels.

    Returns:
        float32 (3, size, size), sRGB as BGR.
    """
    style, curly = params.style, params.style.hair == 'curly'
    x = fields.u - np.float32(0.5 * style.parting)
    y = fields.v + np.float32(1.27 + style.volume)
    radius = cv2.magnitude(x, y)
    table = noise_table(256, 'blotch' if curly else 'strand')
    if curly:
        across, along = np.float32(105.0) * fields.u, np.float32(105.0) * fields.v
    else:
        # Columns of the table go across the strands, whose angle jumps above the hair only.
        bend = np.float32(0.10 * style.wave) * np.sin(np.float32(7.0) * radius)
        across, along = np.float32(75.0) * (np.arctan2(x, y) + bend), np.float32(46.0) * radius
    texture = cv2.remap(
        table, enlarge(across, size), enlarge(along, size), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    strands = texture * fineness(size)
    value = enlarge(_light(params, fields, radius), size)
    value *= 1.0 + np.float32(0.17 if curly else 0.13) * strands
    colour = np.array(style.hair_colour, np.float32)[:, None, None]
    return np.maximum(colour * value + np.float32(0.012) * strands, 0.0)


def _light(params: FaceParams, fields: Fields, radius: np.ndarray) -> np.ndarray:
    """Brightness (GRID, GRID): darker low and away from the light, with a band of shine."""
    towards, light = fields.towards, params.light
    side = np.float32(0.28 * towards[0]) * fields.u - np.float32(0.12) * fields.v
    gain = (light.ambient + 0.72 * light.key) ** (1 / 2.2)
    peak = np.float32(0.58 - 0.15 * towards[1])
    strength = np.float32(0.1 if params.style.hair == 'curly' else 0.35)
    shine = strength * cv2.exp(-(((radius - peak) * np.float32(6.5)) ** 2))
    return np.float32(gain) * np.clip(0.85 + side + shine, 0.35, 1.7)
