"""Procedurally drawn faces with exact LaPa label maps: training pictures with nothing to download.

A face is a pure function of ``(seed, index)``::

    image, labels = draw_face(7)
    params = sample_params(7)
    turned = dataclasses.replace(params, pose=dataclasses.replace(params.pose, yaw=20.0))
    image, labels = render(turned, size=112)

Picture and labels are painted from the same outlines, and both scale with ``size``. Neck and clothes are
background, ears and the frames of glasses are skin, as in LaPa.
"""

from __future__ import annotations

import numpy as np

from fsfm_mm.drawn.drawing.painting import render
from fsfm_mm.drawn.drawing.params import (
    Camera,
    Expression,
    FaceParams,
    Identity,
    Light,
    Pose,
    Scene,
    Style,
)
from fsfm_mm.drawn.drawing.sampling import sample_params

__all__ = [
    'Camera',
    'Expression',
    'FaceParams',
    'Identity',
    'Light',
    'Pose',
    'Scene',
    'Style',
    'draw_face',
    'render',
    'sample_params',
]


def draw_face(index: int, size: int = 224, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw one face of an endless stream.

    Args:
        index: Which face, >= 0.
        size: Height and width in pixels, >= 32.
        seed: Which stream, >= 0.

    Returns:
        The picture, uint8 (size, size, 3) BGR, and its LaPa labels, uint8 (size, size), 0 to 10 as in
        ``regions.LABEL_NAMES``; bit-identical for the same arguments. A label may be absent (bald, closed
        mouth).

    Raises:
        ValueError: If ``index`` or ``seed`` is negative or ``size`` is below 32.
    """
    return render(sample_params(index, seed), size)
