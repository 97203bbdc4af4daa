import cv2
import numpy as np
import pytest
from PIL import Image

from fsfm_mm.datasets.transforms.loading import LoadFace
from fsfm_mm.files.pictures import BrokenSampleError, read_image, read_parsing_map


def picture(height=20, width=30):
    rng = np.random.default_rng(3)
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 2)


def encode(path, image):
    path.write_bytes(cv2.imencode(path.suffix.lower(), image)[1].tobytes())
    return str(path)


@pytest.mark.parametrize('name', ['plain.png', 'mit Leerzeichen und Ünicode 顔.png', 'UPPER.PNG', 'a.bmp'])
def test_lossless_images_come_back_exactly_in_bgr(tmp_path, name):
    image = picture()
    loaded = read_image(encode(tmp_path / name, image))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, image)


@pytest.mark.parametrize('suffix', ['.jpg', '.jpeg', '.webp'])
def test_lossy_images_come_back_nearly(tmp_path, suffix):
    image = picture()
    loaded = read_image(encode(tmp_path / f'a{suffix}', image))
    assert np.abs(loaded.astype(int) - image).mean() < 4


def test_grey_alpha_and_16_bit_become_three_bytes(tmp_path):
    image = picture()
    grey = encode(tmp_path / 'grey.png', image[..., 0])
    np.testing.assert_array_equal(read_image(grey), np.repeat(image[..., :1], 3, axis=2))
    alpha = encode(tmp_path / 'alpha.png', np.dstack([image, np.full(image.shape[:2], 7, np.uint8)]))
    np.testing.assert_array_equal(read_image(alpha), image)
    deep = encode(tmp_path / 'deep.png', image.astype(np.uint16) * 256 + 9)
    np.testing.assert_array_equal(read_image(deep), image)


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # 'rotate by 90 degrees to show'
    path = tmp_path / 'rotated.jpg'
    Image.fromarray(picture(20, 30)).save(path, exif=exif)
    assert read_image(str(path)).shape == (20, 30, 3)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.webp', '.bmp'])
@pytest.mark.parametrize('keep', [0.0, 0.3, 0.7, 0.97])
def test_truncated_image_is_refused(tmp_path, suffix, keep):
    path = tmp_path / f'cut{suffix}'
    encode(path, picture(80, 80))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(BrokenSampleError, match=f'cut{suffix}: cannot be decoded as an image'):
        read_image(str(path))


def test_jpeg_with_an_appendix_is_read(tmp_path):
    path = tmp_path / 'tail.jpg'
    encode(path, picture())
    path.write_bytes(path.read_bytes() + b'\0' * 50)
    assert read_image(str(path)).shape == (20, 30, 3)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(BrokenSampleError, match=r'gone\.png: cannot be read \(No such file'):
        read_image(str(tmp_path / 'gone.png'))
    (tmp_path / 'text.png').write_text('no image at all')
    with pytest.raises(BrokenSampleError, match=r'text\.png: cannot be decoded as an image \(15 bytes'):
        read_image(str(tmp_path / 'text.png'))


LABELS = np.random.default_rng(0).integers(0, 11, (20, 30))


@pytest.mark.parametrize('dtype', [np.int8, np.uint8, np.int32, np.int64])
@pytest.mark.parametrize('shape', [(20, 30), (1, 20, 30)])
def test_npy_map(tmp_path, dtype, shape):
    np.save(tmp_path / 'm.npy', LABELS.astype(dtype).reshape(shape))
    labels = read_parsing_map(str(tmp_path / 'm.npy'))
    assert labels.dtype == np.uint8 and labels.shape == (20, 30)
    np.testing.assert_array_equal(labels, LABELS)


def test_palette_png_map_gives_indices_not_colours(tmp_path):
    palette = Image.fromarray(LABELS.astype(np.uint8))
    palette.putpalette(list(np.random.default_rng(1).integers(50, 256, 768)))
    assert palette.mode == 'P'
    palette.save(tmp_path / 'm.png')
    assert cv2.imread(str(tmp_path / 'm.png'), cv2.IMREAD_UNCHANGED).max() > 10  # what OpenCV would give
    np.testing.assert_array_equal(read_parsing_map(str(tmp_path / 'm.png')), LABELS)


def test_grey_png_map_with_upper_case_extension(tmp_path):
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / 'm.PNG')
    np.testing.assert_array_equal(read_parsing_map(str(tmp_path / 'm.PNG')), LABELS)


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (LABELS.astype(np.float32), 'must hold integers, but holds float32'),
        (LABELS.astype(bool), 'must hold integers, but holds bool'),
        (np.stack([LABELS, LABELS]), r'must have the shape \(H, W\) or \(1, H, W\), but has \(2, 20, 30\)'),
        (np.zeros(7, int), r'but has \(7,\)'),
        (np.zeros((0, 5), int), r'but has \(0, 5\)'),
        (LABELS + 1, r'must lie in 0\.\.10, but range from 1 to 11'),
        (LABELS.astype(np.int8) - 1, r'must lie in 0\.\.10, but range from -1 to 9'),
        (np.full((3, 3), 256), r'range from 256 to 256'),
    ],
)
def test_wrong_npy_map_is_refused(tmp_path, array, message):
    np.save(tmp_path / 'wrong.npy', array)
    with pytest.raises(BrokenSampleError, match=r'wrong\.npy: .*' + message):
        read_parsing_map(str(tmp_path / 'wrong.npy'))


def test_pickled_and_damaged_npy_are_refused(tmp_path):
    path = tmp_path / 'bad.npy'
    np.save(path, np.array([{'a': 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BrokenSampleError, match=r'bad\.npy: is not a readable \.npy array \(Object arrays'):
        read_parsing_map(str(path))
    np.save(path, LABELS)
    whole = path.read_bytes()
    for damaged in (b'', whole[:40], whole[:-5], b'PK' + whole, whole[:40] + b'(' + whole[41:]):
        path.write_bytes(damaged)
        with pytest.raises(BrokenSampleError, match=r'bad\.npy: is not a readable'):
            read_parsing_map(str(path))


def test_colour_and_truncated_png_maps_are_refused(tmp_path):
    encode(tmp_path / 'rgb.png', picture())
    with pytest.raises(BrokenSampleError, match=r'rgb\.png: .*palette or grey PNG.*mode is RGB'):
        read_parsing_map(str(tmp_path / 'rgb.png'))
    path = tmp_path / 'cut.png'
    Image.fromarray(LABELS.astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenSampleError, match=r'cut\.png: cannot be decoded as a PNG parsing map'):
        read_parsing_map(str(path))


def test_load_face_with_without_and_with_empty_map(tmp_path):
    image = encode(tmp_path / 'a.png', picture())
    np.save(tmp_path / 'a.npy', LABELS)
    both = LoadFace()({'img_path': image, 'map_path': str(tmp_path / 'a.npy')})
    np.testing.assert_array_equal(both['img'], picture())
    np.testing.assert_array_equal(both['parsing_map'], LABELS)
    assert 'parsing_map' not in LoadFace()({'img_path': image})
    empty = LoadFace()({'img_path': image, 'map_path': None})['parsing_map']
    assert empty.shape == (20, 30) and empty.dtype == np.uint8 and not empty.any()


def test_map_of_another_size_names_both(tmp_path):
    image = encode(tmp_path / 'a.png', picture())
    np.save(tmp_path / 'a.npy', LABELS[:, :-1])
    with pytest.raises(BrokenSampleError, match=r'a\.npy: .* 29x20 pixels, but its image .*a\.png is 30x20'):
        LoadFace()({'img_path': image, 'map_path': str(tmp_path / 'a.npy')})
