"""Turned, blurred, tiny and doubled faces, and labels that folders contradict."""

import cv2
import numpy as np
import pytest
from checked_sets import drawn, labelled_set, pretraining_set, write_map, write_picture

from fsfm_mm.doctor.faces import BLURRED, roll_of_landmarks
from fsfm_mm.doctor.labelled import check_labelled
from fsfm_mm.doctor.pretraining import check_pretraining
from fsfm_mm.doctor.scanning import detail_of, roll_of
from fsfm_mm.preparation.manifest import FaceRecord

#: Five landmarks of an upright face: eyes, nose, corners of the mouth.
POINTS = np.array([[30.0, 40.0], [60.0, 40.0], [45.0, 55.0], [35.0, 70.0], [55.0, 70.0]])


def found(root):
    report, _ = check_pretraining(str(root), progress=False)
    return {(f.level, f.check): list(f.files) for f in report.findings if f.check.endswith('face')}


@pytest.mark.parametrize(('code', 'degrees'), [(0, 90), (1, 180), (2, -90)])
def test_turned_faces_are_told_by_their_maps(tmp_path, code, degrees):
    image, labels = drawn(3)
    assert abs(roll_of(labels)) < 25
    assert abs((roll_of(cv2.rotate(labels, code)) - roll_of(labels) - degrees + 180) % 360 - 180) < 3
    pretraining_set(tmp_path)
    write_picture(tmp_path / 'images/lying.png', cv2.rotate(image, code))
    write_map(tmp_path / 'parsing_maps/lying.npy', cv2.rotate(labels, code))
    assert found(tmp_path) == {('warning', 'turned face'): ['lying.png']}
    assert np.isnan(roll_of(np.ones((8, 8), np.uint8)))


def test_blurred_and_tiny_faces(tmp_path):
    pretraining_set(tmp_path, size=96)
    for name, number, change in (
        ('soft', 20, lambda image: cv2.GaussianBlur(image, (0, 0), 0.03 * 96)),
        ('enlarged', 21, lambda image: cv2.resize(cv2.resize(image, (20, 20), interpolation=3), (96, 96))),
        ('small', 22, lambda image: image[:24, :24]),
    ):
        image, labels = drawn(number, 96)
        write_picture(tmp_path / f'images/{name}.png', change(image))
        write_map(tmp_path / f'parsing_maps/{name}.npy', labels[:24, :24] if name == 'small' else labels)
    assert found(tmp_path) == {
        ('note', 'blurred face'): ['enlarged.png', 'soft.png'],
        ('note', 'tiny face'): ['small.png'],
    }
    assert detail_of(drawn(20, 96)[0]) > 2 * BLURRED


def test_the_manifest_tells_of_turned_tiny_and_doubled_faces(tmp_path):
    pretraining_set(tmp_path)
    lying = (POINTS - 50) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 50
    assert abs(roll_of_landmarks(POINTS.tolist())) < 1 and abs(roll_of_landmarks(lying.tolist()) - 90) < 1
    boxes = [[0, 0, 80, 90], [4, 2, 82, 95], [90, 0, 170, 90], [0, 0, 20, 22], [0, 0, 80, 90], [0, 0, 80, 90]]
    sources = ['group.jpg'] * 3 + ['far.jpg', 'lying.jpg', 'other.jpg']
    lines = [
        FaceRecord(
            source,
            box=list(map(float, box)),
            landmarks=(lying if source == 'lying.jpg' else POINTS).tolist(),
            file=f'images/sub/f{number}.png',
            map=f'parsing_maps/sub/f{number}.npy',
        ).to_json()
        for number, (source, box) in enumerate(zip(sources, boxes))
    ]
    (tmp_path / 'manifest.jsonl').write_text('\n'.join(lines) + '\n')
    assert found(tmp_path) == {
        ('warning', 'doubled face'): ['images/sub/f1.png = images/sub/f0.png'],
        ('warning', 'turned face'): ['images/sub/f4.png'],
        ('note', 'tiny face'): ['images/sub/f3.png: 20x22 pixels in far.jpg'],
    }


def test_folders_that_contradict_the_label(tmp_path):
    labelled_set(
        tmp_path,
        {
            'train/real': ['a'],
            'train/fake_x': ['b'],
            'train/real/fake_y': ['c'],
            'train/fake/real_and_fake': ['d'],
        },
    )
    report, _ = check_labelled(str(tmp_path), 'deepfake', progress=False)
    files = {f.check: f.files for f in report.findings if f.level == 'warning'}
    assert list(files) == ['contradicting folder']
    assert [file.partition(': ')[2] for file in files['contradicting folder']] == [
        'real, but its folder says fake'
    ] * 2
    assert all(file.startswith('train/real/fake_y/c_frame_') for file in files['contradicting folder'])
