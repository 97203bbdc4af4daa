"""From a source to cut-out faces: who is chosen, what is cut, how frames and people are named."""

import numpy as np
import pytest
from engine_fakes import picture, settings, video_item, write_video

from fsfm_mm.preparation.cutting.cutter import Cutter, crop_square
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.detectors.none import NoDetector
from fsfm_mm.preparation.plan import make_chunks, make_plan
from fsfm_mm.preparation.sources.items import FrameChoice, Item, parts_of

SIZE = 128


class Boxes(FaceDetector):
    """A detector that says what it is told, call after call."""

    def __init__(self, frames):
        self.frames = list(frames)

    def detect(self, pictures):
        return [self.frames.pop(0) for _ in pictures]


def face(left, top, side, score=0.5, landmarks=None):
    return Face(np.array([left, top, left + side, top + side], float), score, landmarks)


def cut(item, frames, **changes):
    kept = []
    changes = {'min_face': 10, 'size': 32, **changes}
    cutter = Cutter(settings(**changes), Boxes(frames), lambda crop: kept.append(crop) or len(kept) - 1)
    return cutter.cut(item), kept


@pytest.fixture
def photo(tmp_path):
    import cv2

    image = picture(1, SIZE)
    cv2.imwrite(str(tmp_path / 'p.png'), image)
    return Item(str(tmp_path / 'p.png'), 'p.png', 0, 'sub/p'), image


@pytest.fixture
def video(tmp_path):
    frames = [np.full((SIZE, SIZE, 3), 20 * i, np.uint8) for i in range(9)]
    write_video(tmp_path / 'v.mp4', frames, SIZE)
    return tmp_path / 'v.mp4'


def test_crop_is_the_square_about_the_face_with_its_landmarks(photo):
    item, image = photo
    points = np.array([[50, 50], [60, 50], [55, 55], [51, 60], [59, 60]], float)
    # 20 pixels * 1.6 = 32, about the centre (55, 55): 39 .. 71
    (found,), kept = cut(item, [[face(45, 45, 20, 0.87654, points)]], margin=1.6)
    np.testing.assert_array_equal(kept[found.slot], image[39:71, 39:71])
    np.testing.assert_allclose(found.landmarks, points - 39)
    assert found.key == 'sub/p'
    record = found.record
    assert (record.square, record.score, record.face, record.frame) == ([39, 39, 71, 71], 0.8765, 0, None)
    assert record.landmarks == points.tolist() and record.box == [45, 45, 65, 65]


@pytest.mark.parametrize(
    'choice, keys, sides',
    [
        ('largest', ['sub/p'], [40]),
        ('best', ['sub/p'], [20]),
        ('all', ['sub/p', 'sub/p_face1', ''], [40, 20, 8]),
    ],
)
def test_choice_in_a_picture(photo, choice, keys, sides):
    faces = [face(5, 5, 20, 0.9), face(60, 60, 40, 0.5), face(100, 5, 8, 0.4)]
    cuts, kept = cut(photo[0], [faces], choice=choice)
    assert [one.key for one in cuts if one.slot is not None] == [key for key in keys if key]
    assert [one.record.box[2] - one.record.box[0] for one in cuts] == sides
    assert [one.record.status for one in cuts] == ['ok' if side >= 10 else 'small' for side in sides]
    assert len(kept) == sum(side >= 10 for side in sides)


def test_a_small_face_says_how_small(photo):
    (found,), kept = cut(photo[0], [[face(5, 5, 9)]])
    assert found.record.status == 'small' and not kept
    assert found.record.message == 'the face is 9 pixels large, wished are 10 or more'


def test_a_face_of_just_the_wished_size_is_large_enough(photo):
    (found,), kept = cut(photo[0], [[face(5, 5, 10)]])
    assert found.record.status == 'ok' and len(kept) == 1


def test_boxes_outside_the_picture_are_no_faces(photo):
    (found,), _ = cut(photo[0], [[face(-50, 0, 30), face(0, SIZE, 30), face(5, 5, 0)]])
    assert found.record.status == 'no_face' and found.key == ''


def two_people(frame):
    """A small one on the left with a high score, and a large one on the right that comes late."""
    left = face(10 + frame, 10, 30, 0.9)
    return [left] if frame < 2 else [face(70, 40 + frame, 50, 0.6), left]


