"""Sheets of original, masked and reconstructed faces."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Float images (N, 3, H, W) on the 0..1 scale to uint8 (N, H, W, 3)."""
    images = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def reconstruction_sheet(pictures: Mapping[str, torch.Tensor], gap: int = 4) -> np.ndarray:
    """One row per kind of picture (with its name), one column per face.

    Args:
        pictures: Name to float images (N, 3, H, W) on the 0..1 scale, all of one shape.
        gap: Pixels between faces.

    Returns:
        uint8 RGB (height, width, 3), on white.
    """
    rows = {name: to_uint8(images) for name, images in pictures.items()}
    n, h, w = next(iter(rows.values())).shape[:3]
    caption = max(16, h // 8)
    sheet = np.full((len(rows) * (h + caption + gap), n * (w + gap) - gap, 3), 255, np.uint8)
    for row, (name, images) in enumerate(rows.items()):
        top = row * (h + caption + gap)
        scale = caption / 32
        cv2.putText(
            sheet, name, (2, top + caption - 4), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA
        )
        for column, image in enumerate(images):
            left = column * (w + gap)
            sheet[top + caption : top + caption + h, left : left + w] = image
    return sheet
