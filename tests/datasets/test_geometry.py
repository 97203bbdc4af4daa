import numpy as np
import pytest
from face_files import COLOURS, label_map
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from fsfm_mm.datasets.transforms.geometry import (
    RandomFaceCrop,
    RandomFaceFlip,
    ResizeFace,
    flip_patch_labels,
    random_box,
)
from fsfm_mm.datasets.transforms.patch_labels import BuildPatchLabels
from fsfm_mm.ops.resizing import resize_image, resize_labels


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    planes = [127 + 100 * np.sin(x / 9 + c) * np.cos(y / 7 - c) for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def coloured(size=64):
    """A sample whose colour tells the label."""
    labels = label_map(5, size)
    return {'img': COLOURS[labels], 'parsing_map': labels}


@pytest.mark.parametrize('source', [(50, 60), (97, 131), (300, 300)])
@pytest.mark.parametrize(('name', 'pil'), [('bicubic', Image.BICUBIC), ('bilinear', Image.BILINEAR)])
def test_resize_agrees_with_pil(source, name, pil):
    image = smooth(*source)
    expected = np.asarray(Image.fromarray(image).resize((64, 80), pil))
    result = resize_image(image, (80, 64), name)
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    assert np.abs(result.astype(int) - expected).max() <= 2


def test_resize_without_work_returns_the_same_object():
    sample = coloured(64)
    image, labels = sample['img'], sample['parsing_map']
    result = ResizeFace(64)(sample)
    assert result['img'] is image and result['parsing_map'] is labels


@pytest.mark.parametrize('factor', [2, 3])
def test_labels_take_the_nearest_pixel(factor):
    labels = label_map(1, 32)
    larger = np.kron(labels, np.ones((factor, factor), np.uint8))
    np.testing.assert_array_equal(resize_labels(labels, larger.shape), larger)
    np.testing.assert_array_equal(resize_labels(larger, labels.shape), labels)


@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear', 'area', 'nearest'])
def test_resize_face_moves_image_and_map_together(interpolation):
    sample = ResizeFace((160, 128), interpolation)(coloured(64))
    assert sample['img'].shape == (160, 128, 3) and sample['parsing_map'].shape == (160, 128)
    assert colours_agree(sample) > 0.7  # all but the blended borders of the blocks


def colours_agree(sample):
    difference = np.abs(sample['img'].astype(int) - COLOURS[sample['parsing_map']]).max(axis=-1)
    return (difference <= 8).mean()


def test_crop_keeps_image_and_map_aligned():
    crop = RandomFaceCrop(48, scale=(0.3, 0.6), interpolation='nearest')
    shares = []
    for _ in range(30):
        sample = crop(coloured(64))
        assert sample['img'].shape == (48, 48, 3) and sample['parsing_map'].shape == (48, 48)
        assert sample['img'].flags.c_contiguous and sample['parsing_map'].flags.c_contiguous
        shares.append(colours_agree(sample))
    assert min(shares) == 1.0


def test_crop_is_reproducible_from_numpys_seed():
    def draw():
        np.random.seed(7)
        return RandomFaceCrop(32)(coloured(64))['img']

    np.testing.assert_array_equal(draw(), draw())


def test_random_box_keeps_its_ranges():
    for _ in range(500):
        top, left, h, w = random_box(100, 140, (0.2, 1.0), (3 / 4, 4 / 3))
        assert 0 <= top <= 100 - h and 0 <= left <= 140 - w
        assert 0.19 < h * w / 14000 <= 1.0
        assert 0.72 < w / h < 1.36
    areas = [np.prod(random_box(200, 200, (0.2, 0.4), (1.0, 1.0))[2:]) / 40000 for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(0.3, abs=0.01)


def test_random_box_falls_back_to_the_largest_central_crop():
    assert random_box(10, 1000, (1.0, 1.0), (3 / 4, 4 / 3)) == (0, (1000 - 13) // 2, 10, 13)
    assert random_box(1000, 10, (1.0, 1.0), (3 / 4, 4 / 3)) == ((1000 - 13) // 2, 0, 13, 10)


def test_flip_mirrors_and_swaps_sides():
    labels = np.array([[0, 1, 2, 3], [4, 5, 6, 10]], np.uint8)
    sample = RandomFaceFlip(1.0)({'img': COLOURS[labels], 'parsing_map': labels})
    np.testing.assert_array_equal(sample['img'], COLOURS[labels][:, ::-1])
    np.testing.assert_array_equal(sample['parsing_map'], [[2, 3, 1, 0], [10, 6, 4, 5]])


def test_flip_twice_is_the_identity():
    flip, before = RandomFaceFlip(1.0), coloured()
    before['patch_labels'] = np.random.default_rng(0).integers(1, 2048, (4, 4)).astype(np.uint16)
    after = flip(flip(dict(before)))
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)
        assert after[key].dtype == value.dtype


def test_flip_commutes_with_building_the_table():
    sample = BuildPatchLabels(16)(coloured(64))
    from_table = flip_patch_labels(sample['patch_labels'])
    flipped = RandomFaceFlip(1.0)(coloured(64))
    from_map = BuildPatchLabels(16)(flipped)['patch_labels']
    assert from_table.dtype == np.uint16
    np.testing.assert_array_equal(from_table, from_map)
    assert (from_table != sample['patch_labels'][:, ::-1]).any()  # some bits did swap


def test_flip_works_on_a_table_without_map():
    table = np.array([[1 << 2 | 1, 1 << 5]], np.uint16)
    sample = RandomFaceFlip(1.0)({'img': np.zeros((2, 4, 3), np.uint8), 'patch_labels': table})
    np.testing.assert_array_equal(sample['patch_labels'], [[1 << 4, 1 << 3 | 1]])


def test_flip_probability():
    image = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    flip = RandomFaceFlip(0.25)
    flipped = [not np.array_equal(flip({'img': image})['img'], image) for _ in range(2000)]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.03)
    assert RandomFaceFlip(0.0)({'img': image})['img'] is image


def test_crop_and_flip_refuse_what_they_would_spoil():
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="RandomFaceCrop cannot move a sample's 'patch_labels'"):
        RandomFaceCrop(16)({'img': image, 'patch_labels': np.ones((2, 2), np.uint16)})
    for transform in (RandomFaceCrop(16), RandomFaceFlip(1.0)):
        with pytest.raises(ValueError, match="'mask': put the mask transform after it"):
            transform({'img': image, 'mask': np.zeros(4, bool)})


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ResizeFace(16, 'lanczos'), "must be one of .* 'lanczos'"),
        (lambda: RandomFaceCrop(scale=(0.0, 1.0)), 'scale must be a range within'),
        (lambda: RandomFaceCrop(scale=(0.5, 0.4)), 'scale must be a range within'),
        (lambda: RandomFaceCrop(ratio=(0.0, 1.0)), 'ratio must be a range of positive'),
        (lambda: RandomFaceFlip(1.5), r'prob must lie in \[0, 1\], but is 1.5'),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize('shape', [(300, 300), (224, 224), (180, 251), (400, 333)])
