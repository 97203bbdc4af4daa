"""Photos and videos of every origin, whole and broken."""

import os

import cv2
import numpy as np
import pytest
from picture_files import (
    UPRIGHT,
    damage_second_half,
    exif_with,
    number_of,
    png16,
    save,
    smooth_picture,
    turn_video,
    write_video,
)
from PIL import Image

from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.preparation.cutting import reading
from fsfm_mm.preparation.cutting.reading import read_frames, read_picture
from fsfm_mm.preparation.sources.items import FrameChoice

RGB = smooth_picture()
BGR = RGB[:, :, ::-1]
GRAY = RGB[:, :, 0]


def noise():
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)


def same(path, expected, tolerance=0):
    found = read_picture(path)
    assert found.dtype == np.uint8 and found.shape == expected.shape and found.flags['C_CONTIGUOUS']
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize('extension', ['png', 'bmp', 'tif'])
def test_lossless_pictures(tmp_path, extension):
    same(save(tmp_path / f'é p.{extension}', RGB), BGR)
    same(save(tmp_path / f'g.{extension}', GRAY), np.repeat(GRAY[:, :, None], 3, 2))


def test_jpeg_is_decoded_as_pil_does(tmp_path, monkeypatch):
    save(tmp_path / 'c.jpg', RGB, quality=92)
    save(tmp_path / 'p.jpg', RGB, quality=80, progressive=True)
    save(tmp_path / 'g.jpg', GRAY, quality=90)
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            expected = np.array(image.convert('RGB'))[:, :, ::-1]
        same(path, expected)
        with monkeypatch.context() as patch:  # the way without OpenCV
            patch.setattr(reading, '_decode_plain_jpeg', lambda data: None)
            same(path, expected)


