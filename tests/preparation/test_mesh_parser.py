"""Maps from the points of a face mesh: made points without networks, drawn faces with MediaPipe's own."""

import cv2
import numpy as np
import pytest
from drawn_crops import drawn_crop, iou

from fsfm_mm.preparation import mediapipe
from fsfm_mm.preparation.mediapipe import LEFT_EYE, NUM_POINTS, RIGHT_EYE, upright
from fsfm_mm.preparation.parsers.mesh import MeshParser
from fsfm_mm.preparation.parsers.mesh_parts import OVAL, PARTS, draw_parts
from fsfm_mm.preparation.parsers.mesh_regions import GRID, draw_regions
from fsfm_mm.regions import BACKGROUND, HAIR, LABEL_NAMES, SKIN

SIZE = 224
LABEL = {name: number for number, name in enumerate(LABEL_NAMES)}
#: Colours BGR of the made face.
_SKIN, _HAIR, _BACK, _SUIT = (140, 170, 220), (20, 30, 45), (200, 120, 60), (60, 60, 60)
#: Middle and half axes of the made face's parts; those with a side are mirrored about the middle, x = 111.5.
_BOXES = {
    'right_brow': (76, 88, 17, 4),
    'right_eye': (77, 104, 13, 5),
    'nose': (111.5, 125, 14, 22),
    'upper_lip': (111.5, 157, 22, 6),
    'lower_lip': (111.5, 169, 22, 6),
}


def _ring(middle, half, count, start=np.pi):
    angle = start + np.arange(count) / count * 2 * np.pi
    return np.stack([middle[0] + half[0] * np.cos(angle), middle[1] + half[1] * np.sin(angle)], 1)


def made_points():
    """A mesh whose rings are ellipses; all other points lie on the cheeks and the forehead."""
    points = np.tile([[111.5, 70.0]], (NUM_POINTS, 1))
    points[list(OVAL)] = _ring((111.5, 118), (58, 78), len(OVAL), -np.pi / 2)
    for index in (50, 101, 117, 36, 205):
        points[index] = 80, 140
    for index in (280, 330, 346, 266, 425):
        points[index] = 143, 140
    for name, places, mirrored in PARTS:
        if name == 'inner_mouth':
            continue
        x, y, across, down = _BOXES[name.replace('left', 'right')]
        ring = _ring((x, y), (across, down), len(places), -np.pi / 2 if name == 'nose' else np.pi)
        points[list(places)] = ring * ((-1, 1) if mirrored else (1, 1)) + ((223, 0) if mirrored else (0, 0))
    # the lips part along a line
    lips = {name: places for name, places, _ in PARTS}
    angle = np.pi - np.arange(11) / 10 * np.pi
    for places, sign in ((lips['upper_lip'][:11], 1), (lips['lower_lip'][:10:-1], -1)):
        points[list(places)] = np.stack([111.5 + 22 * np.cos(angle), 163 - sign * 9 * np.sin(angle)], 1)
    for places, y in ((lips['upper_lip'][:10:-1], 162.5), (lips['lower_lip'][:11], 163.5)):
        points[list(places)] = np.stack([np.linspace(93, 130, 11), np.full(11, y)], 1)
    return points


def made_face():
    """Its picture, uint8 BGR, and who is a person."""
    crop = np.full((SIZE, SIZE, 3), _BACK, np.uint8)
    person = np.zeros((SIZE, SIZE), np.float32)
    cv2.rectangle(crop, (20, 196), (203, 223), _SUIT, -1)
    cv2.rectangle(person, (20, 196), (203, 223), 1, -1)
    for middle, axes, colour in (((111, 95), (75, 85), _HAIR), ((111, 118), (58, 78), _SKIN)):
        cv2.ellipse(crop, middle, axes, 0, 0, 360, colour, -1)
        cv2.ellipse(person, middle, axes, 0, 0, 360, 1, -1)
    return crop, cv2.resize(person, (GRID, GRID), interpolation=cv2.INTER_AREA)


def draw(crop, points, person):
    labels = np.full(crop.shape[:2], 255, np.uint8)
    draw_regions(labels, crop, points, person)
    draw_parts(labels, crop, points)
    return labels


def test_every_part_lies_where_the_points_say():
    crop, person = made_face()
    points = made_points()
    labels = draw(crop, points, person)
    for name, (x, y, _, _) in _BOXES.items():
        assert labels[round(y), round(x)] == LABEL[name], name
    assert labels[104, 223 - 77] == LABEL['left_eye']
    assert labels[88, 223 - 76] == LABEL['left_brow']
    assert labels[40, 111] in (HAIR, SKIN) and labels[20, 111] == HAIR
    assert labels[140, 75] == SKIN
    assert labels[2, 2] == labels[120, 5] == labels[215, 111] == labels[215, 30] == BACKGROUND


