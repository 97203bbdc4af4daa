"""Chips aligned by five landmarks, faces without black borders, frames that move on to the next face."""

import cv2
import numpy as np
import pytest
from engine_fakes import picture, settings, write_video

from fsfm_mm.ops.alignment import similarity
from fsfm_mm.preparation.cutting.chips import CHIP_POINTS, chip_points, cut_chip, without_black_borders
from fsfm_mm.preparation.cutting.cutter import Cutter
from fsfm_mm.preparation.cutting.reading import FrameSearch
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.detectors.dlib_frontal import DlibFrontal
from fsfm_mm.preparation.detectors.none import NoDetector
from fsfm_mm.preparation.settings import Execution, Settings, build_components
from fsfm_mm.preparation.sources.items import FrameChoice, Item

PUBLISHED = FrameChoice('parts', 2, first=6, search=True)
POINTS = np.array([[50, 50], [75, 48], [64, 66], [53, 80], [74, 79]], float)


class Bright(FaceDetector):
    """One face in every frame that is brighter than 100, with landmarks; and a smaller one."""

    gives_landmarks = True

    def __init__(self):
        self.looked = 0

    def detect(self, pictures):
        self.looked += len(pictures)
        return [self.faces(frame) if frame.mean() > 100 else [] for frame in pictures]

    def faces(self, frame):
        return [
            Face(np.array([40.0, 40, 90, 90]), 0.9, POINTS),
            Face(np.array([0.0, 0, 20, 20]), 0.95, POINTS),
        ]


def item(path, frames=PUBLISHED):
    return Item(str(path), path.name, 0, 'train/real/v', frames, '_frame{number}')


def level(number):
    """Grey level of a bright frame."""
    return 110 + 20 * (number % 7)


def searched(tmp_path, bright, count=40, **changes):
    """Frame numbers, keys and chips that come of a video with faces in the frames ``bright``."""
    frames = [np.full((128, 128, 3), level(i) if i in bright else 20, np.uint8) for i in range(count)]
    write_video(tmp_path / 'v.mp4', frames, 128)
    kept = []
    changes = {'min_face': 0, 'size': 224, 'chip_padding': 0.37, **changes}
    cutter = Cutter(settings(**changes), Bright(), lambda crop: kept.append(crop) or len(kept) - 1)
    cuts = cutter.cut(item(tmp_path / 'v.mp4'))
    return cuts, kept, cutter.detector


def test_a_template_point_lies_where_the_padding_says():
    points = chip_points(224, 0.37)
    np.testing.assert_allclose(points[0], [(0.37 + 0.224152) / 1.74 * 224, (0.37 + 0.2119465) / 1.74 * 224])
    np.testing.assert_allclose(chip_points(100, 0), CHIP_POINTS * 100)


