from collections import Counter
from itertools import permutations

import mask_oracles as oracle
import numpy as np
import pytest
from mask_oracles import check_contract, face_like, table

from fsfm_mm.datasets.transforms import mask_types
from fsfm_mm.ops import masks, region_tables
from fsfm_mm.regions import FACIAL_REGIONS

STRATEGIES = [kind.strategy for kind in mask_types().values()]
CRFR = [masks.crfr_r_masks, masks.crfr_p_masks]
GRIDS = [(14, 14), (16, 16), (7, 7), (3, 5), (1, 4), (2, 1)]
PART_ORDERS = list(permutations(oracle.FASKING_PARTS))


@pytest.mark.parametrize('strategy', STRATEGIES)
@pytest.mark.parametrize('grid', GRIDS)
@pytest.mark.parametrize('ratio', [0.1, 0.5, 0.75, 0.9])
def test_exactly_k_masked_and_region_inside(strategy, grid, ratio):
    rng = np.random.default_rng(11)
    labels = face_like(rng, 64, *grid)
    # Every possible number, not only those that the ratio gives on a small grid.
    size = grid[0] * grid[1]
    k = min(max(round(size * ratio), 1), size - 1)
    check_contract(labels, k, *strategy(labels, k, rng))


@pytest.mark.parametrize('strategy', STRATEGIES)
@pytest.mark.parametrize('bits', [0, 1, 2, 3, 0b111, 1 << 6, 1 << 10, 1026, 2047])
@pytest.mark.parametrize('k', [1, 8, 14])
def test_exact_when_all_patches_are_alike(strategy, bits, k):
    labels = np.full((9, 3, 5), bits, dtype=np.uint16)
    check_contract(labels, k, *strategy(labels, k, np.random.default_rng(5)))


@pytest.mark.parametrize('strategy', CRFR)
@pytest.mark.parametrize('region', range(6))
def test_exact_for_every_size_of_the_covered_region(strategy, region):
    label = [2, 4, 6, 7, (0, 1), 10][region]
    other = [1, 1, 1, 1, 6, 1][region]
    for size in range(16):
        labels = np.repeat(table([label] * size + [other] * (15 - size), (3, 5)), 7, axis=0)
        fr = np.arange(15) < size
        for k in (1, 7, 14):
            mask, region_mask = strategy(labels, k, np.random.default_rng(size), region=region)
            check_contract(labels, k, mask, region_mask)
            if size < k:
                np.testing.assert_array_equal(region_mask, np.broadcast_to(fr, (7, 15)))
            else:
                np.testing.assert_array_equal(region_mask, mask)
                assert not (mask & ~fr).any()


