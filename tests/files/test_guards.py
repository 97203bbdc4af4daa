"""Special files and bombs: every reader of pictures and maps says no before it waits or makes room."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from fsfm_mm.datasets.transforms import LoadFace
from fsfm_mm.doctor.scanning import FileSource
from fsfm_mm.files.picture_headers import max_pixels, size_in_header
from fsfm_mm.files.pictures import BrokenSampleError, decode_image, read_image, read_parsing_map
from fsfm_mm.preparation.cutting.reading import read_picture
from fsfm_mm.statistics import compute_statistics

#: Of each: how it is written. Sizes of 2x1 and 3x5 to 6200x8192: a row, and more than the limit.
WRITERS = {
    'JPEG': {},
    'progressive JPEG': dict(format='JPEG', progressive=True),
    'PNG': {},
    'lossless WebP': dict(format='WEBP', lossless=True),
    'WebP': dict(format='WEBP'),
    'WebP with transparency': dict(format='WEBP', mode='RGBA'),
    'BMP': {},
    'GIF': dict(mode='P'),
}
#: Measured in a process of its own: what a reader needs beyond what importing it does, in MiB.
PROBE = """
import json, resource, sys
from fsfm_mm.files.pictures import read_image, read_parsing_map
from fsfm_mm.preparation.cutting.reading import read_picture

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

found = {}
for path in sys.argv[1:]:
    for read in (read_image, read_picture, read_parsing_map):
        before = peak()
        try:
            shape = read(path).shape
        except ValueError as error:
            shape = str(error)
        found[f'{read.__name__} {path}'] = shape, peak() - before