def test_largest_person_of_a_video_is_followed(video):
    cuts, kept = cut(video_item(video, FrameChoice('count', 9)), [two_people(i) for i in range(9)])
    assert [one.record.frame for one in cuts] == list(range(9))
    assert [one.record.status for one in cuts] == ['other_person'] * 2 + ['ok'] * 7
    assert [one.key for one in cuts[2:]] == [f'v_frame_{i}' for i in range(2, 9)]
    assert {one.record.face for one in cuts[2:]} == {0}
    # the frames' grey, within the codec's loss
    np.testing.assert_allclose([kept[one.slot].mean() for one in cuts[2:]], range(40, 180, 20), atol=5)


def test_best_person_of_a_video(video):
    cuts, _ = cut(
        video_item(video, FrameChoice('count', 9)), [two_people(i) for i in range(9)], choice='best'
    )
    assert [one.record.box[2] - one.record.box[0] for one in cuts] == [30] * 9


def test_all_people_of_a_video(video):
    cuts, _ = cut(
        video_item(video, FrameChoice('count', 3)), [two_people(i) for i in (0, 4, 8)], choice='all'
    )
    assert [one.key for one in cuts] == [
        'v_face1_frame_0',
        'v_frame_4',
        'v_face1_frame_4',
        'v_frame_8',
        'v_face1_frame_8',
    ]
    sides = [one.record.box[2] - one.record.box[0] for one in cuts]
    assert sides == [30, 50, 30, 50, 30]
    assert [one.record.face for one in cuts] == [1, 0, 1, 0, 1]


def test_frames_are_spread_over_the_video_and_named_as_asked(video):
    item = video_item(video, FrameChoice('count', 3))
    item = Item(item.path, item.source, 0, 'x/v', item.frames, '_{number:02d}_of_{index}')
    cuts, _ = cut(item, [[face(10, 10, 30)]] * 3)
    assert [one.key for one in cuts] == ['x/v_00_of_0', 'x/v_01_of_4', 'x/v_02_of_8']


def test_a_video_without_faces_has_a_line_for_each_frame(video):
    cuts, _ = cut(video_item(video, FrameChoice('count', 3)), [[]] * 9)
    assert [(one.record.status, one.record.frame) for one in cuts] == [
        ('no_face', 0),
        ('no_face', 4),
        ('no_face', 8),
    ]


def test_a_corrupt_video_is_named(video):
    video.write_bytes(video.read_bytes()[:200])
    (found,), _ = cut(video_item(video), [[]] * 9)
    assert found.record.status == 'unreadable' and found.record.frame is None
    assert str(video) in found.record.message


def items(weights):
    choices = [None if weight == 1 else FrameChoice('count', weight) for weight in weights]
    return [Item(f'{i}', f'{i}', 0, f'{i}', choice) for i, choice in enumerate(choices)]


@pytest.mark.parametrize(
    'weights, sizes',
    [
        ([1] * 10, [4, 4, 2]),
        ([3, 3, 1, 9, 1, 4], [1, 2, 1, 1, 1]),
        ([9], [1]),
    ],
)
def test_chunks(weights, sizes):
    chunks = list(make_chunks(items(weights), 4))
    assert [len(chunk.items) for chunk in chunks] == sizes
    assert [chunk.number for chunk in chunks] == list(range(len(sizes)))
    assert [item for chunk in chunks for item in chunk.items] == items(weights)
    assert sum(chunk.weight for chunk in chunks) == sum(weights)


@pytest.mark.parametrize(
    'picture_key, choice, clashes',
    [
        ('v_frame_0', 'largest', True),
        ('v_face1_frame_0', 'all', True),
        ('v_face1_frame_0', 'largest', False),
        ('p_face1', 'all', True),
        ('p_face1', 'largest', False),
        ('p_frame_1', 'all', False),
        ('w_frame_0', 'all', False),
    ],
)
def test_names_that_a_face_of_another_source_could_get(picture_key, choice, clashes):
    sources = [
        Item('v.mp4', 'v.mp4', 0, 'v', FrameChoice()),
        Item('p.png', 'p.png', 0, 'p'),
        Item('x.png', 'x.png', 0, picture_key),
    ]
    if not clashes:
        make_plan(sources, settings(choice=choice), {})
        return
    with pytest.raises(ValueError, match=r'x\.png has a name that a face of [vp]\.\w+ could get'):
        make_plan(sources, settings(choice=choice), {})