def test_hair_is_connected_with_what_lies_above_the_mouth():
    crop, person = made_face()
    labels = draw(crop, made_points(), person)
    cv2.rectangle(crop, (24, 200), (70, 223), _HAIR, -1)  # a dark lapel: the hair's colour, far from it
    assert (draw(crop, made_points(), person)[195:] == HAIR).sum() == (labels[195:] == HAIR).sum() == 0


def test_a_mirrored_crop_gives_the_mirrored_map():
    crop, person = made_face()
    crop[:, :112] = (crop[:, :112] * 0.9).astype(np.uint8)  # light from one side
    points = made_points()
    labels = draw(crop, points, person)
    mirrored = points * (-1, 1) + (223, 0)
    swap = np.arange(NUM_POINTS)
    pairs = [(OVAL, (OVAL[0], *OVAL[:0:-1])), (RIGHT_EYE, LEFT_EYE), (LEFT_EYE, RIGHT_EYE)]
    outlines = {name: places for name, places, _ in PARTS}
    pairs += [
        (outlines['right_brow'], outlines['left_brow']),
        (outlines['left_brow'], outlines['right_brow']),
    ]
    for ours, theirs in pairs:
        swap[list(ours)] = theirs
    for ours, theirs in ((50, 280), (101, 330), (117, 346), (36, 266), (205, 425)):
        swap[[ours, theirs]] = theirs, ours
    flipped = draw(np.ascontiguousarray(crop[:, ::-1]), mirrored[swap], np.ascontiguousarray(person[:, ::-1]))
    expected = labels[:, ::-1].copy()
    for a, b in ((2, 3), (4, 5)):
        expected[labels[:, ::-1] == a], expected[labels[:, ::-1] == b] = b, a
    assert (flipped == expected).mean() > 0.99


def test_twice_the_size_is_the_same_map():
    crop, person = made_face()
    labels = draw(crop, made_points(), person)
    large = cv2.resize(crop, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_LINEAR)
    twice = draw(large, (made_points() + 0.5) * 2 - 0.5, person)
    assert (twice[::2, ::2] == labels).mean() > 0.97


@pytest.mark.parametrize('shift', [-400, -150, 150, 400])
def test_a_face_at_the_edge_or_outside_is_drawn_as_far_as_it_shows(shift):
    crop, person = made_face()
    assert draw(crop, made_points() + (shift, 0), person).max() <= 10


@pytest.mark.parametrize('value', [0, 255])
def test_a_crop_of_one_colour_gives_a_map(value):
    labels = draw(
        np.full((SIZE, SIZE, 3), value, np.uint8), made_points(), np.zeros((GRID, GRID), np.float32)
    )
    assert labels.max() <= 10 and (labels == SKIN).any()


def test_upright_axes_follow_a_tilted_head():
    turn = np.deg2rad(30)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    axes, unit = upright(made_points() @ rotation.T)
    np.testing.assert_allclose(axes @ rotation, np.eye(2), atol=1e-9)
    assert unit == pytest.approx(upright(made_points())[1])


def test_each_pass_looks_from_where_the_one_before_found_the_face(monkeypatch):
    """A network that finds the face's centre of colour stands for the mesh: the second window is centred on it."""
    windows = []

    def network(blob, output):
        if output == 'conv2d_31':
            return np.array([[5.0]])
        windows.append(blob[0, 0])
        red = np.argwhere(blob[0, 0] > 0.5)
        y, x = red.mean(0)
        points = np.zeros((NUM_POINTS, 3), np.float32)
        points[:, :2] = (x + 0.5, y + 0.5)
        points[33, 0] -= 30
        points[263, 0] += 30
        return points

    picture = np.zeros((200, 200, 3), np.uint8)
    cv2.circle(picture, (120, 90), 20, (0, 0, 255), -1)
    points, logit = mediapipe.mesh_points(network, picture, np.array([100.0, 100.0]), np.array([50.0, 0.0]))
    assert logit == 5 and len(windows) == 2
    np.testing.assert_allclose(points[0], (120, 90), atol=0.5)
    np.testing.assert_allclose(np.argwhere(windows[1] > 0.5).mean(0), 95.5, atol=2)


@pytest.mark.slow
def test_networks_of_an_empty_cache_parse_drawn_faces(networks):
    crops, expected, landmarks = zip(*(drawn_crop(index) for index in range(6)), strict=True)
    parser = MeshParser()
    floors = {0: 0.88, 1: 0.86, 2: 0.63, 3: 0.63, 4: 0.7, 5: 0.7, 6: 0.62, 7: 0.5, 8: 0.4, 9: 0.6, 10: 0.75}
    for given in (landmarks, [None] * 6):
        maps = parser.parse(crops, given)
        for label, floor in floors.items():
            values = [iou(a, b, label) for a, b in zip(maps, expected, strict=True) if (b == label).any()]
            assert np.mean(values) > floor, (label, np.mean(values))
    (alone,) = MeshParser().parse([crops[5]], [None])
    np.testing.assert_array_equal(alone, maps[5])
    assert MeshParser().parse([np.full((SIZE, SIZE, 3), 128, np.uint8)], [None]) == [None]