@pytest.mark.parametrize('extension', ['jpg', 'png', 'tif', 'webp'])
@pytest.mark.parametrize('orientation', UPRIGHT)
def test_exif_orientation_is_applied(tmp_path, extension, orientation):
    options = {'lossless': True} if extension == 'webp' else {'quality': 95} if extension == 'jpg' else {}
    path = save(tmp_path / f'p.{extension}', RGB, exif=exif_with(orientation), **options)
    same(path, UPRIGHT[orientation](BGR), tolerance=12 if extension == 'jpg' else 0)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    high = (values >> 8).astype(np.uint8)
    (tmp_path / 'g.png').write_bytes(png16(values))
    (tmp_path / 'c.png').write_bytes(png16(np.stack([values, values // 2, values // 4], 2)))
    save(tmp_path / 'g.tif', values)
    cv2.imwrite(str(tmp_path / 'c.tif'), np.stack([values // 4, values // 2, values], 2))
    colours = np.stack([values // 4 >> 8, values // 2 >> 8, high], 2)
    assert high.max() == 251
    same(tmp_path / 'g.png', np.repeat(high[:, :, None], 3, 2))
    same(tmp_path / 'g.tif', np.repeat(high[:, :, None], 3, 2))
    same(tmp_path / 'c.png', colours)
    same(tmp_path / 'c.tif', colours)


def test_cmyk(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8] = [255, 0, 0, 0]  # cyan takes red away
    ink[8:] = [0, 0, 0, 255]
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[:8] = [255, 255, 0]  # BGR
    Image.fromarray(ink, 'CMYK').save(tmp_path / 'p.tif')
    Image.fromarray(ink, 'CMYK').save(tmp_path / 'p.jpg', quality=100)  # with Adobe's marker, stored inverted
    assert b'Adobe' in (tmp_path / 'p.jpg').read_bytes()
    same(tmp_path / 'p.tif', expected)
    same(tmp_path / 'p.jpg', expected, tolerance=3)
    Image.fromarray(np.dstack([noise(), noise()[:, :, 0]]), 'CMYK').save(tmp_path / 'n.jpg')
    with Image.open(tmp_path / 'n.jpg') as image:
        same(tmp_path / 'n.jpg', np.array(image.convert('RGB'))[:, :, ::-1])


def test_opencv_is_not_asked_about_a_cut_jpeg(tmp_path, monkeypatch):
    """Some of its versions fill the missing part with grey."""
    path = save(tmp_path / 'p.jpg', noise())
    monkeypatch.setattr(cv2, 'imdecode', lambda data, flags: np.full((64, 80, 3), 128, np.uint8))
    assert read_picture(path).max() == 128
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BrokenSampleError, match='truncated'):
        read_picture(path)


def test_transparent_parts_are_white(tmp_path):
    rgba = np.dstack([RGB, np.zeros_like(GRAY)])
    rgba[:24, :, 3] = 255
    rgba[24:30, :, 3] = 51
    expected = BGR.astype(float)
    expected[24:] = 255
    expected[24:30] = BGR[24:30] * 0.2 + 255 * 0.8
    same(save(tmp_path / 'p.png', rgba), np.round(expected), tolerance=1)
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), 'P')
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / 'q.png', transparency=1)
    same(tmp_path / 'q.png', np.array([[[30, 20, 10], [255, 255, 255], [90, 80, 70]]]))


def test_palette_bilevel_and_first_of_several(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), 'P')
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.save(tmp_path / 'p.png')
    same(tmp_path / 'p.png', np.array([[[30, 20, 10], [50, 100, 200]], [[50, 100, 200], [30, 20, 10]]]))
    Image.fromarray(GRAY > 127).save(tmp_path / 'b.png')
    same(tmp_path / 'b.png', np.repeat((GRAY > 127)[:, :, None] * 255, 3, 2))
    second = Image.fromarray(255 - RGB)
    for extension in ('tif', 'png', 'webp'):
        path = tmp_path / f'm.{extension}'
        lossless = {'lossless': True} if extension == 'webp' else {}
        Image.fromarray(RGB).save(path, save_all=True, append_images=[second], **lossless)
        same(path, BGR)


def test_the_content_counts_not_the_name(tmp_path):
    same(save(tmp_path / 'p.png', RGB).rename(tmp_path / 'p.jpg'), BGR)
    (tmp_path / 'e.jpg').write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n')
    with pytest.raises(BrokenSampleError, match=r'e.jpg: is not a picture'):
        read_picture(tmp_path / 'e.jpg')


def test_one_pixel(tmp_path):
    pixel = np.array([[[1, 2, 3]]], np.uint8)
    same(save(tmp_path / 'p.png', pixel), pixel[:, :, ::-1])


@pytest.mark.parametrize('name', ['b.jpg', 'p.jpg', 'x.png', 'x.bmp', 'x.tif', 'x.webp'])
def test_cut_pictures_are_never_filled_up(tmp_path, name):
    path = save(tmp_path / name, noise(), **({'progressive': True} if name == 'p.jpg' else {}))
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.02, 0.3, 0.5, 0.8, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BrokenSampleError, match=rf'{name}: (cannot be decoded|is not) a?s? ?a picture'):
            read_picture(path)


def test_a_cut_jpeg_with_a_thumbnail(tmp_path):
    exif = exif_with(1)
    save(tmp_path / 'thumbnail.jpg', RGB[::4, ::4])
    thumbnail = (tmp_path / 'thumbnail.jpg').read_bytes()
    whole = save(tmp_path / 'p.jpg', noise(), exif=exif.tobytes() + thumbnail).read_bytes()
    assert whole.count(b'\xff\xd9') == 2
    assert read_picture(tmp_path / 'p.jpg').shape == (64, 80, 3)
    (tmp_path / 'p.jpg').write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(BrokenSampleError, match='truncated'):
        read_picture(tmp_path / 'p.jpg')


def test_what_follows_a_jpeg_does_no_harm(tmp_path):
    """Phones append a film, whose bytes may look like the start of a scan."""
    path = save(tmp_path / 'p.jpg', RGB, quality=95)
    expected = read_picture(path)
    path.write_bytes(path.read_bytes() + b'....\xff\xda....')
    same(path, expected)


def test_damaged_bytes_raise_nothing_else(tmp_path):
    generator = np.random.default_rng(1)
    for name in ('x.jpg', 'x.png', 'x.tif', 'x.webp'):
        whole = save(tmp_path / name, RGB, exif=exif_with(6)).read_bytes()
        for _ in range(60):
            content = np.frombuffer(whole, np.uint8).copy()
            places = generator.integers(0, len(content), 5)
            content[places] = generator.integers(0, 256, 5)
            (tmp_path / name).write_bytes(content.tobytes())
            try:
                assert read_picture(tmp_path / name).shape[2] == 3
            except BrokenSampleError as error:
                assert str(tmp_path / name) in str(error)


def test_refused_files(tmp_path):
    for path, message in (
        (tmp_path / 'missing.jpg', r'missing.jpg: cannot be read \(No such file'),
        (tmp_path, 'is not a file'),
        (save(tmp_path / 'f.tif', RGB[:, :, 0].astype(np.float32)), 'have 32 bits'),
    ):
        with pytest.raises(BrokenSampleError, match=message):
            read_picture(path)
    os.mkfifo(tmp_path / 'pipe.jpg')
    for read in (read_picture, lambda path: list(read_frames(path, FrameChoice()))):
        with pytest.raises(BrokenSampleError, match=r'pipe.jpg: is not a file'):
            read(tmp_path / 'pipe.jpg')


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    path = save(tmp_path / 'p.png', RGB)
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', str(48 * 64))
    assert read_picture(path).shape == (48, 64, 3)
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', str(48 * 64 - 1))
    with pytest.raises(BrokenSampleError, match='has 64x48 pixels, more than the 3071 allowed'):
        read_picture(path)
    with pytest.raises(BrokenSampleError, match='has 64x48 pixels, more than the 3071 allowed'):
        read_picture(save(tmp_path / 'p.tif', RGB))
    monkeypatch.delenv('FSFM_MM_MAX_PIXELS')
    # a header of 60000 x 60000 and nothing behind it
    content = bytearray(path.read_bytes())
    content[16:24] = (60000).to_bytes(4, 'big') * 2
    path.write_bytes(content)
    with pytest.raises(BrokenSampleError):
        read_picture(path)


def test_names_that_are_no_utf8(tmp_path):
    bad = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9')
    save(tmp_path / 'p.png', RGB).rename(f'{bad}.png')
    write_video(tmp_path / 'v.mp4').rename(f'{bad}.mp4')
    same(f'{bad}.png', BGR)
    assert numbers(f'{bad}.mp4', FrameChoice('stride', 9)) == [0, 9, 18]
    with pytest.raises(BrokenSampleError) as caught:
        read_picture(f'{bad}.jpg')
    assert 'caf\\xe9.jpg: ' in str(caught.value).encode().decode()


def numbers(path, choice):
    """Numbers of the frames that are read, which are also what their pixels say."""
    found = list(read_frames(path, choice))
    assert [index for index, _ in found] == [number_of(frame) for _, frame in found]
    assert all(frame.dtype == np.uint8 and frame.shape[2] == 3 for _, frame in found)
    return [index for index, _ in found]


@pytest.mark.parametrize(
    'name, codec', [('v.mp4', 'mp4v'), ('v.avi', 'MJPG'), ('v.mkv', 'mp4v'), ('v.mov', 'mp4v')]
)
def test_exactly_the_chosen_frames(tmp_path, name, codec):
    path = write_video(tmp_path / name, codec=codec)
    assert numbers(path, FrameChoice('count', 3)) == [0, 9, 19]
    assert numbers(path, FrameChoice('count', 50)) == list(range(20))
    assert numbers(path, FrameChoice('middle', 4)) == [2, 7, 12, 17]
    assert numbers(path, FrameChoice('stride', 7)) == [0, 7, 14]
    assert numbers(path, FrameChoice('all')) == list(range(20))


def test_frames_are_spread_when_the_stated_number_is_too_small(tmp_path):
    path = write_video(tmp_path / 'v.mpg', codec='mpg1')
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 1  # this container states none, and OpenCV guesses
    video.release()
    assert numbers(path, FrameChoice('count', 3)) == [0, 9, 19]


def test_large_frames_are_not_held_back(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'v.mp4')
    monkeypatch.setattr(reading, '_HELD_BYTES', 3 * 64 * 48 * 3 - 1)
    assert numbers(path, FrameChoice('count', 3)) == [0, 9, 19]


@pytest.mark.parametrize('held', [0, 1 << 28])
def test_a_video_that_breaks_off(tmp_path, monkeypatch, held):
    """What can be read comes first, spread anew over it; then the error names the place."""
    monkeypatch.setattr(reading, '_HELD_BYTES', held)
    path = damage_second_half(write_video(tmp_path / 'v.mp4', 24), tmp_path / 'd.mp4')
    readable = []
    with pytest.raises(
        BrokenSampleError, match=r'd.mp4: breaks off after frame \d+, 24 frames are stated'
    ) as caught:
        readable += (index for index, _ in read_frames(path, FrameChoice('all')))
    count = len(readable)
    assert 8 < count < 22 and readable == list(range(count))
    assert f'after frame {count - 1}, ' in str(caught.value)
    spread = []
    with pytest.raises(BrokenSampleError, match=f'after frame {count - 1}, '):
        spread += (index for index, _ in read_frames(path, FrameChoice('count', 4)))
    assert spread == FrameChoice('count', 4).indices(count).tolist()


def test_rotation_is_applied(tmp_path):
    path = turn_video(write_video(tmp_path / 'v.mp4'), tmp_path / 'turned.mp4')
    (_, upright), *_ = read_frames(tmp_path / 'v.mp4', FrameChoice('all'))
    (_, turned), *_ = read_frames(path, FrameChoice('all'))
    assert upright.shape == (48, 64, 3)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


def test_broken_videos(tmp_path):
    whole = write_video(tmp_path / 'v.mp4').read_bytes()
    for content in (b'', b'not a video' * 90, whole[:40], whole[: len(whole) // 2]):
        (tmp_path / 'v.mp4').write_bytes(content)
        with pytest.raises(
            BrokenSampleError, match=rf'v.mp4: cannot be opened as a video \({len(content)} bytes'
        ):
            list(read_frames(tmp_path / 'v.mp4', FrameChoice()))
    with pytest.raises(BrokenSampleError, match=r'm.mp4: cannot be read \(No such'):
        list(read_frames(tmp_path / 'm.mp4', FrameChoice()))


def test_names_that_look_like_addresses_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a:b.mp4', 'v_%03d.mp4', 'é v.mp4'):
        write_video(tmp_path / 'v.mp4').rename(tmp_path / name)
        assert numbers(name, FrameChoice('count', 2)) == [0, 19]