@pytest.mark.parametrize('ratio', [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize('grid', [(14, 14), (7, 7), (3, 5)])
def test_group_counts_follow_the_rounded_quotas(grid, ratio):
    # Before the repair every group has its rounded quota; the repair goes one way only. So each count
    # is on one side of its quota, and together they are off by exactly the rounding error.
    rng = np.random.default_rng(23)
    labels = face_like(rng, 40, *grid)
    rows = labels.reshape(40, -1)
    k = region_tables.num_masked(rows.shape[1], ratio)
    for region, name in enumerate([*FACIAL_REGIONS, None]):
        if name is None:
            mask, region_mask = masks.frp_masks(labels, k, rng)
        else:
            mask, region_mask = masks.crfr_p_masks(labels, k, rng, region=region)
        for row, m, rm in zip(rows, mask, region_mask, strict=True):
            fr, groups = oracle.walk(row, name)
            if len(fr) >= k:
                continue
            assert np.flatnonzero(rm).tolist() == fr
            quotas = oracle.quotas(row, k, name)
            moved = [int(m[members].sum()) - quotas[g] for g, members in groups.items()]
            assert sum(moved) == k - len(fr) - sum(quotas.values())
            assert all(x >= 0 for x in moved) or all(x <= 0 for x in moved)


# Small enough that all sets of masked patches can be counted.


def test_frp_ratio_is_equal_in_every_region():
    # Each group has a multiple of four patches, so 3/4 of each is whole and nothing is repaired.
    sizes = {2: 4, 4: 8, 6: 12, 8: 4, 10: 20, 1: 40, 0: 12}
    labels = np.repeat(np.array([1 << k for k in sizes], np.uint16), list(sizes.values())).reshape(1, 10, 10)
    mask, region_mask = masks.frp_masks(np.repeat(labels, 50, axis=0), 75, np.random.default_rng(1))
    assert not region_mask.any()
    for label, size in sizes.items():
        assert (mask[:, labels.ravel() == 1 << label].sum(axis=1) == size * 3 // 4).all()


def test_ties_are_rounded_half_to_even():
    # Half of 1, 3, 5, 7 patches is 0, 2, 2, 4: together K = 8, so nothing is repaired.
    labels = table([2] * 1 + [6] * 3 + [7] * 5 + [10] * 7)
    mask, _ = masks.frp_masks(np.repeat(labels, 50, axis=0), 8, np.random.default_rng(1))
    counts = [mask[:, a:b].sum(axis=1) for a, b in ((0, 1), (1, 4), (4, 9), (9, 16))]
    for found, expected in zip(counts, (0, 2, 2, 4), strict=True):
        assert (found == expected).all()


def test_images_of_a_batch_draw_their_own_regions():
    faces = [table([2] * 3 + [1] * 9), table([6] * 4 + [1] * 8), table([0] * 6 + [1] * 6)]
    labels = np.concatenate(faces)
    for strategy in CRFR:
        mask, region_mask = strategy(labels, 9, np.random.default_rng(0))
        check_contract(labels, 9, mask, region_mask)
        assert region_mask.sum(axis=1).tolist() == [3, 4, 0]


def test_a_region_can_be_forced_per_image():
    labels = np.repeat(table([2, 4, 4, 6, 6, 6] + [1] * 9, (3, 5)), 4, axis=0)
    for strategy in CRFR:
        _, region_mask = strategy(labels, 9, np.random.default_rng(0), region=np.array([0, 1, 2, 3]))
        assert region_mask.sum(axis=1).tolist() == [1, 2, 3, 0]
        _, region_mask = strategy(labels, 9, np.random.default_rng(0), region=1)
        assert region_mask.sum(axis=1).tolist() == [2, 2, 2, 2]


def test_no_facial_region_is_random():
    # 3 of 12 are skin: proportional masking would always take 9 of 12 as 2 + 7.
    labels = np.repeat(table([1] * 3 + [0] * 9), 4000, axis=0)
    for region in (None, 3):
        mask, region_mask = masks.crfr_p_masks(labels, 9, np.random.default_rng(4), region=region)
        assert not region_mask.any()
        assert set(mask[:, :3].sum(axis=1).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize('k', [3, 8, 10, 13])
def test_fasking_shows_parts_only_after_background_and_skin(k):
    rng = np.random.default_rng(9)
    labels = face_like(rng, 300, 3, 5)
    # From all parts to all background and skin.
    outer = rng.random((300, 3, 5)) < rng.random((300, 1, 1))
    labels = np.where(outer, 1 + rng.integers(2, size=outer.shape), (labels | 64) & 2044).astype(np.uint16)
    mask, region_mask = masks.fasking_masks(labels, k, rng)
    assert not region_mask.any()
    seen = Counter()
    for row, m in zip(labels.reshape(300, -1), mask, strict=True):
        sets = [oracle.label_set(b) for b in row]
        shown = set(np.flatnonzero(~m))
        background = {i for i, s in enumerate(sets) if 0 in s}
        outer = background | {i for i, s in enumerate(sets) if 1 in s}
        if len(background) >= 15 - k:
            seen['background'] += 1
            assert shown <= background
        elif len(outer) >= 15 - k:
            seen['skin'] += 1
            assert shown <= outer
        else:
            seen['parts'] += 1
            assert any(shown <= fasking_shown(sets, order, 15 - k) for order in PART_ORDERS)
    assert seen['parts'] and seen['skin'] and seen['background']


def fasking_shown(sets, order, num_visible):
    shown = set()
    for group in [{0}, {1}, *order]:
        if len(shown) < num_visible:
            shown |= {i for i, s in enumerate(sets) if s & group}
    return shown


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_same_seed_same_masks_and_other_seed_other_masks(strategy):
    labels = face_like(np.random.default_rng(1), 8, 14, 14)
    before = labels.copy()
    first, again, other = (strategy(labels, 147, np.random.default_rng(s)) for s in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first[0] != other[0]).any(axis=1).all()
    np.testing.assert_array_equal(labels, before)
    # Images of one batch differ too.
    assert (
        len(
            {
                row.tobytes()
                for row in strategy(labels[:1].repeat(8, axis=0), 147, np.random.default_rng(0))[0]
            }
        )
        == 8
    )


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_large_grids_and_empty_batches(strategy):
    rng = np.random.default_rng(1)
    labels = face_like(rng, 1, 256, 256)
    check_contract(labels, 49152, *strategy(labels, 49152, rng))
    mask, region_mask = strategy(np.zeros((0, 14, 14), np.uint16), 147, rng)
    assert mask.shape == region_mask.shape == (0, 196)


@pytest.mark.parametrize('strategy', STRATEGIES)
@pytest.mark.parametrize(
    'labels, k, message',
    [
        (np.zeros((1, 4, 4), np.int64), 8, 'must be uint16'),
        (np.zeros((4, 4), np.uint16), 8, r'found uint16 \(4, 4\)'),
        (np.full((1, 4, 4), 2048, np.uint16), 8, 'below 2048; found 2048'),
        (np.zeros((1, 4, 4), np.uint16), 0, 'found 0 of 16'),
        (np.zeros((1, 4, 4), np.uint16), 16, 'found 16 of 16'),
        (np.zeros((1, 300, 300), np.uint16), 8, 'at most 65536 patches; found 8 of 90000'),
    ],
)
def test_wrong_arguments_are_refused(strategy, labels, k, message):
    with pytest.raises(ValueError, match=message):
        strategy(labels, k, np.random.default_rng(0))


@pytest.mark.parametrize('strategy', CRFR)
@pytest.mark.parametrize(
    'region, message',
    [
        (6, 'from 6 to 6'),
        (-1, 'from -1'),
        (1.0, 'float64'),
        (np.zeros(3, int), r'\(3,\)'),
        (np.array([0, 9]), 'to 9'),
    ],
)
def test_wrong_regions_are_refused(strategy, region, message):
    with pytest.raises(ValueError, match=message):
        strategy(np.full((2, 4, 4), 4, np.uint16), 8, np.random.default_rng(0), region=region)