def test_central_view_is_torchvisions(shape):
    """Resize to 256 and a central square of 224, as in the published validation; the map moves along."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    labels = np.random.default_rng(1).integers(0, 11, shape, np.uint8)
    found = ResizeFace(224, view='centre')(dict(img=image, parsing_map=labels))
    pil = Resize(256, InterpolationMode.BICUBIC)(Image.fromarray(image))
    expected = np.asarray(CenterCrop(224)(pil)).astype(int)
    assert found['img'].shape == (224, 224, 3) and found['img'].flags.c_contiguous
    assert np.abs(found['img'] - expected).max() <= 3
    assert found['parsing_map'].shape == (224, 224)
    assert not np.array_equal(found['img'], ResizeFace(224)(dict(img=image))['img'])


def test_a_view_that_cannot_be():
    with pytest.raises(ValueError, match=r"view must be one of \('whole', 'centre'\), but is 'center'"):
        ResizeFace(224, view='center')
    with pytest.raises(ValueError, match='cuts out a square'):
        ResizeFace((224, 112), view='centre')
    with pytest.raises(ValueError, match="cannot move a sample's 'patch_labels'"):
        ResizeFace(8, view='centre')(dict(img=np.zeros((9, 9, 3), np.uint8), patch_labels=np.zeros((2, 2))))