def test_the_similarity_has_the_least_squares_and_no_reflection():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    x, y, one, none = *source.T, np.ones(5), np.zeros(5)
    # a (x, y) + b (-y, x) + shift, solved as it stands
    system = np.concatenate([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
    a, b, left, top = np.linalg.lstsq(system, target.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(similarity(source, target), [[a, -b, left], [b, a, top]], atol=1e-12)
    mirrored = similarity(CHIP_POINTS, CHIP_POINTS * (-1, 1))
    assert np.linalg.det(mirrored[:, :2]) >= 0


def test_a_turned_face_comes_upright():
    turn, scale = np.deg2rad(25), 0.8
    move = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = chip_points(224, 0.37) @ move.T + (30, 60)
    photo = np.zeros((400, 400, 3), np.uint8)
    for x, y in landmarks.round().astype(int):
        cv2.circle(photo, (int(x), int(y)), 4, (255, 255, 255), -1)
    chip, points = cut_chip(photo, landmarks, 224, 0.37)
    np.testing.assert_allclose(points, chip_points(224, 0.37), atol=1e-9)
    assert chip.shape == (224, 224, 3) and chip.dtype == np.uint8
    assert all(chip[int(y), int(x), 0] > 200 for x, y in chip_points(224, 0.37))


@pytest.mark.parametrize(
    'bright, frames',
    [
        (range(40), [6, 26]),
        (range(24, 40), [24, 26]),  # a faceless first half moves on
        ([9, 30, 31], [9, 30]),
        ([30], [30, 30]),
        ([2, 10], [10, None]),  # nothing from the second one on
        ([], [None, None]),
    ],
)
def test_frames_move_on_to_the_next_face(tmp_path, bright, frames):
    cuts, kept, detector = searched(tmp_path, bright)
    assert [cut.record.frame for cut in cuts if cut.slot is not None] == [f for f in frames if f is not None]
    assert [cut.key for cut in cuts] == [f'train/real/v_frame{k}' if f else '' for k, f in enumerate(frames)]
    lost = [(cut.record.frame, cut.record.status) for cut in cuts if cut.slot is None]
    assert lost == [(start, 'no_face') for start, f in zip((6, 26), frames) if f is None]
    levels = [level(f) for f in frames if f is not None]
    np.testing.assert_allclose([np.median(chip) for chip in kept], levels, atol=8)
    if len(bright) == 40:
        assert detector.looked == 2  # nobody looks further than needed


def test_a_chip_is_of_the_largest_face_and_says_so(tmp_path):
    (cut, _), (chip, _), _ = searched(tmp_path, range(40))
    assert chip.shape == (224, 224, 3)
    record = cut.record
    assert record.box == [40, 40, 90, 90] and record.square is None and record.landmarks == POINTS.tolist()
    move = similarity(POINTS, chip_points(224, 0.37))
    np.testing.assert_allclose(cut.landmarks, POINTS @ move[:, :2].T + move[:, 2])


def test_small_faces_are_passed_over(tmp_path):
    cuts, _, _ = searched(tmp_path, range(40), min_face=60)
    assert [cut.record.status for cut in cuts] == ['small', 'small']


def test_a_number_of_frames_that_is_stated_wrong(tmp_path, monkeypatch):
    write_video(tmp_path / 'v.mp4', [np.full((32, 32, 3), 200, np.uint8)] * 30, 32)
    monkeypatch.setattr('fsfm_mm.preparation.cutting.reading._stated', lambda *_: (50, 3 * 32 * 32))
    search = FrameSearch(tmp_path / 'v.mp4', PUBLISHED)
    for index, _ in search:
        search.take(index)
    assert search.places == [6, 21]


def test_black_borders():
    photo = np.zeros((60, 50, 3), np.uint8)
    photo[10:50, 5:40] = 90
    photo[0, 0] = 8  # as compression leaves it
    assert without_black_borders(photo) == (5, 10, 40, 50)
    assert without_black_borders(np.zeros((9, 9, 3), np.uint8)) is None


def test_a_picture_without_its_black_borders_fills_the_result(tmp_path):
    photo = cv2.copyMakeBorder(picture(1, 64)[:, :48], 20, 4, 10, 30, cv2.BORDER_CONSTANT)
    cv2.imwrite(str(tmp_path / 'p.png'), photo)
    cv2.imwrite(str(tmp_path / 'black.png'), photo * 0)
    kept = []
    wanted = settings(min_face=0, size=64, cut_black_borders=True)
    cutter = Cutter(wanted, NoDetector(), lambda crop: kept.append(crop) or len(kept) - 1)
    (cut,) = cutter.cut(item(tmp_path / 'p.png', None))
    assert cut.record.square[2] - cut.record.square[0] <= 48 and kept[0].shape == (64, 64, 3)
    assert (kept[0].max(axis=2) > 10).any(axis=1).all()
    (cut,) = cutter.cut(item(tmp_path / 'black.png', None))
    assert (cut.record.status, cut.slot) == ('no_face', None)


@pytest.mark.parametrize(
    'more, message',
    [
        (dict(chip_padding=3), r'chip_padding must lie within 0 and 2 \(published: \.37\), found 3'),
        (dict(chip_padding=0.37, size=None), 'have one size: give it'),
        (dict(chip_padding=0.37, cut_black_borders=True), 'exclude each other'),
    ],
)
def test_settings_that_do_not_fit(more, message):
    with pytest.raises(ValueError, match=message):
        Settings(dict(type='YuNet'), None, **more)


@pytest.mark.parametrize('detector', [DlibFrontal, NoDetector])
def test_chips_need_landmarks(detector):
    wanted = Settings(dict(type=detector.__name__), None, chip_padding=0.37)
    with pytest.raises(ValueError, match=f'landmarks, which {detector.__name__} does not give: take'):
        build_components(wanted, Execution(device='cpu'))
