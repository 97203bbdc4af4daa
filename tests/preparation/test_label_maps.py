"""Classes of other data sets as LaPa's labels: sides, glasses, what a config may say."""

import json

import numpy as np
import pytest
from drawn_crops import drawn_crop
from facer.face_parsing.farl import pretrain_settings

from fsfm_mm.preparation.parsers.label_maps import FACER_TARGETS, label_fractions, label_table
from fsfm_mm.regions import CELEBAMASK_NAMES, LABEL_NAMES

#: CelebAMask-HQ's classes in their order as documented,
#: and what facer calls the same classes.
PAIRS = """
background background, skin face, nose nose, eye_g eyeg, l_eye le, r_eye re, l_brow lb, r_brow rb, l_ear lr, r_ear rr,
mouth imouth, u_lip ulip, l_lip llip, hair hair, hat hat, ear_r earr, neck_l neck_l, neck neck, cloth cloth
"""
FACER_OF = dict(pair.split() for pair in PAIRS.split(','))
ORDER = list(FACER_OF)


def draw_in(names):
    """A face drawn in 19 classes by where its parts lie in the picture, and what LaPa calls the same pixels.

    The subject's left is the picture's right; ears, a hat, a necklace and clothes are added by hand.
    """
    _, lapa, points = drawn_crop(3)
    lapa = lapa.copy()
    middle = points[:2, 0].mean()
    on_left = np.broadcast_to(np.arange(lapa.shape[1]) < middle, lapa.shape)
    classes = np.full(lapa.shape, names.index('background'))
    for labels, right, left in (((2, 3), 'r_brow', 'l_brow'), ((4, 5), 'r_eye', 'l_eye')):
        part = np.isin(lapa, labels)
        classes[part & on_left], classes[part & ~on_left] = names.index(right), names.index(left)
    for label, name in ((1, 'skin'), (6, 'nose'), (7, 'u_lip'), (8, 'mouth'), (9, 'l_lip'), (10, 'hair')):
        classes[lapa == label] = names.index(name)
    skin = lapa == 1
    column = np.arange(lapa.shape[1])
    classes[skin & (column < np.nonzero(skin)[1].min() + 6)] = names.index('r_ear')
    classes[skin & (column > np.nonzero(skin)[1].max() - 6)] = names.index('l_ear')
    rows = np.arange(lapa.shape[0])[:, None]
    hat = (lapa == 10) & (rows < 12)
    classes[hat], lapa[hat] = names.index('hat'), 0
    for number, name in enumerate(('ear_r', 'neck_l', 'neck', 'cloth')):
        strip = (lapa == 0) & (rows >= 200 + 6 * number)
        classes[strip] = names.index(name)
    assert len(np.unique(classes)) == 18  # all but the glasses
    return classes, lapa


def centre(labels, name):
    return np.nonzero(labels == LABEL_NAMES.index(name))[1].mean()


def test_celebamask_sides_and_classes_on_a_drawn_face():
    classes, lapa = draw_in(ORDER)
    labels = label_table('celebamask')(classes)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, lapa)
    # the subject's left is on the image's right
    assert centre(labels, 'left_eye') > centre(labels, 'nose') > centre(labels, 'right_eye')
    assert centre(labels, 'left_brow') > centre(labels, 'nose') > centre(labels, 'right_brow')


def test_facers_celebm_is_mapped_by_name():
    names = pretrain_settings['celebm/448']['label_names']
    assert sorted(names) == sorted(FACER_OF.values())
    classes, lapa = draw_in(ORDER)
    translated = np.array([names.index(FACER_OF[name]) for name in ORDER])[classes]
    np.testing.assert_array_equal(label_table('facer', names)(translated), lapa)


def test_facers_lapa_model_has_lapas_order():
    names = pretrain_settings['lapa/448']['label_names']
    assert label_table('facer', names).targets == LABEL_NAMES
    assert set(FACER_TARGETS) == {*names, *pretrain_settings['celebm/448']['label_names']}


def test_celebamask_order_is_the_documented_one():
    assert list(CELEBAMASK_NAMES) == ORDER


