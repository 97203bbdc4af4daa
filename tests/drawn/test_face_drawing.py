"""Drawn faces: determinism, labels where a face has them, labels where the picture shows them."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fsfm_mm
from fsfm_mm.drawn.face_drawing import draw_face, render
from fsfm_mm.drawn.params import HAIR_VOLUMES, sample_params
from fsfm_mm.regions import HAIR, LABEL_NAMES, SKIN

RIGHT_BROW, LEFT_BROW, RIGHT_EYE, LEFT_EYE, NOSE, UPPER_LIP, INNER_MOUTH, LOWER_LIP = range(2, 10)
COUNT, SIZE = 64, 96


@pytest.fixture(scope='module')
def faces():
    return [draw_face(index, SIZE) for index in range(COUNT)]


def middle(labels, *values):
    """Mean (x, y) of the pixels with one of the labels."""
    rows, columns = np.nonzero(np.isin(labels, values))
    return np.array([columns.mean(), rows.mean()])


def upright(index, **changes):
    """Parameters of a face without turn, tilt, glasses, blur or noise, with a plain pose."""
    plain = dict.fromkeys(('yaw', 'pitch', 'roll', 'shift_x', 'shift_y', 'glasses', 'blur', 'noise'), 0.0)
    return replace(sample_params(index), **plain | changes)


def with_hair(params, kind):
    return replace(params, hair=kind, volume=sum(HAIR_VOLUMES[kind]) / 2)


@pytest.mark.parametrize('size', [32, 57, 96, 112, 224, 600])
def test_shapes_types_and_ranges(size):
    image, labels = draw_face(3, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert labels.shape == (size, size) and labels.dtype == np.uint8
    assert labels.max() < len(LABEL_NAMES)
    assert image.std() > 10


def test_same_index_is_bit_identical_in_any_order(faces):
    for index in (41, 5, 63, 0):
        draw_face(index + 1, 64, seed=9)
        for image, labels in (draw_face(index, SIZE), render(sample_params(index), SIZE)):
            np.testing.assert_array_equal(image, faces[index][0])
            np.testing.assert_array_equal(labels, faces[index][1])


def test_threads_do_not_change_a_bit(faces):
    """Data workers run with one thread and must draw the faces that this process draws with its own number."""
    code = (
        'import hashlib; from fsfm_mm.drawn.face_drawing import draw_face;'
        f'print(hashlib.sha1(b"".join(draw_face(i, {SIZE})[0].tobytes() for i in range({COUNT}))).hexdigest())'
    )
    names = ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENCV_FOR_THREADS_NUM')
    environment = {**os.environ, **dict.fromkeys(names, '1')}
    root = Path(next(iter(fsfm_mm.__path__))).parent
    run = subprocess.run(
        [sys.executable, '-c', code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    here = hashlib.sha1(b''.join(image.tobytes() for image, _ in faces)).hexdigest()
    assert run.stdout.split()[-1] == here


def test_index_and_seed_choose_the_face(faces):
    assert sample_params(1) != sample_params(2)
    assert sample_params(1, seed=0) != sample_params(1, seed=1)
    assert sample_params(1, seed=0) != sample_params(0, seed=1)
    assert not np.array_equal(draw_face(1, SIZE, seed=1)[0], faces[1][0])


@pytest.mark.parametrize('arguments', [{'index': -1}, {'index': 0, 'seed': -1}, {'index': 0, 'size': 31}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match='found'):
        draw_face(**arguments)


def test_all_labels_occur_and_every_face_has_its_features(faces):
    counts = np.stack([np.bincount(labels.ravel(), minlength=len(LABEL_NAMES)) for _, labels in faces])
    assert (counts.sum(axis=0) > 0).all()
    needed = [SKIN, RIGHT_BROW, LEFT_BROW, RIGHT_EYE, LEFT_EYE, NOSE, UPPER_LIP, LOWER_LIP]
    assert (counts[:, needed] >= 4).all()
    # Skin and features fill a plausible share of a tight crop.
    face = counts[:, 1:10].sum(axis=1) / SIZE**2
    assert face.min() > 0.15 and face.max() < 0.7


def test_features_lie_as_in_a_face(faces):
    for index, (_, labels) in enumerate(faces):
        roll = np.deg2rad(sample_params(index).roll)
        right, down = np.array([np.cos(roll), np.sin(roll)]), np.array([-np.sin(roll), np.cos(roll)])
        # The subject's right is on the image's left, with or without the roll undone.
        for subject_right, subject_left in ((RIGHT_EYE, LEFT_EYE), (RIGHT_BROW, LEFT_BROW)):
            apart = middle(labels, subject_left) - middle(labels, subject_right)
            assert apart[0] > 0 and apart @ right > 0.1 * SIZE
        for brow, eye in ((RIGHT_BROW, RIGHT_EYE), (LEFT_BROW, LEFT_EYE)):
            assert (middle(labels, eye) - middle(labels, brow)) @ down > 0.02 * SIZE
        eyes, nose = middle(labels, RIGHT_EYE, LEFT_EYE), middle(labels, NOSE)
        upper, lower = middle(labels, UPPER_LIP), middle(labels, LOWER_LIP)
        heights = [point @ down for point in (eyes, nose, upper, lower)]
        assert heights == sorted(heights)


def test_hairless_and_closed_mouth_lack_their_labels():
    for index in range(8):
        params = upright(index)
        bald = render(with_hair(params, 'bald'), SIZE)[1]
        assert not (bald == HAIR).any()
        for kind in ('short', 'curly', 'long'):
            assert (render(with_hair(params, kind), SIZE)[1] == HAIR).mean() > 0.02
        assert not (render(replace(params, mouth_open=0.0), SIZE)[1] == INNER_MOUTH).any()
        assert (render(replace(params, mouth_open=0.12), SIZE)[1] == INNER_MOUTH).sum() > 20


def test_labels_scale_with_the_picture():
    for index in range(12):
        small, large = draw_face(index, 112)[1], draw_face(index, 224)[1]
        enlarged = small.repeat(2, axis=0).repeat(2, axis=1)
        assert (enlarged == large).mean() > 0.97
        for label in (SKIN, NOSE):
            a, b = enlarged == label, large == label
            assert (a & b).sum() / (a | b).sum() > 0.9, (index, label)


def test_picture_scales_with_its_size():
    for index in range(6):
        small, large = (render(upright(index), size)[0].astype(float) for size in (112, 224))
        halved = large.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))
        assert np.abs(halved - small).mean() < 4.0


@pytest.mark.parametrize('hair', ['short', 'curly', 'long'])
def test_label_edges_are_edges_of_the_picture(hair):
    """Repainting one part changes the picture inside of that part's label and next to nowhere else."""
    params = replace(with_hair(upright(4), hair), mouth_open=0.12)
    labels = render(params, 224)[1]
    plain = replace(params, beard=0.0)
    green = replace(plain, hair_colour=(0.1, 0.9, 0.1))
    difference = np.abs(render(plain, 224)[0].astype(int) - render(green, 224)[0])
    changed = difference.max(axis=2) > 25
    tinted = np.isin(labels, (HAIR, RIGHT_BROW, LEFT_BROW))
    assert (changed & ~tinted).sum() < 0.06 * tinted.sum()
    assert (changed & (labels == HAIR)).sum() > 0.9 * (labels == HAIR).sum()


