"""BlazeFace: where it looks, what its numbers mean, and drawn faces with the network itself."""

import itertools

import numpy as np
import pytest
from drawn_crops import drawn_crop

from fsfm_mm.preparation.detectors import blazeface
from fsfm_mm.preparation.detectors.blazeface import BlazeFace
from fsfm_mm.preparation.mediapipe import NUM_POINTS


@pytest.mark.parametrize('shape', [(400, 400), (720, 1280), (1280, 720), (300, 2000)])
def test_windows_cover_the_picture_and_overlap_by_half(shape):
    picture = np.empty((*shape, 3), np.uint8)
    first, *others = blazeface._windows(picture, 2)
    assert first == (0, 0, max(shape))
    side = others[0][2]
    assert side == max(shape) // 2
    for axis, length in ((0, shape[1]), (1, shape[0])):
        starts = sorted({window[axis] for window in others})
        assert starts[0] == 0 and starts[-1] + side >= length
        assert all(b - a <= side / 2 + 1 for a, b in itertools.pairwise(starts))


def test_small_pictures_are_looked_at_once():
    assert list(blazeface._windows(np.empty((100, 60, 3), np.uint8), 4)) == [(0, 0, 100)]


@pytest.mark.parametrize('size', [(64, 64), (90, 128), (600, 300)])
def test_boxes_are_yunets_in_pixels_of_the_picture(monkeypatch, size):
    """One anchor answers with a box of a quarter about it and eyes level; the mesh sees a face."""
    anchor = 2 * (8 * 16 + 8)  # in the middle of the 16x16 cells, half a cell right and down of the centre

    def blaze(blob, output):
        if output == 'classificators':
            scores = np.full((1, 896, 1), -9.0)
            scores[0, anchor] = 3
            return scores
        values = np.zeros((1, 896, 16))
        values[0, anchor, 2:8] = (32, 32, -6, -4, 6, -4)
        return values

    detector = BlazeFace(levels=1)
    detector._networks = blaze, None
    mesh = np.arange(2 * NUM_POINTS, dtype=float).reshape(NUM_POINTS, 2)
    seen = []
    monkeypatch.setattr(
        blazeface, 'mesh_points', lambda network, picture, *place: (seen.append(place), (mesh, 1.0))[1]
    )
    (face,) = detector.detect([np.zeros((*size, 3), np.uint8)])[0]
    unit = max(size) / 128
    centre = np.array(size[::-1]) / 2 + 4 * unit
    side = 32 * 1.23 * unit
    np.testing.assert_allclose(face.box[2:] - face.box[:2], side, rtol=0.02)
    middle = (face.box[:2] + face.box[2:]) / 2
    np.testing.assert_allclose(middle, centre - (0, 0.105 * 32 * unit), atol=unit)
    assert face.score == pytest.approx(1 / (1 + np.exp(-3)))
    np.testing.assert_allclose(seen[0][1], (24 * unit, 0), rtol=0.02)
    assert face.landmarks.shape == (5, 2) and (face.landmarks[2] == mesh[4]).all()
    monkeypatch.setattr(blazeface, 'mesh_points', lambda *_: (mesh, -1.0))
    assert detector.detect([np.zeros((*size, 3), np.uint8)]) == [[]]


@pytest.mark.parametrize('wrong', [dict(min_score=2), dict(nms=-1), dict(levels=0), dict(levels=5)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f'BlazeFace: {next(iter(wrong))} must lie'):
        BlazeFace(**wrong)


@pytest.mark.slow
def test_networks_of_an_empty_cache_find_drawn_faces(networks):
    crops, _, points = zip(*(drawn_crop(index, 160) for index in range(8)), strict=True)
    detector = BlazeFace()
    for crop, five in zip(crops, points, strict=True):
        (face,) = detector.detect([crop])[0]
        eyes = np.hypot(*(five[1] - five[0]))
        assert np.linalg.norm(face.landmarks - five, axis=1).max() < 0.3 * eyes
    wide = np.full(
        (400, 1400, 3), 120, np.uint8
    )  # 1/10 of the longer side each: one window sees none of them
    for left, crop in ((40, crops[0]), (700, crops[3]), (1200, crops[5])):
        wide[150:310, left : left + 160] = crop
    assert len(detector.detect([wide])[0]) == 3
    assert detector.detect([np.zeros((50, 70, 3), np.uint8)]) == [[]]
