"""The saturation of the published anti-spoofing training."""

import cv2
import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS


def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize('factor', [0.8, 1.2])
def test_only_the_saturation_is_scaled(factor):
    change = TRANSFORMS.build(dict(type='RandomSaturation', prob=1.0, scale=(factor, factor)))
    before = cv2.cvtColor(picture(), cv2.COLOR_BGR2HSV).astype(int)
    expected = before.copy()
    expected[..., 1] = np.clip(np.rint(before[..., 1] * factor), 0, 255)
    found = change(dict(img=picture()))['img']
    assert np.array_equal(found, cv2.cvtColor(expected.astype(np.uint8), cv2.COLOR_HSV2BGR))
    assert not np.array_equal(found, picture())


def test_half_of_the_pictures_stay_as_they_are():
    np.random.seed(0)
    change = TRANSFORMS.build(dict(type='RandomSaturation'))
    same = sum(np.array_equal(change(dict(img=picture()))['img'], picture()) for _ in range(200))
    assert 80 < same < 120


@pytest.mark.parametrize('wrong', [dict(prob=2), dict(scale=(1.2, 0.8)), dict(scale=(-1, 1))])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match='must'):
        TRANSFORMS.build(dict(type='RandomSaturation', **wrong))
