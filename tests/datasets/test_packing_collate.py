import numpy as np
import pytest
import torch

from fsfm_mm.datasets import dense_collate
from fsfm_mm.datasets.transforms import PackFaces
from fsfm_mm.registry import FUNCTIONS


def sample(seed, size=(8, 12), patches=6):
    rng = np.random.default_rng(seed)
    mask = np.arange(patches) < 4
    return {
        'img': rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        'mask': rng.permutation(mask),
        'region_mask': np.zeros(patches, bool),
        'parsing_map': np.zeros(size, np.uint8),
        'img_path': f'{seed}.png',
    }


def test_pack_gives_rgb_planes_and_masks_only():
    raw = sample(0)
    packed = PackFaces()(dict(raw))
    assert set(packed) == {'inputs', 'mask', 'region_mask'}
    assert packed['inputs'].dtype == np.uint8 and packed['inputs'].shape == (3, 8, 12)
    for channel in range(3):
        np.testing.assert_array_equal(packed['inputs'][channel], raw['img'][:, :, 2 - channel])
    np.testing.assert_array_equal(packed['mask'], raw['mask'])


def test_pack_takes_views_too():
    raw = sample(0)
    raw['img'] = raw['img'][:, ::-1]
    np.testing.assert_array_equal(PackFaces()(dict(raw))['inputs'][0], raw['img'][:, :, 2])


def test_masks_are_optional():
    raw = sample(0)
    assert set(PackFaces()({'img': raw['img']})) == {'inputs'}


@pytest.mark.parametrize('image', [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)])
def test_pack_names_the_sample_with_a_wrong_image(image):
    with pytest.raises(ValueError, match=r'expects a uint8 image \(H, W, 3\), but face 7.png is'):
        PackFaces()({'img': image, 'img_path': 'face 7.png'})


def test_collate_stacks_exactly():
    packed = [PackFaces()(sample(seed)) for seed in range(5)]
    batch = dense_collate(packed)
    assert batch['inputs'].dtype == torch.uint8 and batch['inputs'].shape == (5, 3, 8, 12)
    assert batch['mask'].dtype == torch.bool and batch['mask'].shape == (5, 6)
    assert batch['mask'].sum(1).tolist() == [4] * 5
    for i, one in enumerate(packed):
        for key in one:
            np.testing.assert_array_equal(batch[key][i].numpy(), one[key])
    packed[0]['inputs'][:] = 0  # the batch owns its memory
    assert batch['inputs'][0].any()


def test_collate_is_found_by_name():
    assert FUNCTIONS.get('dense_collate') is dense_collate


def test_collate_says_what_is_missing():
    different = [PackFaces()(sample(0)), PackFaces()(sample(1, size=(8, 8)))]
    with pytest.raises(ValueError, match=r"'inputs'.*\(3, 8, 12\).*\(3, 8, 8\).*put ResizeFace"):
        dense_collate(different)
    different = [PackFaces()(sample(0)), PackFaces()(sample(1, patches=9))]
    with pytest.raises(ValueError, match=r"'mask'.*\(6,\).*\(9,\).*before BuildPatchLabels"):
        dense_collate(different)
    without = [PackFaces()(sample(0)), PackFaces()({'img': sample(1)['img']})]
    with pytest.raises(ValueError, match=r"same keys, but have .*'mask'.* and \['inputs'\]"):
        dense_collate(without)
