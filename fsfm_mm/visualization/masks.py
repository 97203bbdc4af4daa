"""Masks drawn over faces, and how much of each region they hide."""

from __future__ import annotations

import cv2
import numpy as np

from fsfm_mm.regions import REGION_ORDER, region_membership

#: Colour and share of it, RGB, over hidden patches and over those of the covered region.
HIDDEN = ((128, 128, 128), 0.92)
COVERED = ((240, 130, 20), 0.65)


def mask_legend() -> dict[str, str]:
    """What the colours of :func:`draw_mask` mean -> the colour as it is over a face of medium brightness."""
    return {
        name: '#' + ''.join(f'{round(part * share + 128 * (1 - share)):02x}' for part in colour)
        for name, (colour, share) in {
            'hidden': HIDDEN,
            'covered region: hidden wholly, counted by the region loss': COVERED,
        }.items()
    }


def draw_mask(image: np.ndarray, mask: np.ndarray, region_mask: np.ndarray | None = None) -> np.ndarray:
    """Draw which patches of a face are hidden.

    Hidden patches are greyed; those of the covered region are tinted orange and outlined.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: bool (h, w), True = hidden; h and w divide H and W.
        region_mask: bool (h, w), the covered region; None for none.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ValueError: The grid does not divide the image, or the two masks differ in shape.
    """
    height, width = image.shape[:2]
    if mask.ndim != 2 or height % mask.shape[0] or width % mask.shape[1]:
        raise ValueError(f'a mask of the grid {mask.shape} does not divide a {height}x{width} face.')
    region = np.zeros_like(mask) if region_mask is None else region_mask
    if region.shape != mask.shape:
        raise ValueError(f'mask and region_mask must have one shape, found {mask.shape}, {region.shape}.')
    picture = image.astype(np.float32)
    for grid, (colour, share) in ((mask & ~region, HIDDEN), (region, COVERED)):
        pixels = _pixels(grid, height, width)
        picture[pixels] += (np.array(colour, np.float32) - picture[pixels]) * np.float32(share)
    drawn = np.ascontiguousarray(np.rint(picture).astype(np.uint8))
    outline, _ = cv2.findContours(
        _pixels(region, height, width).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(drawn, outline, -1, (180, 50, 0), max(height // 112, 1))
    return drawn


def _pixels(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    return grid.repeat(height // grid.shape[0], 0).repeat(width // grid.shape[1], 1)


def hidden_shares(patch_labels: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """How much of each region's patches is hidden, over several faces together.

    Args:
        patch_labels: Label sets, uint16 (N, h, w).
        masks: bool (N, h*w), True = hidden.

    Returns:
        Region (:data:`fsfm_mm.regions.REGION_ORDER`) -> share in 0..1 of its patches; NaN where no face has it. A
        patch of several regions counts in each.
    """
    member = region_membership()[:, patch_labels.reshape(masks.shape)]
    counts = np.count_nonzero(member, axis=(1, 2))
    hidden = np.count_nonzero(member & masks, axis=(1, 2))
    return {
        name: float(part / total) if total else float('nan')
        for name, part, total in zip(REGION_ORDER, hidden, counts)
    }
