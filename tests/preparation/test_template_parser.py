"""The parser without weights: places, sides, tilt, scale, and how well it agrees with exact and real maps."""

import cv2
import numpy as np
import pytest
from drawn_crops import drawn_crop, iou

from fsfm_mm.ops.alignment import similarity
from fsfm_mm.preparation.parsers.colours import fill, refine
from fsfm_mm.preparation.parsers.template import (
    DEFAULT_POINTS,
    MEAN_POINTS,
    TemplateParser,
    template_map,
    template_outlines,
)
from fsfm_mm.regions import flip_table

#: A face in the middle of a crop of 200 pixels, exactly symmetric about x = 99.5.
POINTS = DEFAULT_POINTS * 200 - 0.5


def mean_iou(maps, expected, label):
    values = [iou(a, b, label) for a, b in zip(maps, expected, strict=True) if (b == label).any()]
    return np.mean(values)


def test_every_label_lies_where_the_landmarks_say():
    labels = template_map(template_outlines(POINTS), 200, 200)
    assert set(np.unique(labels)) == set(range(11))
    right_eye, left_eye, nose, *corners = POINTS.round().astype(int)
    assert labels[right_eye[1], right_eye[0]] == 4
    assert labels[left_eye[1], left_eye[0]] == 5
    assert labels[nose[1], nose[0]] == 6
    middle = np.mean(corners, 0).round().astype(int)
    below = labels[middle[1] :, middle[0]]
    assert [key for key, previous in zip(below, [None, *below]) if key != previous][:4] == [7, 8, 9, 1]
    assert labels[0, 0] == labels[-1, -1] == labels[-1, 0] == 0
    rows = [np.nonzero(labels == label)[0].mean() for label in (10, 2, 4, 6, 7, 8, 9)]
    assert rows == sorted(rows)


def test_a_mirrored_face_gives_the_mirrored_map():
    points = POINTS + np.array([[3, 4], [0, -3], [6, 1], [2, 2], [-4, 0]])
    mirrored = points[[1, 0, 2, 4, 3]] * (-1, 1) + (199, 0)
    labels = template_map(template_outlines(points), 200, 200)
    expected = flip_table()[labels][:, ::-1]
    assert (template_map(template_outlines(mirrored), 200, 200) == expected).mean() > 0.995


def test_a_face_lying_on_its_side_gives_the_turned_map():
    points = POINTS + np.array([[3, 4], [0, -3], [6, 1], [2, 2], [-4, 0]])
    # np.rot90: what was at (x, y) is then at (y, 199 - x)
    turned = np.stack([points[:, 1], 199 - points[:, 0]], 1)
    expected = np.rot90(template_map(template_outlines(points), 200, 200))
    assert (template_map(template_outlines(turned), 200, 200) == expected).mean() > 0.995


def test_twice_the_size_is_the_same_map():
    labels = template_map(template_outlines(POINTS), 200, 200)
    twice = template_map(template_outlines((POINTS + 0.5) * 2 - 0.5), 400, 400)
    assert (twice[::2, ::2] == labels).mean() > 0.98


def test_similarity_recovers_turn_scale_and_shift():
    turn = np.array([[20.0, -7.0, 90.0], [7.0, 20.0, 60.0]])
    points = MEAN_POINTS @ turn[:, :2].T + turn[:, 2]
    np.testing.assert_allclose(similarity(MEAN_POINTS, points), turn, atol=1e-9)


def test_a_head_turned_aside_shows_more_of_one_cheek():
    aside = POINTS + np.array([[0, 0], [0, 0], [8, 0], [0, 0], [0, 0]])  # the tip of the nose to the right
    face = np.isin(template_map(template_outlines(aside), 200, 200), range(1, 10))
    columns = np.nonzero(face[100])[0]
    left, right = POINTS[0, 0] - columns.min(), columns.max() - POINTS[1, 0]
    assert left > right + 20
    assert right > 5  # the eye is still in the face


def test_agreement_with_the_exact_maps_of_drawn_faces():
    crops, expected, points = zip(*(drawn_crop(index) for index in range(24)), strict=True)
    maps = TemplateParser().parse(crops, points)
    plain = TemplateParser(colours=False).parse(crops, points)
    floors = {0: 0.83, 1: 0.73, 4: 0.4, 5: 0.4, 6: 0.63, 7: 0.45, 8: 0.35, 9: 0.3, 10: 0.7}
    for label, floor in floors.items():
        assert mean_iou(maps, expected, label) > floor, label
    # hair cannot be known from landmarks, but can from colours
    assert mean_iou(maps, expected, 10) > mean_iou(plain, expected, 10) + 0.2
    assert mean_iou(maps, expected, 1) > mean_iou(plain, expected, 1)


