"""The masking strategies of FSFM pretraining, as pure functions over a batch of patch-label tables.

Every strategy takes the label sets of N images (``patch_labels``, uint16 (N, h, w), see
:func:`fsfm_mm.ops.region_tables.patch_labels`), the number K of patches to mask and a generator. It returns
two bool arrays (N, L), L = h*w in row-major order, True = masked:

* ``mask`` with exactly K patches masked in every row,
* ``region_mask``, the covered facial region: a subset of ``mask``, empty where a strategy covers none.

How they are made: each patch gets one 64-bit sort key that starts with its class or group, continues with
random bits and ends with its position. The K smallest keys of a row are K patches drawn uniformly within
their classes, lower classes first. Keys are integers, because a float ``group + u`` can round into the
next group; and they carry the position, so no two are equal, and a sort without indices is enough.
"""

from __future__ import annotations

import numpy as np

from fsfm_mm.ops.region_tables import (
    COVER_NOTHING,
    COVERED,
    NO_STAGE,
    NUM_GROUPS,
    NUM_LABEL_SETS,
    REGION_DRAWS,
    exclusive_groups,
    fasking_stages,
    region_bits,
    region_draws,
)
from fsfm_mm.regions import FACIAL_REGIONS

# A key from high to low bits: 4 of group, 22 + 22 random, 16 of position. The two random halves are
# independent, so one draw serves two sorts. Two patches tie in one half once in 4 million.
_POSITION_BITS, _RANDOM_BITS = 16, 22
_LOW_BITS = _POSITION_BITS + _RANDOM_BITS
_GROUP_SHIFT = np.uint64(_LOW_BITS + _RANDOM_BITS)
_POSITION_MASK = np.uint64((1 << _POSITION_BITS) - 1)
_LOW_MASK = np.uint64((1 << _LOW_BITS) - 1)
_RANDOM_MASK = np.uint64(((1 << 2 * _RANDOM_BITS) - 1) << _POSITION_BITS)


