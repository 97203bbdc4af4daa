import hashlib
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from face_writing import face, files, write

from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.settings import build_writer
from fsfm_mm.preparation.writers.packed import PackedWriter


def test_files_of_the_raw_encoding(tmp_path):
    records = write(PackedWriter('raw', patch_size=8), tmp_path)
    folder = tmp_path / 'packed'
    names = [
        'faces-000000.npy',
        'faces-000000.raw',
        'faces-000001.npy',
        'faces-000001.raw',
        'faces-000002.npy',
    ]
    names += ['faces-000002.raw', 'index.npy', 'keys.txt', 'labels.npy', 'packed.json']
    assert sorted(files(folder)) == names
    pixels = np.fromfile(folder / 'faces-000000.raw', np.uint8).reshape(3, 3, 32, 32)
    for i in range(3):
        np.testing.assert_array_equal(pixels[i], face(i).image[..., ::-1].transpose(2, 0, 1))  # RGB planes
    index = np.load(folder / 'index.npy', allow_pickle=False)
    assert index.dtype == np.int64 and index.tolist() == [
        [0, 0, 3072],
        [0, 3072, 3072],
        [0, 6144, 3072],
        [2, 0, 3072],
    ]
    labels = np.load(folder / 'labels.npy', allow_pickle=False)
    assert labels.dtype == np.uint16 and labels.shape == (4, 16)
    for i in range(4):
        np.testing.assert_array_equal(labels[i].reshape(4, 4), patch_labels(face(i).labels, 8))
    assert (folder / 'keys.txt').read_text() == 'f0\nf1\nf2\nf3\n'
    assert json.loads((folder / 'packed.json').read_text()) == dict(
        encoding='raw',
        size=32,
        patch_size=8,
        faces=4,
        chunk_bytes=[9216, 0, 3072],
        format='fsfm_mm packed faces',
        version=1,
    )
    assert [r.file for r in records] == ['f0', 'f1', 'f2', None, None, 'f3', None]
    assert (
        records[1].map == 'packed/labels.npy'
        and records[1].sha256 == hashlib.sha256(pixels[1].tobytes()).hexdigest()
    )


def test_files_of_the_jpeg_encoding(tmp_path):
    records = write(PackedWriter('jpeg', quality=90), tmp_path)
    folder = tmp_path / 'packed'
    index = np.load(folder / 'index.npy', allow_pickle=False)
    data = (folder / 'faces-000000.jpg.bin').read_bytes()
    assert index[:3, 1].tolist() == [0, *np.cumsum(index[:2, 2])] and index[:3, 2].sum() == len(data)
    for i in range(3):
        part = data[index[i, 1] : index[i, 1] + index[i, 2]]
        assert part[:2] == b'\xff\xd8' and part[-2:] == b'\xff\xd9'
        assert hashlib.sha256(part).hexdigest() == records[i].sha256
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            90,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        assert part == cv2.imencode('.jpg', face(i).image, options)[1].tobytes()
    assert (folder / 'faces-000001.jpg.bin').stat().st_size == 0


@pytest.mark.parametrize('encoding', ['raw', 'jpeg'])
def test_the_same_bytes_twice_in_any_order(tmp_path, encoding):
    writer = PackedWriter(encoding, patch_size=8)
    write(writer, tmp_path / 'a')
    before = files(tmp_path / 'a/packed')
    write(writer, tmp_path / 'a')  # over what is there
    assert files(tmp_path / 'a/packed') == before
    records = {}
    for number, chunk in ((2, (3,)), (0, (0, 1, 2)), (1, ())):
        faces = [face(i) for i in chunk]
        writer.write_chunk(tmp_path / 'b', number, faces)
        records[number] = [one.record for one in faces]
    writer.finish(tmp_path / 'b', 3, records[0] + records[1] + records[2])
    assert files(tmp_path / 'b/packed') == before


def test_no_face_at_all(tmp_path):
    write(PackedWriter(), tmp_path, ((), ()))
    assert np.load(tmp_path / 'packed/index.npy').shape == (0, 3)
    PackedWriter().finish(tmp_path / 'none', 0, [])
    assert json.loads((tmp_path / 'none/packed/packed.json').read_text())['faces'] == 0


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    writer = PackedWriter('raw', patch_size=8)
    writer.write_chunk(tmp_path, 0, [face(0)])
    before = files(tmp_path / 'packed')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='No space left'):
        writer.write_chunk(tmp_path, 0, [face(1)])
    assert files(tmp_path / 'packed') == before


def test_chunks_of_different_runs_are_not_joined(tmp_path):
    small, large = PackedWriter('raw', patch_size=8), PackedWriter('raw', patch_size=16)
    faces = [face(0), face(1)]
    small.write_chunk(tmp_path, 0, faces[:1])
    large.write_chunk(tmp_path, 1, faces[1:])
    with pytest.raises(
        ValueError, match=r'hold 2 faces of \(size, patches a side\) \[\(32, 2\), \(32, 4\)\], the manifest 2'
    ):
        small.finish(tmp_path, 2, [one.record for one in faces])
    shutil.rmtree(tmp_path / 'packed')
    write(small, tmp_path)
    with pytest.raises(ValueError, match=r'hold 4 faces .* the manifest 1 faces'):
        small.finish(tmp_path, 3, [FaceRecord(source='x', file='x')])


def test_faces_that_cannot_be_packed_together(tmp_path):
    writer = PackedWriter(patch_size=8)
    for faces, message in [
        (
            [face(0), face(1, 64)],
            'f1: a packed set holds square faces of one size, but this one is 64x64 and f0 is 32x32',
        ),
        ([face(0, 28)], 'f0: its 28 pixels cannot be cut into patches of 8'),
        ([face(0), face(1, with_map=False)], 'f0 and f1: only one of the two has a map'),
    ]:
        with pytest.raises(ValueError, match=message):
            writer.write_chunk(tmp_path, 0, faces)
    wide = face(0)
    wide.image = wide.image[:16]
    with pytest.raises(ValueError, match='but this one is 32x16'):
        writer.write_chunk(tmp_path, 0, [wide])


def test_keys_stay_one_a_line(tmp_path):
    faces = [face(0, key='a\nb'), face(1, key='Zoë 1'), face(2, key='half \udcff')]
    writer = PackedWriter(patch_size=8)
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    assert (tmp_path / 'packed/keys.txt').read_text(encoding='utf-8') == 'a\\nb\nZoë 1\nhalf \\udcff\n'


def test_arguments():
    assert build_writer(dict(type='packed', encoding='raw', quality=90)).encoding == 'raw'
    for arguments, message in [
        (dict(encoding='png'), "encoding must be one of raw, jpeg, found 'png'"),
        (dict(quality=0), 'quality must lie within 1 and 100, found 0'),
        (dict(patch_size=0), 'patch_size must be 1 or more, found 0'),
    ]:
        with pytest.raises(ValueError, match=message):
            PackedWriter(**arguments)
