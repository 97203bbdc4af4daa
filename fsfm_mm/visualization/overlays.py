"""Parsing maps as colours over faces."""

from __future__ import annotations

import numpy as np

from fsfm_mm.regions import LABEL_NAMES, NUM_LABELS

#: RGB of each label, uint8 (11, 3): neighbours in a face are far apart in hue or lightness.
LABEL_COLOURS = np.array(
    [
        [40, 40, 60],  # background
        [250, 200, 150],  # skin
        [120, 60, 200],  # right brow
        [190, 130, 255],  # left brow
        [0, 90, 220],  # right eye
        [60, 190, 255],  # left eye
        [255, 220, 0],  # nose
        [230, 30, 60],  # upper lip
        [255, 255, 255],  # inner mouth
        [255, 120, 160],  # lower lip
        [20, 150, 80],  # hair
    ],
    np.uint8,
)


def overlay_labels(image: np.ndarray, labels: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay the colours of a parsing map over a face.

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: Integers (H, W), labels 0..10.
        opacity: Share of the colours, 0 (the face alone) to 1 (the map alone).

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: The two sizes differ, a label is outside 0..10, or the opacity outside 0..1.
    """
    if labels.shape != image.shape[:2]:
        raise ValueError(f'the map has the shape {labels.shape}, but its face {image.shape[:2]}.')
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must lie in 0..1, found {opacity}.')
    if labels.size and not 0 <= labels.min() <= labels.max() < NUM_LABELS:
        raise ValueError(f'labels must lie in 0..{NUM_LABELS - 1}, found {labels.min()} to {labels.max()}.')
    mixed = image * np.float32(1 - opacity) + LABEL_COLOURS[labels] * np.float32(opacity)
    return np.rint(mixed).astype(np.uint8)


def label_legend() -> dict[str, str]:
    """Name of each label -> its colour as ``#rrggbb``, in the order of the labels."""
    return {
        name.replace('_', ' '): '#' + ''.join(f'{part:02x}' for part in colour)
        for name, colour in zip(LABEL_NAMES, LABEL_COLOURS.tolist())
    }
