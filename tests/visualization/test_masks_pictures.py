"""Overlays, masks and sheets: pixels are compared, not only shapes."""

import math

import numpy as np
import pytest

from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.ops.masks import crfr_p_masks
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.regions import FACIAL_REGIONS, LABEL_NAMES, REGION_ORDER
from fsfm_mm.visualization import (
    LABEL_COLOURS,
    contact_sheet,
    draw_mask,
    fit,
    hidden_shares,
    label_legend,
    mask_legend,
    overlay_labels,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_overlay_mixes_face_and_colours():
    labels = RNG.integers(0, 11, (32, 48))
    expected = np.rint(0.7 * IMAGE.astype(float) + 0.3 * LABEL_COLOURS[labels])
    np.testing.assert_allclose(overlay_labels(IMAGE, labels, 0.3), expected, atol=1)
    np.testing.assert_array_equal(overlay_labels(IMAGE, labels, 0), IMAGE)
    np.testing.assert_array_equal(overlay_labels(IMAGE, labels, 1), LABEL_COLOURS[labels])


def test_overlay_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r'the map has the shape \(32, 32\), but its face \(32, 48\)'):
        overlay_labels(IMAGE, np.zeros((32, 32), int))
    with pytest.raises(ValueError, match='found 0 to 11'):
        overlay_labels(IMAGE, np.full((32, 48), 11) * (np.arange(48) > 3))
    with pytest.raises(ValueError, match='opacity'):
        overlay_labels(IMAGE, np.zeros((32, 48), int), 1.5)


def test_colours_differ_and_have_names():
    distance = np.abs(LABEL_COLOURS[:, None].astype(int) - LABEL_COLOURS[None]).sum(2)
    assert distance[~np.eye(11, dtype=bool)].min() > 60
    legend = label_legend()
    assert list(legend) == [name.replace('_', ' ') for name in LABEL_NAMES]
    assert legend['inner mouth'] == '#ffffff' and legend['right brow'] == '#783cc8'


def test_visible_patches_stay_and_hidden_ones_turn_grey():
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = mask[3, 5] = True
    drawn = draw_mask(IMAGE, mask)
    pixels = mask.repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(drawn[~pixels], IMAGE[~pixels])
    np.testing.assert_allclose(drawn[pixels], np.rint(0.08 * IMAGE[pixels] + 0.92 * 128), atol=1)
    assert draw_mask(IMAGE, np.zeros((4, 6), bool)).tolist() == IMAGE.tolist()


def test_the_covered_region_is_orange_within_its_outline():
    mask = np.zeros((2, 3), bool)
    mask[0] = True
    region = np.zeros_like(mask)
    region[0, 1] = True
    drawn = draw_mask(np.zeros_like(IMAGE), mask, region)
    assert drawn[8, 24].tolist() == [156, 84, 13]  # 65 % of the orange on black
    assert drawn[0, 24].tolist() == drawn[8, 16].tolist() == [180, 50, 0]
    assert drawn[8, 8].tolist() == [118, 118, 118] and drawn[24, 24].tolist() == [0, 0, 0]


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='does not divide a 32x48 face'):
        draw_mask(IMAGE, np.zeros((5, 6), bool))
    with pytest.raises(ValueError, match='one shape'):
        draw_mask(IMAGE, np.zeros((4, 6), bool), np.zeros((4, 4), bool))


def test_hidden_shares_by_hand():
    # patches: skin; skin and hair (a boundary too); eye; background
    labels = np.array([[[1 << 1, 1 << 1 | 1 << 10], [1 << 4, 1]]], np.uint16)
    shares = hidden_shares(labels, np.array([[True, False, True, False]]))
    assert list(shares) == list(REGION_ORDER)
    assert shares['skin'] == 0.5 and shares['eyes'] == 1 and shares['background'] == 0
    assert shares['hair'] == shares['boundary'] == 0 and math.isnan(shares['nose'])