def test_a_picture_that_is_a_crop_already_keeps_its_margin(tmp_path):
    import cv2

    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 200
    cv2.imwrite(str(tmp_path / 'p.png'), image)
    kept = []
    cutter = Cutter(
        settings(min_face=0, size=None, parser=None), NoDetector(), lambda crop: kept.append(crop) or 0
    )
    (found,) = cutter.cut(Item(str(tmp_path / 'p.png'), 'p.png', 0, 'p'))
    assert found.record.square == [30, 0, 70, 40]
    assert kept[0].shape == (40, 40, 3) and kept[0].min() == 200


@pytest.mark.parametrize('margin', [1.0, 1.02, 1.3])
def test_squares_are_those_of_the_published_crops(margin):
    """Whole pixels throughout: the centre of the box and half the side are each rounded down, then clipped."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        left, top = generator.integers(0, 150, 2).tolist()
        right, bottom = left + int(generator.integers(20, 90)), top + int(generator.integers(20, 90))
        side = int(max(right - left, bottom - top) * margin)
        x0, y0 = max((left + right) // 2 - side // 2, 0), max((top + bottom) // 2 - side // 2, 0)
        side = min(side, 240 - x0, 220 - y0)
        found = crop_square([left, top, right, bottom], 240, 220, margin)
        assert found == (x0, y0, x0 + side, y0 + side)


class ByNumber(FaceDetector):
    """Says of a frame what it is told for its number, which the frames of ``numbered_video`` show."""

    def __init__(self, faces):
        self.faces, self.looked = faces, 0

    def detect(self, pictures):
        self.looked += len(pictures)
        halves = [
            (picture[:, : SIZE // 2 - 8].mean(), picture[:, SIZE // 2 + 8 :].mean()) for picture in pictures
        ]
        return [self.faces(10 * round(tens / 25) + round(ones / 25)) for tens, ones in halves]


def numbered_video(path, count):
    frames = [np.full((SIZE, SIZE, 3), 25 * (i // 10), np.uint8) for i in range(count)]
    for i, frame in enumerate(frames):
        frame[:, SIZE // 2 :] = 25 * (i % 10)
    write_video(path, frames, SIZE)
    return path


@pytest.mark.parametrize(
    'shown, expected',
    [
        (range(80), [0, 11, 22, 33, 45, 56, 67, 79]),
        # of the parts without a face nothing can be taken; the part of 56 ends at 61
        (range(60, 80), [60, 67, 79]),
        ([3, 30, 31, 77], [3, 31, 77]),
    ],
)
def test_frames_without_a_face_are_replaced_by_others_of_their_part(tmp_path, shown, expected):
    detector = ByNumber(lambda number: [face(20, 20, 40)] if number in shown else [])
    item = video_item(numbered_video(tmp_path / 'v.mp4', 80), FrameChoice('count', 8))
    for follow in (True, False):
        detector.looked = 0
        cutter = Cutter(settings(follow=follow), detector, lambda crop: 0)
        cuts = cutter.cut(item)
        found = [one.record.frame for one in cuts if one.slot is not None]
        wanted = [0, 11, 22, 33, 45, 56, 67, 79]
        assert found == (expected if follow else [n for n in wanted if n in shown])
        assert len(cuts) == 8 and [one.key for one in cuts if one.key] == [f'v_frame_{n}' for n in found]
        assert detector.looked <= (8 if len(found) == 8 or not follow else 8 + 8 * 8)


def test_a_replaced_frame_shows_the_same_person(tmp_path):
    """Who is chosen is decided by the chosen frames: the others are looked at for that person only."""
    large, small = face(60, 60, 50), face(5, 5, 30)

    detector = ByNumber(lambda number: [large, small] if number < 21 or number == 26 else [small])
    cutter = Cutter(settings(), detector, lambda crop: 0)
    cuts = cutter.cut(video_item(numbered_video(tmp_path / 'v.mp4', 31), FrameChoice('count', 4)))
    assert [(one.record.frame, one.record.status) for one in cuts] == [
        (0, 'ok'), (10, 'ok'), (20, 'ok'), (26, 'ok'),
    ]  # fmt: skip
    assert {one.record.box[0] for one in cuts} == {60}


def test_parts_meet_halfway():
    assert parts_of([0, 4, 8], 9) == {0: [1, 2], 4: [3, 5, 6], 8: [7]}
    assert parts_of([0], 4) == {0: [1, 2, 3]}
    assert parts_of([500], 1000) == {500: [62, 187, 312, 437, 562, 687, 812, 937]}
    assert parts_of([0], 1) == {0: []}
