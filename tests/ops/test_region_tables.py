from itertools import permutations
from pathlib import Path

import mask_oracles as oracle
import numpy as np
import pytest

from fsfm_mm.ops import region_tables as tables
from fsfm_mm.regions import FACIAL_REGIONS

GOLDEN = Path(__file__).parents[1] / 'data' / 'crfrp_stats.npz'


@pytest.mark.parametrize('dtype', [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize(
    'shape, patch', [((32, 48), 16), ((21, 14), 7), ((6, 10), 2), ((5, 3), 1), ((8, 8), 8)]
)
def test_patch_labels_equal_a_loop_over_pixels(dtype, shape, patch):
    rng = np.random.default_rng(3)
    # Few labels a map, or every patch would hold all of them.
    parsing_map = rng.choice([0, 1, 10, 7], size=shape).astype(dtype)
    parsing_map[::3, ::5] = rng.integers(11, size=parsing_map[::3, ::5].shape)
    found = tables.patch_labels(parsing_map, patch)
    assert found.dtype == np.uint16
    assert found.tolist() == oracle.patch_labels(parsing_map, patch)


def test_patch_labels_of_a_batch_and_of_views():
    rng = np.random.default_rng(4)
    maps = rng.integers(11, size=(3, 12, 20)).astype(np.uint8)
    batch = tables.patch_labels(maps, 4)
    assert batch.shape == (3, 3, 5)
    for one, found in zip(maps, batch, strict=True):
        assert found.tolist() == oracle.patch_labels(one, 4)
    mirrored, turned = maps[0][:, ::-1], maps[0].T
    assert tables.patch_labels(mirrored, 4).tolist() == oracle.patch_labels(mirrored, 4)
    assert tables.patch_labels(turned, 4).tolist() == oracle.patch_labels(turned, 4)


def test_patch_labels_leave_their_input_alone():
    parsing_map = np.full((4, 4), 7, dtype=np.uint8)
    assert tables.patch_labels(parsing_map, 4).tolist() == [[1 << 7]]
    assert (parsing_map == 7).all()


@pytest.mark.parametrize(
    'parsing_map, patch, message',
    [
        (np.full((4, 4), 11, np.uint8), 2, r'0\.\.10; found values from 11 to 11'),
        (np.array([[0, 255]], np.uint8), 1, 'from 0 to 255'),
        (np.array([[-1, 3]], np.int8), 1, 'from -1 to 3'),
        (np.array([[256, 0]], np.int64), 1, 'from 0 to 256'),
        (np.array([[-256, 0]], np.int64), 1, 'from -256 to 0'),
        (np.zeros((4, 4), np.float32), 2, 'integers; found dtype float32'),
        (np.zeros((4, 4), bool), 2, 'integers; found dtype bool'),
        (np.zeros((224, 220), np.uint8), 16, r'224 x 220 .* 16 x 16'),
        (np.zeros((220, 224), np.uint8), 16, r'220 x 224 .* 16 x 16'),
        (np.zeros((4, 4), np.uint8), 0, r'0 x 0'),
        (np.zeros((0, 4), np.uint8), 2, r'0 x 4 pixels'),
        (np.zeros((0, 4, 4), np.uint8), 2, r'shape \(0, 4, 4\)'),
        (np.zeros(16, np.uint8), 4, r'found \(16,\)'),
        (np.zeros((1, 1, 4, 4), np.uint8), 4, r'found \(1, 1, 4, 4\)'),
    ],
)
def test_patch_labels_refuse_a_wrong_map(parsing_map, patch, message):
    with pytest.raises(ValueError, match=message):
        tables.patch_labels(parsing_map, patch)


@pytest.mark.parametrize(
    'num_patches, ratio, expected',
    # 100 at .9 is MAE's floating-point truncation: 100 * (1 - .9) = 9.99...
    [
        (196, 0.75, 147),
        (256, 0.75, 192),
        (49, 0.75, 37),
        (15, 0.5, 8),
        (100, 0.9, 91),
        (2, 0.5, 1),
        (3, 0.01, 1),
    ],
)
def test_num_masked_is_mae_arithmetic(num_patches, ratio, expected):
    assert tables.num_masked(num_patches, ratio) == expected


@pytest.mark.parametrize('ratio', [0, 1, -0.1, 1.5, float('nan'), float('inf')])
def test_num_masked_refuses_a_ratio_outside_the_open_interval(ratio):
    with pytest.raises(ValueError, match='between 0 and 1'):
        tables.num_masked(196, ratio)


@pytest.mark.parametrize(
    'num_patches, ratio, message',
    [
        (3, 0.75, 'leaves 0 of 3'),
        (1, 0.5, 'leaves 0 of 1'),
        (3, 1e-20, 'leaves 3 of 3'),
        (0, 0.5, 'leaves 0 of 0'),
    ],
)
def test_num_masked_needs_both_kinds_of_patches(num_patches, ratio, message):
    with pytest.raises(ValueError, match=message):
        tables.num_masked(num_patches, ratio)


def test_exclusive_groups_equal_the_walk_over_single_patches():
    found = tables.exclusive_groups()
    assert found.shape == (8, 2048)
    for row, region in enumerate([*oracle.WALK[:6], None]):
        for bits in range(2048):
            fr, groups = oracle.walk([bits], region)
            expected = tables.COVERED if fr else tables.NO_GROUP
            for code, name in enumerate(oracle.WALK, start=1):
                expected = code if groups[name] else expected
            assert found[row, bits] == expected, (region, bits)
    assert (found[tables.IGNORE_GROUPS] == tables.NO_GROUP).all()


def test_fasking_stages_equal_the_order_of_the_groups():
    found = tables.fasking_stages()
    orders = list(permutations(oracle.FASKING_PARTS))
    assert found.shape == (len(orders), 2048)
    for order, row in zip(orders, found, strict=True):
        groups = [{0}, {1}, *order]
        for bits in range(0, 2048, 3):
            labels = oracle.label_set(bits)
            expected = next((i for i, group in enumerate(groups) if labels & group), tables.NO_STAGE)
            assert row[bits] == expected


def test_region_bits_and_draws():
    for bits in range(2048):
        names = {name for g, name in enumerate(FACIAL_REGIONS) if tables.region_bits()[bits] >> g & 1}
        assert names == set(oracle.regions_of([bits]))
    for bits, row in enumerate(tables.region_draws()):
        present = [g for g in range(6) if bits >> g & 1] or [tables.IGNORE_GROUPS]
        values, counts = np.unique(row, return_counts=True)
        assert values.tolist() == present
        assert (counts == 60 // len(present)).all()


def test_cached_tables_cannot_be_written():
    for table in (tables.exclusive_groups, tables.region_bits, tables.region_draws, tables.fasking_stages):
        assert table() is table()
        with pytest.raises(ValueError, match='read-only'):
            table()[...] = 0


def test_covering_patches_equal_the_golden_ones():
    golden = np.load(GOLDEN)
    names = [key.removeprefix('map/') for key in golden.files if key.startswith('map/')]
    assert len(names) == 4
    for name in names:
        labels = tables.patch_labels(golden[f'map/{name}'], 16).ravel()
        for row, region in enumerate(FACIAL_REGIONS):
            covered = tables.exclusive_groups()[row, labels] == tables.COVERED
            np.testing.assert_array_equal(covered, golden[f'cover/{name}/{region}'].astype(bool))
