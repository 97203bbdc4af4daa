"""CRFR-P as the paper words it: a Python loop over the images of a batch and over their regions."""

from __future__ import annotations

import numpy as np
import torch

#: Groups in walking order and their labels; 'boundary' follows from the others. The first six are facial.
GROUPS: dict[str, tuple[int, ...]] = {
    'eyebrows': (2, 3),
    'eyes': (4, 5),
    'nose': (6,),
    'mouth': (7, 8, 9),
    'boundary': (),
    'hair': (10,),
    'skin': (1,),
    'background': (0,),
}
NUM_FACIAL = 6


def patches_of_groups(parsing_map: np.ndarray, patch_size: int) -> dict[str, np.ndarray]:
    """Which patches hold a pixel of each group: bool (L,) by name.

    Args:
        parsing_map: Labels (H, W).
        patch_size: Side of a patch in pixels.
    """
    p, (height, width) = patch_size, parsing_map.shape
    member = {}
    for name, labels in GROUPS.items():
        pixels = np.isin(parsing_map, labels)
        member[name] = pixels.reshape(height // p, p, width // p, p).any(axis=(1, 3)).ravel()
    member['boundary'] = member['skin'] & (member['hair'] | member['background'])
    return member


def plain_crfr_p(
    parsing_map: np.ndarray, patch_size: int, mask_ratio: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mask of one image: one region whole, the others at one ratio, exactly K patches.

    Args:
        parsing_map: Labels 0..10 (H, W).
        patch_size: Side of a patch in pixels.
        mask_ratio: Share of the patches to mask.
        rng: Source of all randomness.

    Returns:
        ``mask`` and ``region_mask``, bool (L,).
    """
    member = patches_of_groups(parsing_map, patch_size)
    length = len(member['skin'])
    num_masked = length - int(length * (1 - mask_ratio))
    mask, region_mask = np.zeros(length, dtype=bool), np.zeros(length, dtype=bool)
    present = [name for name in list(GROUPS)[:NUM_FACIAL] if member[name].any()]
    if not present:
        mask[rng.choice(length, num_masked, replace=False)] = True
        return mask, region_mask
    region = member[present[rng.integers(len(present))]]
    covered = int(region.sum())
    if covered >= num_masked:
        mask[rng.choice(np.flatnonzero(region), num_masked, replace=False)] = True
        return mask, mask.copy()
    mask |= region
    walked = region.copy()
    ratio = (num_masked - covered) / (length - covered)
    for patches in member.values():
        left = np.flatnonzero(patches & ~walked)
        mask[rng.choice(left, round(len(left) * ratio), replace=False)] = True
        walked |= patches
    surplus = int(mask.sum()) - num_masked
    if surplus > 0:
        mask[rng.choice(np.flatnonzero(mask & ~region), surplus, replace=False)] = False
    elif surplus < 0:
        mask[rng.choice(np.flatnonzero(~mask), -surplus, replace=False)] = True
    return mask, region


def plain_masks(
    parsing_maps: np.ndarray, patch_size: int, mask_ratio: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of a batch, image by image; arguments as of :func:`plain_crfr_p`, maps (N, H, W).

    Returns:
        ``mask`` and ``region_mask``, bool (N, L).
    """
    masks = [plain_crfr_p(parsing_map, patch_size, mask_ratio, rng) for parsing_map in parsing_maps]
    mask, region_mask = (torch.stack([torch.from_numpy(m) for m in column]) for column in zip(*masks))
    return mask, region_mask
