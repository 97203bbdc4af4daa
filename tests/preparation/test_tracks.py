"""One person stays one through the chosen frames of a video."""

import numpy as np
import pytest

from fsfm_mm.preparation.cutting.tracks import Tracker, choose_track, dissimilarity
from fsfm_mm.preparation.detectors.base import Face


def face(x, y=100.0, side=100.0, score=0.9):
    """A face by its centre."""
    return Face(np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2]), score)


def follow(*frames):
    tracker = Tracker()
    return [tracker.update(frame) for frame in frames]


def test_dissimilarity_by_hand():
    boxes = [face(0, 0).box, face(100, 0).box, face(0, 0, 200).box, face(30, 40).box]
    found = dissimilarity(boxes[:1], boxes)
    np.testing.assert_allclose(found, [[0, 1, 1, 0.5]], atol=1e-12)
    np.testing.assert_allclose(dissimilarity(boxes, boxes[:1]), found.T, atol=1e-12)
    assert np.isfinite(dissimilarity([np.zeros(4)], boxes)).all()


def test_two_people_keep_their_numbers_whatever_the_order():
    assert follow(
        [face(100), face(300)], [face(290), face(110)], [face(120), face(285)], [], [face(280), face(140)]
    ) == [[0, 1], [1, 0], [0, 1], [], [1, 0]]


def test_people_who_move_more_than_their_width_between_frames():
    assert follow(*([face(100 + 150 * i)] for i in range(6))) == [[0]] * 6


def test_one_who_leaves_comes_back_and_nobody_takes_the_number():
    assert follow([face(100), face(300)], [face(300)], [face(310)], [face(310), face(110)]) == [
        [0, 1],
        [1],
        [1],
        [1, 0],
    ]


def test_a_row_is_not_pushed_one_seat_further():
    # the one on the left leaves, and another sits down on the right
    assert follow([face(100), face(250)], [face(250), face(400)]) == [[0, 1], [1, 2]]


def test_all_together_and_not_the_nearest_first():
    # the face at 180 is nearer to where the second was, who has moved on
    assert follow([face(100), face(240)], [face(180), face(330)]) == [[0, 1], [0, 1]]


def test_far_away_or_of_another_size_is_another_person():
    assert follow([face(100)], [face(301)]) == [[0], [1]]
    assert follow([face(100)], [face(299)]) == [[0], [0]]
    assert follow([face(100)], [face(100, side=410)]) == [[0], [1]]
    assert follow([face(100)], [face(100, side=390)]) == [[0], [0]]


def test_numbers_differ_within_a_frame():
    generator = np.random.default_rng(0)
    tracker = Tracker()
    seen = set()
    for _ in range(30):
        faces = [
            face(*generator.uniform(0, 600, 2), generator.uniform(20, 200))
            for _ in range(generator.integers(6))
        ]
        numbers = tracker.update(faces)
        assert len(numbers) == len(faces) == len(set(numbers))
        new = sorted(set(numbers) - seen)
        assert new == list(range(len(seen), len(seen) + len(new)))
        seen |= set(new)


def shown(chosen):
    """Rank, x and side of the chosen faces."""
    return [[(rank, (f.box[0] + f.box[2]) / 2) for rank, f in frame] for frame in chosen]


FRAMES = [
    [face(100, side=100), face(400, side=90, score=0.95)],
    [face(110, side=100), face(400, side=105, score=0.95)],  # the other one is larger here
    [face(400, side=90, score=0.95)],
    [face(700, side=60, score=0.5), face(120, side=130)],
]


def test_the_largest_is_one_person_and_not_the_largest_face_of_each_frame():
    assert shown(choose_track(FRAMES, 'largest')) == [[(0, 100)], [(0, 110)], [], [(0, 120)]]


def test_the_best_is_the_one_with_the_largest_total_score():
    assert shown(choose_track(FRAMES, 'best')) == [[(0, 400)], [(0, 400)], [(0, 400)], []]


def test_all_are_ranked_by_their_total_area():
    assert shown(choose_track(FRAMES, 'all')) == [
        [(0, 100), (1, 400)],
        [(0, 110), (1, 400)],
        [(1, 400)],
        [(0, 120), (2, 700)],
    ]


def test_no_faces_and_an_unknown_choice():
    assert choose_track([[], []]) == [[], []]
    assert choose_track([]) == []
    with pytest.raises(ValueError, match="one of largest, best, all, but is 'first'"):
        choose_track(FRAMES, 'first')
