"""Shortcuts: what is planted is found, what is not there is not, and no classifier is asked about what it has seen."""

import json

import cv2
import numpy as np
import pytest
from checked_sets import drawn, write_picture

from fsfm_mm.doctor.labelled import check_labelled
from fsfm_mm.doctor.page import report_page
from fsfm_mm.doctor.properties import PROPERTIES, measure
from fsfm_mm.doctor.shortcuts import (
    FOLDS,
    MIN_GROUPS,
    MOST,
    NOTED,
    chosen,
    joined,
    related,
    separation,
    spread_folds,
)

VIDEOS = 30


def quality(image):
    return image, 70


def enlarged(image):
    return cv2.resize(image, (72, 72)), 95


def caption(image):
    image = image.copy()
    return cv2.putText(image, 'made by AI', (1, 62), cv2.FONT_HERSHEY_PLAIN, 0.5, (255, 255, 255)), 95


def framed(image):
    return cv2.copyMakeBorder(image[2:-2, 2:-2], 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(90, 30, 30)), 95


def before_a_wall(image):
    image = image.copy()
    image[:14, :14] = image[:14, -14:] = (40, 160, 80)
    return image, 95


def planted(root, of_fakes, split='train'):
    for number in range(2 * VIDEOS):
        name, image = ('real', 'fake')[number % 2], drawn(number)[0]
        changed, jpeg = of_fakes(image) if name == 'fake' and of_fakes else (image, 95)
        path = root / split / name / f'v{number}_frame_0.jpg'
        write_picture(path, changed, cv2.IMWRITE_JPEG_QUALITY, jpeg)
    return root


def check(root):
    return check_labelled(str(root), 'deepfake', identity='', progress=False)


def told(report):
    return {f.message.partition(' alone')[0]: f.level for f in report.findings if f.check == 'shortcut'}


def test_nothing_is_found_where_nothing_is_planted(tmp_path):
    report, _ = check(planted(tmp_path, None))
    assert told(report) == {}
    (table,) = [t for t in report.tables if t.title.startswith('what tells')]
    assert [row[:2] for row in table.rows] == [(name, 'train') for name in PROPERTIES]
    assert all(low <= value <= high and low < NOTED for _, _, value, low, high in table.rows)


@pytest.mark.parametrize(
    ('leak', 'name'),
    [
        (quality, 'quality tables'),
        (quality, 'bytes per pixel'),
        (enlarged, 'picture size'),
        (caption, 'rim pixels'),
        (framed, 'border colour'),
        (before_a_wall, 'background'),
    ],
)
def test_planted_leaks_are_found(tmp_path, leak, name):
    report, source = check(planted(tmp_path, leak))
    assert told(report)[name] == 'warning' and report.separations[name] > 0.9
    assert report.failed(strict=True) and not report.failed()
    assert f'{name} alone' in report.to_text() and 'what tells the classes apart' in report.to_text()
    rows = [t['rows'] for t in json.loads(report.to_json())['tables'] if t['title'].startswith('what tells')]
    assert {'property': name, 'split': 'train'}.items() <= rows[0][list(PROPERTIES).index(name)].items()
    assert 'AUC of a small classifier on each property alone: 50% tells' in report_page(report, source).html()


def test_too_few_videos_are_said_and_splits_that_are_too_small_are_taken_together(tmp_path):
    for number in range(MIN_GROUPS + 1):
        for name in ('real', 'fake'):
            path = tmp_path / ('train', 'test')[number % 2] / name / f'v{name}{number}.png'
            write_picture(path, drawn(2 * number + (name == 'real'))[0])
    report, _ = check(tmp_path)
    assert {row[1] for row in report.tables[1].rows} == {'all'}
    for path in list(tmp_path.glob('*/real/*'))[:2]:
        path.unlink()
    report, _ = check(tmp_path)
    assert (
        report.tables[1].title
        == 'shortcuts were not looked for: that takes 20 videos of each class that are not related'
    )
    assert told(report) == {} and report.separations == {}


def test_classes_that_lie_on_both_sides_of_the_other_are_told_apart():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    values = np.where(labels == 1, 0.0, rng.choice([-1.0, 1.0], 200))[:, None]
    assert separation(values, labels, np.arange(200)).low > 0.99
    assert separation(rng.normal(size=(200, 1)), labels, np.arange(200)).low < NOTED


def test_what_is_remembered_of_a_video_tells_nothing():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 20)  # 20 frames that are all but equal
    values = np.repeat(rng.normal(size=(60, 40)), 20, axis=0) + 0.01 * rng.normal(size=(1200, 40))
    labels = (groups % 2).astype(np.int64)
    assert separation(values, labels, np.arange(1200)).value > 0.85  # parted: remembered
    found = separation(values, labels, groups)
    assert found.low < NOTED and found.high - found.low > 0.1


def test_a_forgery_stays_with_the_video_that_it_was_made_of():
    videos = [
        'd: real/id0_0001',
        'd: real/aa-b',
        'd: fake/id0_0001',
        'd: fake/aa-b__cc',
        'd: fake_x/id0_0002',
        'd: fake/a_b',
    ]
    groups = joined(related(videos, [video.startswith('d: real') for video in videos]))
    assert groups[0] == groups[2] and groups[1] == groups[3] and len(set(groups.tolist())) == 4


def test_folds_part_no_group_and_have_both_classes():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 50, 500)
    labels = (groups % 5 == 0).astype(np.int64)
    folds = spread_folds(labels, groups)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in range(50))
    assert all(set(labels[folds == fold]) == {0, 1} for fold in range(FOLDS))


def test_pictures_that_share_an_owner_are_joined():
    groups = joined([['a'], ['b'], ['a', 'c'], ['c'], ['d', 'b'], []])
    assert groups[0] == groups[2] == groups[3] and groups[1] == groups[4]
    assert len(np.unique(groups)) == 3
    assert joined([]).shape == (0,)


def test_large_sets_are_measured_in_part():
    splits, labels = np.repeat(['train', 'test'], [MOST * 3, 10]), np.arange(MOST * 3 + 10) % 2
    members = chosen(splits, labels)
    assert len(members) == 2 * MOST + 10
    assert chosen(np.repeat('a', 4 * MOST), np.zeros(4 * MOST)) == frozenset(range(0, 4 * MOST, 4))


def test_properties_of_unusual_pictures(tmp_path):
    sizes = {
        len(values) for values in [measure(str(write_picture(tmp_path / 'a.png', drawn(0)[0])), drawn(0)[0])]
    }
    assert sizes == {len(PROPERTIES)}
    lengths = set()
    for name, image in (
        ('one.png', np.zeros((1, 1, 3), np.uint8)),
        ('row.bmp', np.zeros((2, 300, 3), np.uint8)),
    ):
        found = measure(str(write_picture(tmp_path / name, image)), image)
        assert all(np.isfinite(values).all() for values in found)
        lengths.add(tuple(map(len, found)))
    (tmp_path / 'other.xyz').write_bytes(b'no picture that PIL knows')
    found = measure(str(tmp_path / 'other.xyz'), drawn(0)[0])
    lengths.add(tuple(map(len, found)))
    assert len(lengths) == 1
