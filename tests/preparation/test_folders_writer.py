"""Prepared faces as plain files."""

import json

import cv2
import numpy as np
import pytest
from engine_fakes import picture, tree

from fsfm_mm.datasets import FaceParsingDataset
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.writers.base import PreparedFace
from fsfm_mm.preparation.writers.folders import FoldersWriter, encode_image


def face(key, seed=0, with_map=True):
    labels = np.random.default_rng(seed).integers(0, 11, (32, 32)).astype(np.uint8)
    return PreparedFace(key, picture(seed, 32), labels if with_map else None, FaceRecord(f'{key}.jpg'))


@pytest.mark.parametrize('map_format', ['npy', 'png'])
def test_training_reads_what_was_written(tmp_path, map_format):
    faces = [face('a/ü 1', 1), face('b', 2)]
    FoldersWriter(map_format=map_format).write_chunk(tmp_path, 0, faces)
    dataset = FaceParsingDataset(str(tmp_path), pipeline=[dict(type='LoadFace')])
    for sample, expected in zip(dataset, faces, strict=True):
        np.testing.assert_array_equal(sample['img'], expected.image)
        np.testing.assert_array_equal(sample['parsing_map'], expected.labels)
    assert faces[0].record.file == 'images/a/ü 1.png'
    assert faces[0].record.map == f'parsing_maps/a/ü 1.{map_format}'
    assert all(one.record.sha256 == tree(tmp_path)[one.record.file] for one in faces)


def test_npy_maps_are_the_published_kind(tmp_path):
    one = face('x')
    FoldersWriter().write_chunk(tmp_path, 0, [one])
    labels = np.load(tmp_path / 'parsing_maps' / 'x.npy')
    assert labels.dtype == np.int8 and labels.shape == (1, 32, 32)
    np.testing.assert_array_equal(labels[0], one.labels)


def test_jpeg_quality(tmp_path):
    smooth = cv2.GaussianBlur(picture(3, 64), (0, 0), 3)
    sizes, errors = {}, {}
    for quality in (50, 95):
        one = PreparedFace(str(quality), smooth, None, FaceRecord('x.png'))
        FoldersWriter(image_format='jpeg', quality=quality).write_chunk(tmp_path, 0, [one])
        path = tmp_path / 'images' / f'{quality}.jpg'
        sizes[quality] = path.stat().st_size
        errors[quality] = np.abs(cv2.imread(str(path)).astype(int) - smooth).max()
    assert sizes[50] < sizes[95] and errors[95] <= 6 < errors[50]


def test_images_directly_below_the_output(tmp_path):
    """As the downstream sets lie: ``train/real/name.png``."""
    one = face('train/real/000_frame_7', with_map=False)
    FoldersWriter(image_folder='').write_chunk(tmp_path, 0, [one])
    assert set(tree(tmp_path)) == {'train', 'train/real', 'train/real/000_frame_7.png'}
    assert one.record.file == 'train/real/000_frame_7.png' and one.record.map is None


def test_a_name_that_the_disk_does_not_take_costs_one_face(tmp_path):
    faces = [face('n' * 300), face('fine')]
    FoldersWriter().write_chunk(tmp_path, 0, faces)
    record = faces[0].record
    assert record.status == 'unwritable' and 'File name too long' in record.message
    assert json.loads(record.to_json())['file'] is None
    assert faces[1].record.status == 'ok' and (tmp_path / 'images' / 'fine.png').is_file()


def test_the_same_faces_give_the_same_bytes(tmp_path):
    for folder in ('a', 'b'):
        FoldersWriter(image_format='jpeg').write_chunk(tmp_path / folder, 0, [face('x', 1), face('y', 2)])
    assert tree(tmp_path / 'a') == tree(tmp_path / 'b')


def test_colour_resolution_of_jpeg():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, ::2, 2] = 255  # red and black columns, one pixel wide
    full, half = (encode_image(image, '.jpg', 95, chroma) for chroma in ('4:4:4', '4:2:0'))
    error = [
        np.abs(cv2.imdecode(np.frombuffer(b, np.uint8), 1).astype(int) - image).mean() for b in (full, half)
    ]
    assert error[0] < 8 < 30 < error[1] and len(half) < len(full)
    with pytest.raises(ValueError, match="chroma must be one of 4:4:4, 4:2:0, found '4:1:1'"):
        FoldersWriter(chroma='4:1:1')
