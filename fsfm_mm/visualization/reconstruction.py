"""Sheets of original, masked and reconstructed faces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from fsfm_mm.visualization.sheets import contact_sheet


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Float images (N, 3, H, W) on the 0..1 scale to uint8 (N, H, W, 3)."""
    images = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def reconstruction_sheet(pictures: Mapping[str, torch.Tensor], gap: int = 4, caption: str = '') -> np.ndarray:
    """One row per kind of picture (its name on the left), one column per face.

    Args:
        pictures: Name to float images (N, 3, H, W) on the 0..1 scale, all of one shape.
        gap: Pixels between faces.
        caption: What is seen, below.

    Returns:
        uint8 RGB (height, width, 3), on white; the faces pixel by pixel.
    """
    return contact_sheet(
        [list(to_uint8(images)) for images in pictures.values()],
        names=list(pictures),
        size=None,
        gap=gap,
        caption=caption,
    )