def random_masks(
    patch_labels: np.ndarray, num_masked: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mask K patches uniformly at random (MAE).

    Args:
        patch_labels: Label sets, uint16 (N, h, w); only the shape matters.
        num_masked: Number K of masked patches, 1..h*w-1.
        rng: Source of all randomness.

    Returns:
        ``mask`` and an empty ``region_mask``, bool (N, L).

    Raises:
        ValueError: The table is not uint16 (N, h, w), holds an unknown label, or K is out of range.
    """
    labels = _flat_labels(patch_labels, num_masked)
    return _lowest(_random_keys(labels.shape, rng), num_masked), np.zeros(labels.shape, dtype=bool)


def fasking_masks(
    patch_labels: np.ndarray, num_masked: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mask facial parts first: Fasking-I, MARLIN's fasking on one image (compared with in FSFM).

    The *visible* set grows group by group (background, skin, then the five facial parts in a random
    order drawn per image; a patch belongs to the group of any of its labels) until it has L-K patches
    or more; random ones of all of these are then dropped down to L-K.

    Args:
        patch_labels: Label sets, uint16 (N, h, w).
        num_masked: Number K of masked patches, 1..h*w-1.
        rng: Source of all randomness.

    Returns:
        ``mask`` and an empty ``region_mask``, bool (N, L).

    Raises:
        ValueError: The table is not uint16 (N, h, w), holds an unknown label, or K is out of range.
    """
    labels = _flat_labels(patch_labels, num_masked)
    num_visible = labels.shape[1] - num_masked
    table = fasking_stages()
    stages = _lookup(table, rng.integers(len(table), size=len(labels)), labels)
    shown = np.cumsum(_group_counts(stages, NO_STAGE), axis=1)
    # The last stage that is shown: the first at which enough patches are visible. Where the labelled
    # patches never suffice, all of them stay visible and unlabelled ones fill up at random.
    last = np.minimum((shown < num_visible).sum(axis=1), NO_STAGE - 1)
    hidden = stages > last[:, None]
    visible = _lowest(_random_keys(labels.shape, rng, hidden), num_visible)
    return ~visible, np.zeros(labels.shape, dtype=bool)


def frp_masks(
    patch_labels: np.ndarray, num_masked: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mask every region at the same ratio K/L and cover none: FRP (FSFM section 3.1).

    Args:
        patch_labels: Label sets, uint16 (N, h, w).
        num_masked: Number K of masked patches, 1..h*w-1.
        rng: Source of all randomness.

    Returns:
        ``mask`` and an empty ``region_mask``, bool (N, L).

    Raises:
        ValueError: The table is not uint16 (N, h, w), holds an unknown label, or K is out of range.
    """
    labels = _flat_labels(patch_labels, num_masked)
    groups = _lookup(exclusive_groups(), np.full(len(labels), COVER_NOTHING), labels)
    return _proportional(groups, num_masked, rng), np.zeros(labels.shape, dtype=bool)


def crfr_r_masks(
    patch_labels: np.ndarray,
    num_masked: int,
    rng: np.random.Generator,
    region: np.ndarray | int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cover one facial region, then mask uniformly at random: CRFR-R (FSFM section 3.1).

    Args:
        patch_labels: Label sets, uint16 (N, h, w).
        num_masked: Number K of masked patches, 1..h*w-1.
        rng: Source of all randomness.
        region: Index into :data:`fsfm_mm.regions.FACIAL_REGIONS`, one or an array (N,). By default one is
            drawn per image, uniformly among the regions that the image has.

    Returns:
        ``mask`` and ``region_mask``, bool (N, L). A region of K patches or more is masked at K random
        places, which are then both masks. The region mask is empty where the image lacks the region.

    Raises:
        ValueError: The table is not uint16 (N, h, w), holds an unknown label, or K or a region is
            out of range.
    """
    labels = _flat_labels(patch_labels, num_masked)
    covered = _lookup(exclusive_groups(), _covered_rows(labels, rng, region), labels) == COVERED
    mask = _lowest(_random_keys(labels.shape, rng, ~covered), num_masked)
    return mask, mask & covered


def crfr_p_masks(
    patch_labels: np.ndarray,
    num_masked: int,
    rng: np.random.Generator,
    region: np.ndarray | int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cover one facial region and mask the others proportionally: CRFR-P (FSFM section 3.1).

    With FR the patches of the covered region, every other group is masked at the ratio
    r = (K-|FR|) / (L-|FR|), rounded half to even; random patches outside FR are then added or removed
    until exactly K are masked. With |FR| >= K, a random K of FR is both masks.

    Args:
        patch_labels: Label sets, uint16 (N, h, w).
        num_masked: Number K of masked patches, 1..h*w-1.
        rng: Source of all randomness.
        region: Index into :data:`fsfm_mm.regions.FACIAL_REGIONS`, one or an array (N,). By default one is
            drawn per image, uniformly among the regions that the image has.

    Returns:
        ``mask`` and ``region_mask``, bool (N, L). The region mask is empty where the image lacks the
        region (the mask is then FRP's) or has no facial region at all (the mask is then random).

    Raises:
        ValueError: The table is not uint16 (N, h, w), holds an unknown label, or K or a region is
            out of range.
    """
    labels = _flat_labels(patch_labels, num_masked)
    groups = _lookup(exclusive_groups(), _covered_rows(labels, rng, region), labels)
    mask = _proportional(groups, num_masked, rng)
    return mask, mask & (groups == COVERED)


def _flat_labels(patch_labels: np.ndarray, num_masked: int) -> np.ndarray:
    """Check the arguments that all strategies share; return the label sets as (N, L)."""
    if patch_labels.dtype != np.uint16 or patch_labels.ndim != 3:
        raise ValueError(
            f'patch_labels must be uint16 (N, h, w); found {patch_labels.dtype} {patch_labels.shape}.'
        )
    num_patches = patch_labels.shape[1] * patch_labels.shape[2]
    if not 0 < num_masked < num_patches <= 1 << _POSITION_BITS:
        raise ValueError(
            f'num_masked must lie in 1..L-1 with L at most {1 << _POSITION_BITS} patches; '
            f'found {num_masked} of {num_patches}.'
        )
    if patch_labels.size and patch_labels.max() >= NUM_LABEL_SETS:
        raise ValueError(
            f'patch_labels must be bitmasks below {NUM_LABEL_SETS}; found {int(patch_labels.max())}.'
        )
    return patch_labels.reshape(len(patch_labels), num_patches)


def _lookup(table: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Look up ``table[rows[n], labels[n, l]]``, in the table's dtype (N, L)."""
    # One flat index is cheaper than an index pair; the caller has checked both ranges.
    return table.take(labels + (rows * NUM_LABEL_SETS)[:, None])


def _covered_rows(
    labels: np.ndarray, rng: np.random.Generator, region: np.ndarray | int | None
) -> np.ndarray:
    """Row of :func:`exclusive_groups` for every image (N,): its region, or that of 'no region at all'."""
    present = np.bitwise_or.reduce(region_bits().take(labels), axis=1)
    drawn = region_draws()[present, rng.integers(REGION_DRAWS, size=len(labels))].astype(np.int64)
    if region is None:
        return drawn
    forced = np.asarray(region)
    if forced.dtype.kind not in 'iu' or forced.shape not in ((), (len(labels),)):
        raise ValueError(
            f'region must be an integer or an integer array ({len(labels)},); '
            f'found {forced.dtype} {forced.shape}.'
        )
    if forced.size and not 0 <= forced.min() <= forced.max() < len(FACIAL_REGIONS):
        raise ValueError(
            f'region must index FACIAL_REGIONS, 0..{len(FACIAL_REGIONS) - 1}; '
            f'found values from {forced.min()} to {forced.max()}.'
        )
    return np.where(present != 0, forced, drawn)


def _random_keys(
    shape: tuple[int, ...], rng: np.random.Generator, group: np.ndarray | None = None
) -> np.ndarray:
    """Sort keys, uint64 (N, L): group (0..15, default 0), two random halves, position."""
    keys = rng.integers(1 << 64, size=shape, dtype=np.uint64)
    keys &= _RANDOM_MASK
    keys |= np.arange(shape[1], dtype=np.uint64)
    if group is not None:
        keys |= group.astype(np.uint64) << _GROUP_SHIFT
    return keys


def _lowest(keys: np.ndarray, count: int) -> np.ndarray:
    """Mark the positions of the ``count`` smallest keys of each row, bool (N, L); reorders ``keys``."""
    # Keys are unique and hold their position, so no index sort is needed.
    keys.partition(count - 1, axis=1)
    position = (keys[:, :count] & _POSITION_MASK).astype(np.int64)
    position += np.arange(len(keys))[:, None] * keys.shape[1]
    lowest = np.zeros(keys.shape, dtype=bool)
    lowest.reshape(-1)[position] = True
    return lowest


def _group_counts(groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Count the patches of each group in each row, int64 (N, num_groups); other groups are left out."""
    # A comparison per group is vectorised over bytes; bincount would first widen all of them.
    return np.stack([np.count_nonzero(groups == g, axis=1) for g in range(num_groups)], axis=1)


def _proportional(groups: np.ndarray, num_masked: int, rng: np.random.Generator) -> np.ndarray:
    """CRFR-P's mask, bool (N, L), from the exclusive group of every patch, uint8 (N, L)."""
    num_patches = groups.shape[1]
    counts = _group_counts(groups, NUM_GROUPS)
    quotas = _quotas(counts, num_patches, num_masked)
    keys = _random_keys(groups.shape, rng, groups)
    keys.sort(axis=1)
    # A row now holds its groups one after another, each in random order: the first of each are taken.
    stops = np.cumsum(counts, axis=1) - counts + quotas
    rank = np.arange(num_patches)
    refused = rank >= stops.ravel().repeat(counts.ravel()).reshape(groups.shape)
    outside = rank >= counts[:, :1]
    # Repair to exactly K by the second random half: patches of FR come first and are never lost, then
    # those taken, then the rest. With |FR| >= K this leaves a random K of FR.
    priority = refused.astype(np.uint64) + outside
    keys &= _LOW_MASK
    keys |= priority << _GROUP_SHIFT
    return _lowest(keys, num_masked)


def _quotas(counts: np.ndarray, num_patches: int, num_masked: int) -> np.ndarray:
    """How many patches of each group to take before the repair, int64 (N, 10), from their counts."""
    covered = counts[:, :1]
    # n * (K-|FR|) / (L-|FR|) with a single rounding: a tie is seen as one, which n * r would miss. All
    # patches covered: nothing is left to share out, and the maximum guards the division.
    share = np.maximum(num_masked - covered, 0)
    quotas = np.rint(counts * share / np.maximum(num_patches - covered, 1)).astype(np.int64)
    quotas[:, :1] = covered
    # Patches without a label are in no group: only the repair takes them.
    quotas[:, -1] = 0
    return quotas