def test_lips_eyes_and_teeth_show_under_their_labels():
    params = upright(12, mouth_open=0.14)
    image, labels = render(params, 224)
    difference = np.abs(image.astype(int) - render(replace(params, lip_colour=(0.9, 0.2, 0.1)), 224)[0])
    lips = np.isin(labels, (UPPER_LIP, LOWER_LIP))
    changed = difference.max(axis=2) > 30
    overlap = (changed & lips).sum() / (changed | lips).sum()
    assert overlap > 0.85
    grey = image.astype(float).mean(axis=2)
    # Eyes hold both the picture's whites and its pupils; skin has less contrast.
    eyes = np.isin(labels, (RIGHT_EYE, LEFT_EYE))
    assert grey[eyes].std() > 1.5 * grey[labels == SKIN].std()


def test_identity_keeps_under_another_pose_and_light():
    params = upright(2)
    labels = [render(replace(params, yaw=yaw), 112)[1] for yaw in (-20.0, 0.0, 20.0)]
    noses = [middle(each, NOSE)[0] for each in labels]
    assert noses[0] < noses[1] < noses[2]
    down = render(replace(params, pitch=10.0), 112)[1]
    assert middle(down, NOSE)[1] > middle(labels[1], NOSE)[1]
    tilted = render(replace(params, roll=15.0), 112)[1]
    assert middle(tilted, LEFT_EYE)[1] > middle(tilted, RIGHT_EYE)[1]
    means = []
    for azimuth in (-60.0, 60.0):
        image, map_ = render(replace(params, azimuth=azimuth, elevation=20.0), 112)
        np.testing.assert_array_equal(map_, labels[1])
        skin = map_ == SKIN
        left, right = skin.copy(), skin.copy()
        left[:, 56:], right[:, :56] = False, False
        means.append(image[left].mean() - image[right].mean())
    assert means[0] > 10 and means[1] < -10


def test_glasses_frames_are_skin_and_leave_the_eyes():
    params = upright(6)
    glasses = replace(params, glasses=0.17, frame_width=0.03, fringe=0.0)
    bare, worn = render(params, 224), render(glasses, 224)
    differs = np.abs(bare[0].astype(int) - worn[0]).max(axis=2) > 40
    assert differs.sum() > 300
    eyes = np.isin(bare[1], (RIGHT_EYE, LEFT_EYE))
    assert (worn[1][eyes] == bare[1][eyes]).mean() > 0.9
    changed = (worn[1] != bare[1]) & (bare[1] != HAIR) & (bare[1] != 0) & (worn[1] != HAIR)
    assert (worn[1][changed] == SKIN).all()


def test_faces_differ(faces):
    small = np.stack([image[::6, ::6].astype(float).ravel() for image, _ in faces])
    apart = np.abs(small[:, None] - small[None]).mean(axis=2) + 255 * np.eye(COUNT)
    assert apart.min() > 8
    skins = np.array([image[labels == SKIN].mean() for image, labels in faces])
    assert skins.max() - skins.min() > 100
    assert np.std([sample_params(index).yaw for index in range(COUNT)]) > 8
    assert {sample_params(index).hair for index in range(COUNT)} == {'bald', 'short', 'curly', 'long'}
