"""Near-duplicates: the search finds what comparing each with each finds, and no two drawn faces are alike."""

import cv2
import numpy as np
import pytest
from checked_sets import drawn

from fsfm_mm.doctor.lookalikes import find_lookalikes, near_pairs
from fsfm_mm.doctor.scanning import describe


@pytest.mark.parametrize('skewed', [False, True])
def test_pairs_are_those_of_comparing_each_with_each(skewed):
    rng = np.random.default_rng(0)
    base = rng.integers(1 << 64, size=400, dtype=np.uint64)
    if skewed:  # most bits the same everywhere, as in faces
        base &= np.uint64(0x0F0F00000000FFFF)
    hashes = [base]
    for flips in range(1, 7):
        flipped = base[:100].copy()
        for row in range(100):
            for bit in rng.choice(64, flips, replace=False):
                flipped[row] ^= np.uint64(1) << np.uint64(bit)
        hashes.append(flipped)
    hashes = np.unique(np.concatenate(hashes))
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = np.argwhere(np.triu(distance <= 4, 1))
    assert len(expected) > 300
    np.testing.assert_array_equal(near_pairs(hashes), expected)


def test_few_or_no_hashes():
    assert near_pairs(np.empty(0, np.uint64)).shape == (0, 2)
    assert near_pairs(np.array([5], np.uint64)).shape == (0, 2)


def look(images, owners=None):
    described = [describe(image) for image in images]
    hashes = np.array([value for value, _ in described], np.uint64)
    owners = np.arange(len(images)) if owners is None else np.array(owners)
    return find_lookalikes(hashes, np.stack([thumb for _, thumb in described]), owners)


def jpeg(image, quality):
    return cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


CHANGES = {
    'same': lambda image: image,
    'jpeg': lambda image: jpeg(image, 40),
    'half': lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    'darker': lambda image: cv2.convertScaleAbs(image, alpha=0.8),
    'blurred': lambda image: cv2.GaussianBlur(image, (3, 3), 0),
}


@pytest.mark.parametrize('change', CHANGES)
def test_changed_copies_are_found_and_other_faces_not(change):
    faces = [drawn(i, 96)[0] for i in range(40)]
    copies = [CHANGES[change](face) for face in faces[:10]]
    pairs = {tuple(pair) for pair in look(faces + copies).pairs.tolist()}
    assert pairs <= {(i, 40 + i) for i in range(10)}
    assert len(pairs) >= 9


def test_equal_hashes_of_different_pictures_do_not_count():
    images = [drawn(0)[0], drawn(1)[0]]
    thumbs = np.stack([describe(image)[1] for image in images])
    same = np.full(2, 7, np.uint64)
    assert len(find_lookalikes(same, thumbs, np.arange(2)).pairs) == 0
    assert find_lookalikes(same, thumbs[[0, 0]], np.arange(2)).pairs.tolist() == [[0, 1]]


def test_groups_owners_and_flat_pictures():
    a, b = drawn(0)[0], drawn(1)[0]
    flat = np.full_like(a, 50)
    alike = look([a, b, a, flat, a, flat, b, a], owners=[0, 1, 2, 3, 0, 5, 1, -1])
    (pair,) = alike.pairs.tolist()  # 0 and 4 have one owner, so one of them stands for both
    assert pair in ([0, 2], [2, 4])
    assert alike.group[pair[0]] == alike.group[pair[1]]
    assert len(set(alike.group.tolist())) == 7  # one owner, flat, or left out: alone
