import re
from pathlib import Path

import numpy as np
import pytest

from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PatchMask, mask_types
from fsfm_mm.ops import masks
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.registry import TRANSFORMS

ROOT = Path(__file__).parents[2]
STRATEGIES = {
    'RandomMask': masks.random_masks,
    'FaskingMask': masks.fasking_masks,
    'FRPMask': masks.frp_masks,
    'CRFRRMask': masks.crfr_r_masks,
    'CRFRPMask': masks.crfr_p_masks,
}


@pytest.fixture
def parsing_map():
    return np.load(ROOT / 'tests' / 'data' / 'crfrp_stats.npz')['map/frontal']


@pytest.fixture(autouse=True)
def keep_global_state():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def sample(parsing_map):
    return {'patch_labels': patch_labels(parsing_map, 16)}


@pytest.mark.parametrize('name', STRATEGIES)
def test_each_type_runs_its_own_pure_function(name, parsing_map):
    transform = TRANSFORMS.build({'type': name, 'mask_ratio': 0.6})
    np.random.seed(3)
    found = transform(sample(parsing_map))
    np.random.seed(3)
    rng = np.random.default_rng(np.random.randint(1 << 32, size=2, dtype=np.uint32))
    mask, region_mask = STRATEGIES[name](patch_labels(parsing_map, 16)[None], 196 - int(196 * (1 - 0.6)), rng)
    np.testing.assert_array_equal(found['mask'], mask[0])
    np.testing.assert_array_equal(found['region_mask'], region_mask[0])
    assert found['mask'].shape == found['region_mask'].shape == (196,)
    assert found['region_mask'].any() == name.startswith('CRFR')


@pytest.mark.parametrize('name', STRATEGIES)
def test_randomness_comes_from_the_global_state(name, parsing_map):
    transform = TRANSFORMS.build({'type': name})

    def draw(seed):
        np.random.seed(seed)
        first, second = (transform(sample(parsing_map))['mask'] for _ in range(2))
        return first, second, np.random.random()

    first, second, after = draw(1)
    again = draw(1)
    other = draw(2)
    assert first.sum() == 147
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])
    assert (first != second).any() and (first != other[0]).any()
    # The global state is used up alike by all strategies.
    np.random.seed(1)
    np.random.randint(1 << 32, size=4, dtype=np.uint32)
    assert after == np.random.random()


@pytest.mark.parametrize('name', STRATEGIES)
def test_a_batch_is_one_call(name, parsing_map, monkeypatch):
    transform = TRANSFORMS.build({'type': name})
    calls = []
    strategy = transform.strategy
    monkeypatch.setattr(transform, 'strategy', lambda *a: calls.append(a[0].shape) or strategy(*a))
    batch = [{**sample(parsing_map), 'sample_idx': i} for i in range(16)]
    found = transform.transform_batch(batch)
    assert all(a is b for a, b in zip(found, batch, strict=True)) and transform(batch[0]) is batch[0]
    calls.pop()
    assert calls == [(16, 14, 14)]
    assert [s['sample_idx'] for s in found] == list(range(16))
    assert all(s['mask'].sum() == 147 and not (s['region_mask'] & ~s['mask']).any() for s in found)
    assert len({s['mask'].tobytes() for s in found}) == 16
    assert transform.transform_batch([]) == []


def test_each_sample_of_a_batch_gets_its_own_masks():
    # Nose patches on the left in one image, on the right in the other: the region masks tell them apart.
    left = np.array([[64, 64, 2, 2], [64, 64, 2, 2]], np.uint16)
    transform = TRANSFORMS.build({'type': 'CRFRPMask', 'mask_ratio': 0.75})
    one, two = transform.transform_batch([{'patch_labels': left}, {'patch_labels': left[:, ::-1]}])
    np.testing.assert_array_equal(one['region_mask'], left.ravel() == 64)
    np.testing.assert_array_equal(two['region_mask'], left[:, ::-1].ravel() == 64)


def test_missing_or_mixed_label_tables_are_refused(parsing_map):
    transform = TRANSFORMS.build({'type': 'CRFRPMask'})
    with pytest.raises(ValueError, match=r'CRFRPMask needs .* BuildPatchLabels before'):
        transform({'img': 0})
    with pytest.raises(ValueError, match='BuildPatchLabels'):
        transform.transform_batch([sample(parsing_map), {}])
    with pytest.raises(ValueError, match=r'one grid .* \(7, 7\) beside \(14, 14\)'):
        transform.transform_batch([sample(parsing_map), {'patch_labels': np.zeros((7, 7), np.uint16)}])
    with pytest.raises(ValueError, match='int64'):
        transform({'patch_labels': np.zeros((7, 7), np.int64)})
    with pytest.raises(ValueError, match='leaves 0 of 1'):
        transform({'patch_labels': np.ones((1, 1), np.uint16)})


