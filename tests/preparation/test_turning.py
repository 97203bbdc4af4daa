"""Faces on their side or upside down: told by how they score in other turns, left out or set upright."""

import cv2
import numpy as np
import pytest
from engine_fakes import settings, video_item, write_video

from fsfm_mm.preparation.cutting.cutter import Cutter
from fsfm_mm.preparation.cutting.turning import quarters_of, quarters_of_faceless, roll_of, turn_picture
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.detectors.yunet import YuNet
from fsfm_mm.preparation.sources.items import FrameChoice, Item

POINTS = np.array([[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]], float)


def turned_points(degrees):
    """The points turned clockwise about (50, 50)."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (POINTS - 50) @ turn.T + 50


@pytest.mark.parametrize('degrees', [0, 30, 90, 135, -90, -45])
def test_the_roll_is_that_of_the_landmarks(degrees):
    assert roll_of(turned_points(degrees)) == pytest.approx(degrees, abs=1e-9)
    assert roll_of(None) == 0


class Lamp(FaceDetector):
    """A face about a bright spot in the upper half of a picture; in the lower half or at a side it scores less.

    As detectors do, it marks any face with the landmarks of an upright one.
    """

    gives_landmarks = True
    upright_score = 0.92

    def __init__(self, others=0.8):
        self.others = others

    def detect(self, pictures):
        return [self._detect(picture) for picture in pictures]

    def _detect(self, picture):
        rows, columns = np.nonzero(picture[..., 0] > 200)
        if not len(rows):
            return []
        height, width = picture.shape[:2]
        # the spot is an eye: the face about it reaches as far on all sides as the picture allows
        upright = rows.mean() < 0.4 * height and 0.4 * width < columns.mean() < 0.6 * width
        score = 0.95 if upright else self.others
        if score < 0.6:
            return []
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        box = np.array([left, top, left + side, top + side]) + [1, 1, -1, -1]
        return [Face(box, score, POINTS * side / 100 + [left, top])]


def face_picture(quarters=0, size=96):
    picture = np.full((size, size, 3), 60, np.uint8)
    cv2.circle(picture, (size // 2, size // 5), size // 12, (255, 255, 255), -1)
    return turn_picture(picture, quarters)


@pytest.mark.parametrize('quarters', range(4))
def test_the_turn_that_sets_a_face_upright(quarters):
    picture, detector = face_picture(quarters), Lamp()
    (face,) = detector.detect([picture])[0]
    assert quarters_of(picture, face, detector) == -quarters % 4
    faceless = Lamp(others=0.0)
    found = quarters_of_faceless(picture, faceless) if not faceless.detect([picture])[0] else 0
    assert found == -quarters % 4


def test_landmarks_that_lie_tell_without_a_second_look():
    detector = Lamp()
    for degrees, expected in ((30, 0), (80, 3), (170, 2), (-100, 1)):
        face = Face(np.array([20.0, 20, 80, 80]), 0.95, turned_points(degrees))
        assert quarters_of(face_picture(), face, detector) == expected
        # a chip is turned by the landmarks anyway
        assert quarters_of(face_picture(), face, detector, aligned=True) == 0


def cut(item, detector, **changes):
    kept = []
    cutter = Cutter(settings(**changes), detector, lambda crop: kept.append(crop) or len(kept) - 1)
    return cutter.cut(item), kept


@pytest.mark.parametrize('others', [0.8, 0.0])
@pytest.mark.parametrize('quarters', range(4))
def test_a_turned_picture_is_left_out_or_turned(tmp_path, quarters, others):
    cv2.imwrite(str(tmp_path / 'p.png'), face_picture(quarters))
    item = Item(str(tmp_path / 'p.png'), 'p.png', 0, 'p')
    (found,), _ = cut(item, Lamp(others))
    assert found.record.status == ('turned' if quarters else 'ok')
    if quarters:
        assert found.record.message == f'the face is turned clockwise by about {90 * quarters} degrees'
    (found,), (crop,) = cut(item, Lamp(others), upright=True)
    assert found.record.status == 'ok' and found.record.turned == (90 * (4 - quarters) if quarters else None)
    assert ('turned' in found.record.to_json()) == bool(quarters)
    assert crop[6, 16, 0] > 200 > crop[26, 16, 0]


@pytest.mark.parametrize('others', [0.8, 0.0])
def test_a_turned_video_is_left_out_or_turned(tmp_path, others):
    write_video(tmp_path / 'v.mp4', [face_picture(1)] * 12, 96)
    item = video_item(tmp_path / 'v.mp4', FrameChoice('count', 4))
    cuts, kept = cut(item, Lamp(others))
    assert [one.record.status for one in cuts] == ['turned'] * 4 and not any(one.slot for one in cuts)
    cuts, kept = cut(item, Lamp(others), upright=True)
    assert [(one.record.status, one.record.turned) for one in cuts] == [('ok', 270)] * 4
    assert all(kept[one.slot][6, 16, 0] > 200 for one in cuts)


def test_a_turned_frame_of_a_search(tmp_path):
    write_video(tmp_path / 'v.mp4', [face_picture(2)] * 12, 96)
    item = video_item(tmp_path / 'v.mp4', FrameChoice('parts', 2, first=2, search=True))
    assert [one.record.status for one in cut(item, Lamp())[0]] == ['turned'] * 2
    assert [one.record.turned for one in cut(item, Lamp(), upright=True)[0]] == [180] * 2


@pytest.mark.faces
def test_turned_portraits(faces):
    detector = YuNet(weights=faces / 'weights/face_detection_yunet_2023mar.onnx')
    told = 0
    for path in sorted((faces / 'portraits').glob('*.jpg'))[:12]:
        picture = cv2.imread(str(path))
        for quarters in range(4):
            turned = turn_picture(picture, quarters)
            (found,) = detector.detect([turned])
            n = quarters_of(turned, found[0], detector) if found else quarters_of_faceless(turned, detector)
            assert n == -quarters % 4 or (quarters and not n)
            told += bool(quarters) and n == -quarters % 4
    assert told >= 34  # of 36