@pytest.mark.parametrize(
    'hidden, expected',
    [((), 'skin'), (('l_eye',), 'skin'), (('r_eye',), 'skin'), (('l_eye', 'r_eye'), 'background')],
)
def test_glasses_are_skin_unless_neither_eye_shows(hidden, expected):
    classes, lapa = draw_in(ORDER)
    glasses = np.zeros(lapa.shape, bool)
    glasses[90:100, 60:160] = True
    glasses &= ~np.isin(lapa, (2, 3, 4, 5))
    for name in hidden:
        glasses |= classes == ORDER.index(name)
    classes[glasses] = ORDER.index('eye_g')
    labels = label_table('celebamask')(classes)
    assert set(np.unique(labels[glasses])) == {LABEL_NAMES.index(expected)}
    np.testing.assert_array_equal(labels[~glasses], lapa[~glasses])


def test_the_other_order_of_a_network_trained_on_celebamask():
    order = [*ORDER[:2], *reversed(ORDER[2:])]
    classes, lapa = draw_in(order)
    np.testing.assert_array_equal(label_table('celebamask', order)(classes), lapa)


def test_a_dict_by_numbers_by_text_and_by_names():
    classes = np.array([[0, 1, 2], [2, 1, 0]])
    expected = np.array([[0, 10, 5], [5, 10, 0]])
    by_number = {2: 'left_eye', 0: 'background', 1: 'hair'}
    by_name = {'wig': 'hair', 'lens': 'left_eye', 'wall': 'background'}
    np.testing.assert_array_equal(label_table(by_number)(classes), expected)
    np.testing.assert_array_equal(label_table({str(k): v for k, v in by_number.items()})(classes), expected)
    np.testing.assert_array_equal(label_table(by_name, ['wall', 'wig', 'lens'])(classes), expected)


@pytest.mark.parametrize(
    'label_map, names, message',
    [
        ('lappa', None, 'must be one of lapa, celebamask, facer or a dict'),
        ('facer', None, 'needs label_names'),
        ('celebamask', ['skin', 'l_eye', 'tail'], 'tail'),
        ({0: 'background', 2: 'skin'}, None, 'without a target: 1'),
        ({0: 'background', 1: 'beard'}, None, "found 'beard'"),
        ({'a': 'skin', 'b': 'hair'}, None, "unknown class 'a'"),
        ({'a': 'skin'}, ['a', 'b', 'c'], 'without a target: b, c'),
        ({'a': 'skin', 'd': 'hair'}, ['a', 'b'], "unknown class 'd'"),
        ({0: 'skin', 1: 'hair', 2: 'nose'}, ['a', 'b'], 'has 2 classes: 2'),
        ({'a': 'skin', 0: 'hair'}, ['a', 'b'], 'class 0 is named twice'),
        ({'a': 'skin'}, ['a', 'a'], 'given twice: a'),
        ({0: 'skin'}, None, '2 to 256 classes'),
    ],
)
def test_wrong_label_maps_are_named(label_map, names, message):
    with pytest.raises(ValueError, match=message):
        label_table(label_map, names)


def test_a_class_that_the_map_does_not_name():
    table = label_table({0: 'background', 1: 'skin'})
    with pytest.raises(ValueError, match=r'names 2 classes .* gave classes 0 to 2'):
        table(np.array([[0, 2]]))
    with pytest.raises(ValueError, match='gave classes -1 to 0'):
        table(np.array([[-1, 0]]))


def test_fractions_name_all_labels_in_order_and_round():
    labels = np.zeros((3, 7), np.uint8)
    labels[0, :2], labels[1, 0] = 10, 4
    fractions = label_fractions(labels)
    assert list(fractions) == list(LABEL_NAMES)
    assert fractions['background'] == 0.857143
    assert fractions['hair'] == 0.095238
    assert fractions['right_eye'] == 0.047619
    assert sum(value > 0 for value in fractions.values()) == 3
    assert '0.095238' in json.dumps(fractions)


@pytest.mark.parametrize('labels', [np.full((2, 2), 11), np.full((2, 2), -1), np.zeros((0, 4), int)])
def test_fractions_refuse_what_is_no_map(labels):
    with pytest.raises(ValueError, match='labels 0 to 10'):
        label_fractions(labels)
