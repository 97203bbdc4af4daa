import random
from collections import Counter
from pathlib import Path

import mask_oracles as oracle
import numpy as np
import pytest
from mask_oracles import check_contract, table

from fsfm_mm.ops import masks, region_tables
from fsfm_mm.regions import FACIAL_REGIONS

GOLDEN = Path(__file__).parents[1] / 'data' / 'crfrp_stats.npz'
CRFR = [masks.crfr_r_masks, masks.crfr_p_masks]


def test_a_region_as_large_as_k_is_sampled_uniformly():
    labels = np.repeat(table([6] * 6 + [1] * 4), 20_000, axis=0)
    for strategy in CRFR:
        mask, _ = strategy(labels, 3, np.random.default_rng(8), region=2)
        subsets = Counter(map(bytes, mask))
        counts = np.array(list(subsets.values()))
        assert len(counts) == 20
        assert ((counts - 1000) ** 2 / 1000).sum() < 45.3  # chi-square, 19 degrees, p = .0006


def test_random_is_uniform_in_single_patches_and_pairs():
    draws, size, k = 20_000, 15, 11
    mask, region_mask = masks.random_masks(np.ones((draws, 3, 5), np.uint16), k, np.random.default_rng(2))
    assert not region_mask.any()
    together = (mask.T.astype(float) @ mask) / draws
    p, pair = k / size, k * (k - 1) / (size * (size - 1))
    assert np.abs(np.diag(together) - p).max() < 4.5 * np.sqrt(p * (1 - p) / draws)
    off = together[~np.eye(size, dtype=bool)]
    assert np.abs(off - pair).max() < 4.5 * np.sqrt(pair * (1 - pair) / draws)


def z_two_samples(p, n, q, m):
    """Two-sample z of shares p of n and q of m draws; 0 where both are 0 or both 1."""
    pooled = (p * n + q * m) / (n + m)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return np.divide(p - q, spread, out=np.zeros_like(spread), where=spread > 0)


@pytest.mark.parametrize('name', ['frontal', 'shifted', 'no_brows_bald', 'region_over_ratio'])
def test_crfr_p_agrees_with_the_golden_frequencies(name):
    golden, draws = np.load(GOLDEN), 16384
    one = region_tables.patch_labels(golden[f'map/{name}'], 16)
    labels = np.broadcast_to(one, (draws, 14, 14))
    for region, group in enumerate(FACIAL_REGIONS):
        rng = np.random.default_rng(region)
        mask, region_mask = masks.crfr_p_masks(labels, 147, rng, region=region)
        low, high, golden_draws = golden[f'count/{name}/{group}']
        assert low == high == 147
        check_contract(labels, 147, mask, region_mask)
        for found, key in ((mask, 'freq'), (region_mask, 'region_freq')):
            expected = golden[f'{key}/{name}/{group}'].astype(float)
            z = z_two_samples(found.mean(axis=0), draws, expected, golden_draws)
            assert np.abs(z).max() < 4.5, (group, key)
        # Whole groups vary far less than patches: a patch too many or few in one draw of four shows here.
        expected = golden[f'freq/{name}/{group}'].astype(float)
        for members in oracle.walk(one.ravel(), group)[1].values():
            counts = mask[:, members].sum(axis=1)
            error = counts.std() * np.sqrt(1 / draws + 1 / golden_draws)
            assert abs(counts.mean() - expected[members].sum()) < 4.5 * error + 1e-4, (group, members)


TINY = {
    'face': ([2, (4, 1), 6, (7, 1), (1, 10), (1, 0), 0, 10], 5),
    'repair removes': ([2, 4, 6, 7, 7, 10, 1, 0], 5),
    'repair adds': ([2, 2, 4, 4, 4, 6, 6, 6], 3),
    'no face': ([0, 0, 0, 1, 1, 0, 0, 0], 3),
    'all labels': ([tuple(range(11))] * 3 + [1] * 5, 4),
    'some empty': ([2, 4, 6, (), (), 1, 0, 10], 6),
}


def sets_of(mask, region_mask):
    """How often each pair (mask, region mask) occurs, both as bit patterns."""
    bits = 1 << np.arange(mask.shape[1])
    return Counter(zip((mask @ bits).tolist(), (region_mask @ bits).tolist(), strict=True))