def test_colours_leave_the_features_alone():
    crop, _, points = drawn_crop(3)
    before = template_map(template_outlines(points), 224, 224)
    (after,) = TemplateParser().parse([crop], [points])
    features = (before >= 2) & (before <= 9)
    np.testing.assert_array_equal(after[features], before[features])
    assert not ((after >= 2) & (after <= 9) & ~features).any()
    assert (after != before).any()


def test_colours_find_the_border_of_a_face_of_one_colour():
    head = np.array([[20, 10], [80, 10], [80, 50], [20, 50]], float)
    face = np.array([[30, 30], [70, 30], [70, 90], [30, 90]], float)
    crop = np.full((100, 100, 3), (200, 60, 30), np.uint8)
    truth = np.zeros((100, 100), np.uint8)
    for name, (x0, y0, x1, y1), colour in (
        (10, (16, 6, 84, 52), (20, 30, 40)),
        (1, (26, 26, 74, 86), (120, 150, 220)),
    ):
        truth[y0:y1, x0:x1], crop[y0:y1, x0:x1] = name, colour
    outlined = np.zeros((100, 100), np.uint8)
    fill(outlined, head, 10)
    fill(outlined, face, 1)
    labels = outlined.copy()
    refine(labels, crop, head, face, np.array([[24.0, 0, 50], [0, 24.0, 48]]))
    for label in (0, 1, 10):
        assert iou(labels, truth, label) > 0.85
        assert iou(labels, truth, label) > iou(outlined, truth, label) + 0.04


@pytest.mark.parametrize('value', [0, 128, 255])
def test_a_crop_of_one_colour_gives_a_map(value):
    (labels,) = TemplateParser().parse([np.full((120, 120, 3), value, np.uint8)], [POINTS * 0.6])
    assert labels.shape == (120, 120)
    assert (labels == 4).any()


def test_the_same_crop_gives_the_same_map_in_any_company():
    crops, _, points = zip(*(drawn_crop(index, 128) for index in range(3)), strict=True)
    parser = TemplateParser()
    together = parser.parse(crops, points)
    for number in (2, 0, 1):
        (alone,) = TemplateParser().parse([crops[number]], [points[number]])
        np.testing.assert_array_equal(alone, together[number])


def test_no_landmarks_no_map_unless_the_defaults_are_allowed():
    crop, _, points = drawn_crop(0)
    together = np.zeros((5, 2))
    given = [None, points, together]
    first, second, third = TemplateParser().parse([crop] * 3, given)
    assert first is None and third is None and second is not None
    first, same, third = TemplateParser(default_landmarks=True).parse([crop] * 3, given)
    (expected,) = TemplateParser().parse([crop], [DEFAULT_POINTS * 224 - 0.5])
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(third, expected)
    np.testing.assert_array_equal(same, second)


@pytest.mark.parametrize('size', [1, 2, 17])
def test_tiny_crops(size):
    crop = np.zeros((size, size, 3), np.uint8)
    (labels,) = TemplateParser(default_landmarks=True).parse([crop], [None])
    assert labels is None if size < 17 else labels.shape == (size, size)


def test_points_far_outside_do_not_break_it():
    crop = np.zeros((64, 64, 3), np.uint8)
    (labels,) = TemplateParser().parse([crop], [POINTS * 1e5])
    assert labels.shape == (64, 64)


@pytest.mark.faces
def test_agreement_with_the_maps_of_real_faces(faces):
    weights = faces / 'weights' / 'face_detection_yunet_2023mar.onnx'
    detector = cv2.FaceDetectorYN.create(str(weights), '', (224, 224), 0.5)
    crops, expected, points = [], [], []
    for path in sorted((faces / 'pretrain' / 'images').glob('*.png'))[::4]:
        crop = cv2.imread(str(path))
        _, found = detector.detect(crop)
        crops.append(crop)
        points.append(max(found, key=lambda row: row[2] * row[3])[4:14].reshape(5, 2))
        expected.append(np.load(faces / 'pretrain' / 'parsing_maps' / f'{path.stem}.npy')[0])
    maps = TemplateParser().parse(crops, points)
    floors = (0.84, 0.79, 0.36, 0.36, 0.33, 0.35, 0.66, 0.23, 0.3, 0.37, 0.58)
    for label, floor in enumerate(floors):
        assert mean_iou(maps, expected, label) > floor, label