@pytest.mark.parametrize('name', STRATEGIES)
@pytest.mark.parametrize('ratio', [0, 1, -1, 1.01, float('nan')])
def test_a_ratio_outside_the_open_interval_is_refused_at_once(name, ratio):
    with pytest.raises(ValueError, match='between 0 and 1'):
        TRANSFORMS.build({'type': name, 'mask_ratio': ratio})


class Broken(PatchMask):
    """Masks the first K patches, then spoils the result."""

    def __init__(self, spoil):
        super().__init__(0.75)
        self.spoil = spoil

    def strategy(self, patch_labels, num_masked, rng):
        mask = np.zeros((len(patch_labels), 196), dtype=bool)
        mask[:, :num_masked] = True
        return self.spoil(mask)


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda m: (m.astype(np.uint8), m), 'two bool arrays .* found uint8'),
        (lambda m: (m, m[:, :-1]), r'found bool \(1, 195\)'),
        (lambda m: (np.roll(m, 1) | m, m), 'exactly 147 .* found 148 to 148'),
        (lambda m: (m, ~m), 'subset'),
    ],
)
def test_a_strategy_that_breaks_the_contract_is_named(spoil, message, parsing_map):
    assert Broken(lambda m: (m, m))(sample(parsing_map))['mask'].sum() == 147
    with pytest.raises(ValueError, match='Broken.strategy must .*' + message):
        Broken(spoil)(sample(parsing_map))


def test_the_example_of_the_documentation_runs(parsing_map):
    page = (ROOT / 'docs' / 'custom_masking.md').read_text(encoding='utf-8')
    code, config = re.findall(r'^```python\n(.*?)^```', page, flags=re.M | re.S)
    cls = None
    try:
        scope = {'__name__': 'my_masking'}
        exec(code, scope)
        cls = scope['LowerFaceMask']
        assert code[code.index('class') :].count('\n') <= 15
        exec(config, scope)
        results = {'parsing_map': parsing_map}
        for step in scope['masking']:
            results = TRANSFORMS.build(step)(results)
    finally:
        # The registry is shared by all tests.
        if cls is not None:
            TRANSFORMS.module_dict.pop('LowerFaceMask', None)
    lower = (patch_labels(parsing_map, 16).ravel() & 0b1111000000) != 0
    assert 0 < lower.sum() < 147
    assert results['mask'].sum() == 147
    np.testing.assert_array_equal(results['region_mask'], lower)


@pytest.mark.parametrize('patch_size, grid', [(16, (14, 14)), (14, (16, 16)), (32, (7, 7))])
def test_build_patch_labels(parsing_map, patch_size, grid):
    transform = TRANSFORMS.build({'type': 'BuildPatchLabels', 'patch_size': patch_size})
    found = transform({'parsing_map': parsing_map})['patch_labels']
    assert found.shape == grid
    np.testing.assert_array_equal(found, patch_labels(parsing_map, patch_size))
    # A map that was cropped or flipped replaces a table that was computed before that.
    stale = {'parsing_map': parsing_map, 'patch_labels': np.zeros((1, 1), np.uint16)}
    np.testing.assert_array_equal(transform(stale)['patch_labels'], found)


def test_build_patch_labels_leaves_a_precomputed_table_alone():
    table = np.ones((14, 14), np.uint16)
    assert BuildPatchLabels()({'patch_labels': table})['patch_labels'] is table


def test_build_patch_labels_names_the_sample_in_its_errors():
    transform = BuildPatchLabels(patch_size=16)
    wrong = np.full((32, 32), 18, np.uint8)
    with pytest.raises(ValueError, match=r'^maps/a\.png: Parsing labels .* found values from 18 to 18'):
        transform({'parsing_map': wrong, 'img_path': 'a.png', 'map_path': 'maps/a.png'})
    with pytest.raises(ValueError, match=r'^a\.png: BuildPatchLabels needs'):
        transform({'img_path': 'a.png'})
    with pytest.raises(ValueError, match=r'^A parsing map must consist of whole patches; found 30 x 32'):
        transform({'parsing_map': np.zeros((30, 32), np.uint8)})
    with pytest.raises(
        ValueError, match=r'^a\.png: A sample needs a parsing map \(H, W\); found shape \(1, 32, 32\)'
    ):
        transform({'parsing_map': np.zeros((1, 32, 32), np.uint8), 'img_path': 'a.png'})
    with pytest.raises(ValueError, match='at least 1 pixel; found 0'):
        BuildPatchLabels(patch_size=0)


def test_strategies_are_listed_by_their_titles():
    class Untitled(CRFRPMask):
        """Inherits the title of another strategy, which stays that one's."""

    TRANSFORMS.register_module(module=Untitled)
    try:
        assert [kind.__name__ for kind in mask_types().values()] == list(STRATEGIES)
        assert mask_types()['CRFR-P'] is CRFRPMask
    finally:
        TRANSFORMS.module_dict.pop('Untitled')
