"""The training augmentation is timm's own, on BGR arrays."""

import random

import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from timm.data import create_transform

from fsfm_mm.statistics import PUBLISHED

MEAN, STD = PUBLISHED['vggface2']


def build(**options):
    return TRANSFORMS.build(dict(type='TimmTrainAugment', **options))


def picture(height=60, width=50):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def seeded(function, seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return function()


@pytest.mark.parametrize('seed', range(8))
def test_same_pixels_as_the_published_pipeline(seed):
    """timm's create_transform with the recipe's settings ends in normalised floats: compare before that."""
    bgr = picture()
    reference = create_transform(
        32,
        is_training=True,
        color_jitter=None,
        auto_augment='rand-m9-mstd0.5-inc1',
        interpolation='bicubic',
        mean=MEAN,
        std=STD,
        re_prob=0.0,
    )
    normalised = seeded(lambda: reference(Image.fromarray(bgr[..., ::-1].copy())), seed)
    rgb = normalised * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    ours = seeded(lambda: build(size=32).transform({'img': bgr.copy()}), seed)['img']
    assert ours.dtype == np.uint8
    assert ours.flags.c_contiguous
    np.testing.assert_allclose(ours[..., ::-1], 255 * rgb.permute(1, 2, 0).numpy(), atol=1e-3)


def test_without_randomness_it_is_pils_resize():
    bgr = picture(40, 40)
    plain = build(size=20, scale=(1, 1), ratio=(1, 1), hflip=0.0, auto_augment=None)
    expected = Image.fromarray(bgr[..., ::-1].copy()).resize((20, 20), Image.Resampling.BICUBIC)
    ours = plain.transform({'img': bgr})
    np.testing.assert_array_equal(ours['img'][..., ::-1], np.asarray(expected))
    assert ours['img_shape'] == (20, 20)


def test_flip_mirrors():
    bgr = picture(20, 20)
    flip = build(size=20, scale=(1, 1), ratio=(1, 1), hflip=1.0, auto_augment=None)
    np.testing.assert_array_equal(flip.transform({'img': bgr})['img'], bgr[:, ::-1])


def test_the_input_is_not_changed_and_seeds_decide():
    bgr = picture()
    kept = bgr.copy()
    augment = build(size=32)
    first, again, other = (seeded(lambda: augment.transform({'img': bgr})['img'], seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(bgr, kept)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_it_packs_for_mmpretrain():
    pack = TRANSFORMS.build(dict(type='PackInputs', meta_keys=('class_name',)))
    packed = pack(build(size=16).transform({'img': picture(), 'gt_label': 1, 'class_name': 'real'}))
    assert packed['inputs'].shape == (3, 16, 16)
    assert packed['inputs'].dtype == torch.uint8
    assert packed['data_samples'].class_name == 'real'


@pytest.mark.parametrize('key', ['parsing_map', 'patch_labels', 'mask'])
def test_samples_with_maps_are_refused(key):
    with pytest.raises(ValueError, match=f"cannot move the sample's .*{key}"):
        build(size=16).transform({'img': picture(), key: np.zeros(1)})


def test_the_strongest_level_of_every_operation():
    """At level 10 posterize keeps 0 bits, which Pillow 13 refuses."""
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    augment = build(size=32, auto_augment='rand-m10-mstd0-inc1-n1')
    (policy,) = [step for step in augment._augment.transforms if hasattr(step, 'ops')]
    picture = Image.fromarray(image)
    for operation in policy.ops:
        operation.prob = 1.0
        assert operation(picture).size == (32, 32)
    (posterize,) = [operation for operation in policy.ops if operation.name.startswith('Posterize')]
    assert not np.asarray(posterize(picture)).any()