def test_a_covered_region_is_hidden_wholly():
    labels = np.stack([patch_labels(draw_face(i, 224, 0)[1], 16) for i in range(4)])
    for number, region in enumerate(FACIAL_REGIONS):
        mask, _ = crfr_p_masks(labels, 147, np.random.default_rng(0), region=number)
        assert hidden_shares(labels, mask)[region] == 1


def test_fit_keeps_the_proportions():
    assert fit(IMAGE, 24).shape == (16, 24, 3)
    np.testing.assert_array_equal(fit(IMAGE, 96), IMAGE.repeat(2, 0).repeat(2, 1))


def test_sheet_puts_every_picture_into_its_place():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    rows = [[np.full((10, 10, 3), c, np.uint8) for c in row] for row in colours]
    sheet = contact_sheet(rows, ['a', 'b'], size=50, gap=4)
    top = sheet.shape[0] - 104
    for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = sheet[top + 54 * r : top + 54 * r + 50, 54 * c : 54 * c + 50]
        assert (part == colours[r, c]).all()
    assert sheet.shape[1] == 104 and (sheet[:top] != 255).any()  # titles
    named = contact_sheet(rows, ['a', 'b'], ['first', 'x' * 200], size=50, gap=4)
    assert 104 < named.shape[1] <= 104 + 100  # the column of names is at most two pictures wide
    assert (named[top:, :-104] != 255).any()


def test_a_sheet_of_pictures_as_they_are_has_columns_and_rows_of_their_sizes():
    low, high, wide = (np.full((*size, 3), 7, np.uint8) for size in ((4, 5), (9, 3), (2, 8)))
    sheet = contact_sheet([[low, wide], [high, low]], size=None, gap=2)
    assert sheet.shape == (4 + 2 + 9, 5 + 2 + 8, 3)
    expected = np.full(sheet.shape, 255, np.uint8)
    expected[:4, :5] = expected[:2, 7:15] = expected[6:, :3] = expected[6:10, 7:12] = 7
    np.testing.assert_array_equal(sheet, expected)


def test_sheet_refuses_uneven_rows():
    with pytest.raises(ValueError, match='rows of some pictures'):
        contact_sheet([[]])
    with pytest.raises(ValueError, match='rows of 2 pictures'):
        contact_sheet([[IMAGE]], ['a', 'b'])
    with pytest.raises(ValueError, match='1 names'):
        contact_sheet([[IMAGE], [IMAGE]], ['a'], ['only one'])


def test_a_sheet_says_what_its_colours_mean():
    picture = np.full((60, 200, 3), 9, np.uint8)
    plain = contact_sheet([[picture]], size=None)
    sheet = contact_sheet(
        [[picture]], size=None, legends=[{'a:': '', 'red one': '#ff0000'}, {'b': '#00ff00'}]
    )
    np.testing.assert_array_equal(sheet[:60], plain)
    below = sheet[60:]
    red, green = ((below == colour).all(-1) for colour in ([255, 0, 0], [0, 255, 0]))
    rows = [np.flatnonzero(found.any(1)) for found in (red, green)]
    assert len(rows[0]) > 5 and rows[0].max() < rows[1].min(), 'each legend has a line of its own'
    many = contact_sheet([[picture]], size=None, legends=[{f'a long name {i}': '#0000ff' for i in range(6)}])
    assert len(many) > len(sheet), 'entries that do not fit go on in the next line'
    assert (many[-1] == 255).all() and (many[60:, -1] == 255).all()


def test_a_caption_is_broken_into_lines():
    picture = np.full((60, 200, 3), 9, np.uint8)
    heights = [len(contact_sheet([[picture]], size=None, caption='word ' * n)) for n in (0, 1, 20, 60)]
    assert heights == sorted(set(heights)) and heights[0] == 60


def test_the_legend_has_the_colours_of_the_masks():
    grey = np.full((16, 16, 3), 128, np.uint8)
    mask = np.ones((2, 2), bool)
    hidden, covered = (draw_mask(grey, mask, region)[8, 4] for region in (None, mask))
    assert ['#' + bytes(colour.tolist()).hex() for colour in (hidden, covered)] == list(
        mask_legend().values()
    )
