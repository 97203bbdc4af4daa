"""The masking strategies once more, one patch at a time, from the text of the method; slow and plain.

Also what the tests of masks share: random label tables and the contract of a mask. Nothing here uses
fsfm_mm, so an error in its tables cannot hide in the oracle.
"""

import random
from fractions import Fraction

import numpy as np

WALK = ['eyebrows', 'eyes', 'nose', 'mouth', 'boundary', 'hair', 'skin', 'background']
LABELS = {
    'eyebrows': {2, 3},
    'eyes': {4, 5},
    'nose': {6},
    'mouth': {7, 8, 9},
    'hair': {10},
    'skin': {1},
    'background': {0},
}
FASKING_PARTS = [{4, 2}, {5, 3}, {6}, {7, 8, 9}, {10}]


def label_set(bits):
    return {k for k in range(11) if int(bits) >> k & 1}


def belongs(labels, group):
    if group == 'boundary':
        return 1 in labels and (10 in labels or 0 in labels)
    return bool(labels & LABELS[group])


def regions_of(bits_row):
    return [g for g in WALK[:6] if any(belongs(label_set(b), g) for b in bits_row)]


def patch_labels(parsing_map, p):
    height, width = parsing_map.shape
    table = [[0] * (width // p) for _ in range(height // p)]
    for y in range(height):
        for x in range(width):
            table[y // p][x // p] |= 1 << int(parsing_map[y, x])
    return table


def half_even(numerator, denominator):
    # Python rounds a Fraction half to even, exactly.
    return round(Fraction(numerator, denominator))


def walk(bits_row, region):
    """FR and the exclusive patches of each other group, as lists of positions."""
    sets = [label_set(b) for b in bits_row]
    fr = [i for i, s in enumerate(sets) if region is not None and belongs(s, region)]
    seen, groups = set(fr), {}
    for group in WALK:
        groups[group] = [i for i, s in enumerate(sets) if i not in seen and belongs(s, group)]
        seen.update(groups[group])
    return fr, groups


def quotas(bits_row, num_masked, region):
    """How many patches of each group are masked before the repair to exactly K (case |FR| < K)."""
    fr, groups = walk(bits_row, region)
    share, rest = num_masked - len(fr), len(bits_row) - len(fr)
    return {name: half_even(len(members) * share, rest) for name, members in groups.items()}


def crfr_p(bits_row, num_masked, region, rnd=random):
    """Return the sets (mask, region mask)."""
    fr, groups = walk(bits_row, region)
    if len(fr) >= num_masked:
        mask = set(rnd.sample(fr, num_masked))
        return mask, mask
    mask = set(fr)
    counts = quotas(bits_row, num_masked, region)
    for name, members in groups.items():
        mask.update(rnd.sample(members, counts[name]))
    if len(mask) > num_masked:
        mask -= set(rnd.sample(sorted(mask - set(fr)), len(mask) - num_masked))
    else:
        free = [i for i in range(len(bits_row)) if i not in mask]
        mask |= set(rnd.sample(free, num_masked - len(mask)))
    return mask, set(fr)


def crfr_r(bits_row, num_masked, region, rnd=random):
    fr, _ = walk(bits_row, region)
    if len(fr) >= num_masked:
        mask = set(rnd.sample(fr, num_masked))
        return mask, mask
    free = [i for i in range(len(bits_row)) if i not in fr]
    return set(fr) | set(rnd.sample(free, num_masked - len(fr))), set(fr)


def fasking(bits_row, num_masked, rnd=random):
    sets = [label_set(b) for b in bits_row]
    num_visible = len(sets) - num_masked
    visible = set()
    for group in [{0}, {1}, *rnd.sample(FASKING_PARTS, len(FASKING_PARTS))]:
        if len(visible) >= num_visible:
            break
        visible |= {i for i, s in enumerate(sets) if s & group}
    if len(visible) < num_visible:
        free = [i for i in range(len(sets)) if i not in visible]
        visible |= set(rnd.sample(free, num_visible - len(visible)))
    visible = set(rnd.sample(sorted(visible), num_visible))
    return set(range(len(sets))) - visible, set()


def table(labels, shape=None):
    """A label table (1, h, w) from one label or tuple of labels a patch."""
    sets = [sum(1 << k for k in np.atleast_1d(entry)) for entry in labels]
    return np.array(sets, dtype=np.uint16).reshape(1, *(shape or (1, len(sets))))


def face_like(rng, n, h, w):
    """Random tables with one to three labels a patch."""
    bits = 1 << rng.integers(11, size=(3, n, h, w))
    return (
        bits[0] | bits[1] * rng.integers(2, size=(n, h, w)) | bits[2] * (rng.random((n, h, w)) < 0.1)
    ).astype(np.uint16)


def check_contract(labels, k, mask, region_mask):
    n, h, w = labels.shape
    assert mask.shape == region_mask.shape == (n, h * w)
    assert mask.dtype == region_mask.dtype == np.bool_
    assert (mask.sum(axis=1) == k).all()
    assert not (region_mask & ~mask).any()