def assert_same_distribution(ours, theirs):
    """Two-sample chi-square over all outcomes, as a normal score (Wilson-Hilferty)."""
    keys = sorted(set(ours) | set(theirs))
    a = np.array([ours[key] for key in keys], dtype=float)
    b = np.array([theirs[key] for key in keys], dtype=float)
    if len(keys) == 1:
        return
    chi2 = ((a * np.sqrt(b.sum() / a.sum()) - b * np.sqrt(a.sum() / b.sum())) ** 2 / (a + b)).sum()
    freedom = len(keys) - 1
    score = ((chi2 / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / np.sqrt(2 / (9 * freedom))
    assert score < 4, (score, freedom)


def compare(strategy, draw, labels, k, **kwargs):
    mask, region_mask = strategy(np.repeat(labels, 20_000, axis=0), k, np.random.default_rng(77), **kwargs)
    rnd = random.Random(5)
    row = labels.ravel()
    theirs = Counter(tuple(sum(1 << i for i in s) for s in draw(row, k, rnd)) for _ in range(4000))
    assert_same_distribution(sets_of(mask, region_mask), theirs)


@pytest.mark.parametrize('case', TINY)
def test_fasking_has_the_oracle_distribution(case):
    labels, k = TINY[case]
    # One masked: where labelled patches are too few to be visible, unlabelled ones fill up.
    for count in (1, 2, k):
        compare(masks.fasking_masks, oracle.fasking, table(labels), count)


@pytest.mark.parametrize('case', TINY)
def test_frp_has_the_oracle_distribution(case):
    labels, k = TINY[case]

    def draw(row, k, rnd):
        return oracle.crfr_p(row, k, None, rnd)

    compare(masks.frp_masks, draw, table(labels), k)


@pytest.mark.parametrize('case', TINY)
@pytest.mark.parametrize(
    'strategy, once', [(masks.crfr_r_masks, oracle.crfr_r), (masks.crfr_p_masks, oracle.crfr_p)]
)
def test_crfr_has_the_oracle_distribution(strategy, once, case):
    labels, k = TINY[case]

    def draw(row, k, rnd):
        regions = oracle.regions_of(row)
        if not regions:
            return set(rnd.sample(range(len(row)), k)), set()
        return once(row, k, rnd.choice(regions), rnd)

    compare(strategy, draw, table(labels), k)


def test_crfr_r_leaves_the_rest_uniform():
    draws = 20_000
    labels = np.repeat(table([6, 6, 6] + [1] * 4 + [0] * 5 + [10] * 3, (3, 5)), draws, axis=0)
    mask, _ = masks.crfr_r_masks(labels, 9, np.random.default_rng(3), region=2)
    share = mask.mean(axis=0)
    assert (share[:3] == 1).all()
    assert np.abs(share[3:] - 6 / 12).max() < 4.5 * np.sqrt(0.25 / draws)


def test_a_tie_that_a_rounded_ratio_would_miss():
    # 11 * 105 / 154 is 7.5, but 11 * (105 / 154) falls below it; and likewise 143 * 105 / 154 = 97.5.
    assert 11 * (105 / 154) < 7.5
    labels = np.array([4] * 11 + [64] * 143, np.uint16).reshape(1, 11, 14)
    mask, _ = masks.frp_masks(np.repeat(labels, 500, axis=0), 105, np.random.default_rng(1))
    # 8 + 98 and one of 106 removed, rather than 7 + 97 and one of 50 added.
    counts = Counter(mask[:, :11].sum(axis=1).tolist())
    assert set(counts) == {7, 8}
    assert abs(counts[8] / 500 - 98 / 106) < 4.5 * np.sqrt(98 / 106 * 8 / 106 / 500)


def test_region_is_drawn_uniformly_among_those_present():
    draws = 24_000
    # Only eyebrows, mouth and hair; they differ in size, which must not matter.
    labels = np.repeat(table([2] + [8] * 3 + [10] * 5 + [1] * 5 + [0] * 6, (4, 5)), draws, axis=0)
    for strategy in CRFR:
        _, region_mask = strategy(labels, 15, np.random.default_rng(6))
        drawn = Counter(region_mask.sum(axis=1).tolist())
        assert set(drawn) == {1, 3, 5}
        assert all(abs(c - draws / 3) < 4.5 * np.sqrt(draws * 2 / 9) for c in drawn.values())