print(json.dumps(found))
"""


def picture(name, size):
    arguments = {'format': name, 'mode': 'RGB', **WRITERS[name]}
    stream = io.BytesIO()
    Image.new(arguments.pop('mode'), size).save(stream, **arguments)
    return stream.getvalue()


def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png(width, height, rows=b''):
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


@pytest.mark.parametrize('name', WRITERS)
@pytest.mark.parametrize('size', [(1, 1), (2, 1), (3, 5), (300, 257)])
def test_sizes_in_headers(name, size):
    data = picture(name, size)
    assert size_in_header(data) == size
    for end in range(len(data) if size == (3, 5) else 0):
        assert size_in_header(data[:end]) in (None, size)


def test_other_files_say_no_size():
    for data in (
        b'',
        b'\xff\xd8',
        b'\xff\xd8\xff\xd9',
        b'BM',
        b'II*\0' + bytes(99),
        b'RIFF1234WEBPVP8 ',
        bytes(99),
    ):
        assert size_in_header(data) is None
    assert size_in_header(b'BM' + bytes(12) + struct.pack('<Iii', 40, 7, -9)) == (7, 9)
    assert size_in_header(b'BM' + bytes(12) + struct.pack('<IHH', 12, 7, 9) + bytes(4)) == (7, 9)
    # markers that stand alone, fill bytes, and a comment that holds what looks like a frame
    frame = b'\xff\xc2' + struct.pack('>HBHH', 11, 8, 9, 7) + bytes(9)
    comment = b'\xff\xfe' + struct.pack('>H', 2 + len(frame)) + frame.replace(b'\x07', b'\x63')
    assert size_in_header(b'\xff\xd8\xff\xd0' + comment + b'\x00\xff\xff' + frame[1:]) == (7, 9)


@pytest.mark.parametrize('read', [read_image, read_picture])
@pytest.mark.parametrize('name', WRITERS)
def test_too_many_pixels(tmp_path, monkeypatch, read, name):
    path = str(tmp_path / 'a picture')
    (tmp_path / 'a picture').write_bytes(picture(name, (40, 30)))
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', '1200')
    assert read(path).shape == (30, 40, 3)
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', '1199')
    with pytest.raises(BrokenSampleError, match='a picture: has 40x30 pixels, more than the 1199 allowed'):
        read(path)


@pytest.mark.parametrize('text', ['', '0', '-5', '1e6', 'many', '9' * 40])
def test_the_setting(monkeypatch, text):
    monkeypatch.setenv('FSFM_MM_MAX_PIXELS', text)
    if not text:
        assert max_pixels() == 8192 * 6144
        return
    with pytest.raises(ValueError, match='FSFM_MM_MAX_PIXELS must be a whole number of pixels'):
        max_pixels()


def test_memory_of_bombs(tmp_path):
    """What is refused costs nothing: 900 million pixels, a damaged length, files of holes."""
    whole = picture('PNG', (64, 64))
    damaged = bytearray(whole)
    place = damaged.index(b'IDAT') - 4
    damaged[place : place + 4] = (0x7FFFFFF0).to_bytes(4, 'big')
    extra = bytearray(whole[:33] + chunk(b'iCCP', bytes(20)) + whole[33:])
    extra[33:37] = (0x7FFFFFF0).to_bytes(4, 'big')
    packer = zlib.compressobj(9)
    rows = b''.join([*(packer.compress(bytes(30_001 * 100)) for _ in range(300)), packer.flush()])
    contents = {
        'bomb.png': png(30_000, 30_000, rows),
        'damaged.png': bytes(damaged),
        'extra.png': bytes(extra),
    }
    contents['wide.gif'] = b'GIF89a' + struct.pack('<HH', 65535, 65535) + bytes(50)
    contents['wide.bmp'] = b'BM' + bytes(12) + struct.pack('<Iii', 40, 60_000, -60_000) + bytes(100)
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    for name in ('holes.jpg', 'holes.npy'):
        with open(tmp_path / name, 'wb') as file:
            file.write(whole)
            file.truncate(1 << 40)
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, '-c', PROBE, *paths], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == 3 * len(paths)
    for what, (shape, grown) in found.items():
        assert grown < 40, f'{what} took {grown} MiB'
        if 'read_picture' in what and ('damaged' in what or 'extra' in what):
            continue  # PIL passes over such a length
        assert isinstance(shape, str) and len(shape) < 400, what


def test_jpegs_that_never_end(tmp_path):
    data = picture('progressive JPEG', (64, 64))
    scan = data.rindex(b'\xff\xda')
    (tmp_path / 'a.jpg').write_bytes(data[:scan] + data[scan:-2] * 200 + b'\xff\xd9')
    for read in (read_image, read_picture):
        with pytest.raises(BrokenSampleError, match='too many scans'):
            read(str(tmp_path / 'a.jpg'))


def test_pngs_that_never_end(tmp_path, monkeypatch):
    """Of 64x64 pixels with gigabytes of zeros behind them; whole ones are read, however large."""
    monkeypatch.setattr('fsfm_mm.files.picture_headers._QUICK', 1 << 24)
    (tmp_path / 'a.png').write_bytes(png(64, 64, zlib.compress(b'\0' * (1 << 26))))
    for read in (read_image, read_picture, read_parsing_map):
        with pytest.raises(BrokenSampleError, match='holds more than its pixels'):
            read(str(tmp_path / 'a.png'))
    whole = np.random.default_rng(0).integers(0, 65536, (300, 300, 4), np.uint16)
    cv2.imwrite(str(tmp_path / 'b.png'), whole)
    assert (tmp_path / 'b.png').stat().st_size * 1032 > 1 << 24
    assert read_image(str(tmp_path / 'b.png')).shape == (300, 300, 3)


@pytest.mark.parametrize('ending', ['png', 'npy'])
def test_maps_of_another_size_are_not_decoded(tmp_path, ending):
    (tmp_path / 'image.png').write_bytes(picture('PNG', (32, 24)))
    path = tmp_path / f'map.{ending}'
    if ending == 'png':  # nothing in it can be decoded
        path.write_bytes(png(7000, 7000, b'no pixels'))
    else:
        with open(path, 'wb') as file:
            np.lib.format.write_array_header_1_0(
                file, {'descr': '|i1', 'fortran_order': False, 'shape': (7000, 7000)}
            )
            file.truncate(file.tell() + 7000 * 7000)
    sample = {'img_path': str(tmp_path / 'image.png'), 'map_path': str(path)}
    told = (
        '7000x7000 pixels, but its image .* is 32x24' if ending == 'png' else 'more than the .* that are read'
    )
    with pytest.raises(BrokenSampleError, match=told):
        LoadFace().transform(sample)
    opened = FileSource(['image.png'], [sample['img_path']], [str(path)]).read(0)
    assert opened.labels is None and opened.image is not None
    assert [check for check, _ in opened.problems] == ['size mismatch' if ending == 'png' else 'unusable map']


@pytest.mark.parametrize('kind', ['fifo', 'zero', 'folder', 'socket', 'circle', 'full'])
@pytest.mark.parametrize('name', ['x.jpg', 'x.png', 'x.npy'])
def test_special_files(tmp_path, kind, name):
    path = str(tmp_path / name)
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'socket':
        os.mknod(path, 0o140600)
    elif kind == 'folder':
        os.mkdir(path)
    else:
        os.symlink({'zero': '/dev/zero', 'full': '/dev/full', 'circle': name}[kind], path)
    for read in (read_image, read_picture, read_parsing_map):
        with pytest.raises(BrokenSampleError, match=rf'{name}: (is not a file|cannot be read)'):
            read(path)
    with pytest.raises(ValueError, match='None of 1 images is readable'):
        compute_statistics([path], 8, 'area', 0)


def test_libpng_tells_no_names_of_a_file(capfd):
    """Its warning about a long colour profile has the profile's name raw, which can set a terminal's title."""
    profile = b'\x1b]0;title\x07\0\0' + zlib.compress(b'a' * 300_000)
    part = len(profile).to_bytes(4, 'big') + b'iCCP' + profile
    part += zlib.crc32(part[4:]).to_bytes(4, 'big')
    plain = cv2.imencode('.png', np.full((8, 8, 3), 7, np.uint8))[1].tobytes()
    assert (decode_image(plain[:33] + part + plain[33:], 'x.png') == 7).all()
    assert '\x1b' not in ''.join(capfd.readouterr())
