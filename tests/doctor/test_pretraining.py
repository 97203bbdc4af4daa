"""The doctor on pretraining data: every fault is found when it is planted, and a clean set passes."""

import hashlib
import json
import math
import tracemalloc

import cv2
import numpy as np
import pytest
from checked_sets import drawn, pretraining_set, write_map, write_picture

from fsfm_mm.doctor.manifest import read_manifest
from fsfm_mm.doctor.page import report_page
from fsfm_mm.doctor.pretraining import check_pretraining
from fsfm_mm.doctor.report import Report
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.regions import LABEL_NAMES


@pytest.fixture
def data(tmp_path):
    return pretraining_set(tmp_path / 'set')


def check(root, **options):
    return check_pretraining(str(root), progress=False, **options)[0]


def found(report):
    """(level, check) -> files of the finding, without the notes on absent labels, which drawn faces have too."""
    return {(f.level, f.check): list(f.files) for f in report.findings if f.check != 'absent labels'}


def table(report, start):
    return next(t for t in report.tables if t.title.startswith(start))


def test_clean_set_passes(data):
    report = check(data)
    assert found(report) == {}
    assert report.count('error') == report.count('warning') == 0 and not report.failed(strict=True)
    assert report.facts == ['6 pictures, 6 with a usable map']
    assert [s.name for s in report.samples] == [f'sub/f{i}.png' for i in range(6)]


def test_label_statistics_are_those_of_the_maps(data):
    report = check(data)
    maps = np.stack([drawn(i)[1] for i in range(6)])
    for label, (name, percent, faces, percent_faces) in enumerate(table(report, 'labels').rows):
        assert name == LABEL_NAMES[label]
        assert math.isclose(percent, 100 * (maps == label).mean(), rel_tol=1e-5)
        assert faces == (maps == label).any(axis=(1, 2)).sum()
        assert math.isclose(percent_faces, 100 * faces / 6)
    assert math.isclose(sum(report.shares.values()), 1, rel_tol=1e-5)


def test_regions_are_counted_on_the_patches_of_the_recipe(tmp_path):
    # the edge between skin and background runs through the eighth of 14 columns of patches
    labels = np.zeros((224, 224), np.uint8)
    labels[:, :120] = 1
    write_picture(tmp_path / 'images/a.png', drawn(0, 224)[0])
    write_map(tmp_path / 'parsing_maps/a.npy', labels)
    rows = {row[0]: row[1:3] for row in table(check(tmp_path), 'regions').rows}
    assert rows['skin'] == (pytest.approx(100 * 8 / 14), 1)
    assert rows['background'] == (pytest.approx(100 * 7 / 14), 1)
    assert rows['boundary'] == (pytest.approx(100 * 1 / 14), 1)
    assert rows['nose'] == (0, 0)


def test_unreadable_pictures_and_maps(data):
    picture, labels = data / 'images/sub/f1.png', data / 'parsing_maps/sub/f2.npy'
    picture.write_bytes(picture.read_bytes()[:-200])
    labels.write_bytes(labels.read_bytes()[:-10])
    (data / 'parsing_maps/sub/f3.npy').write_bytes(b'')
    report = check(data)
    files = found(report)
    assert set(files) == {('error', 'unreadable picture'), ('error', 'unusable map')}
    assert (
        len(files['error', 'unreadable picture']) == 1 and 'f1.png' in files['error', 'unreadable picture'][0]
    )
    assert ['f2.npy' in f or 'f3.npy' in f for f in files['error', 'unusable map']] == [True, True]
    assert report.failed() and len(report.broken) == 3


def test_labels_out_of_range_and_sizes_that_differ(data):
    write_map(data / 'parsing_maps/sub/f0.npy', np.full((64, 64), 11))
    write_map(data / 'parsing_maps/sub/f1.npy', drawn(1, 96)[1])
    report = check(data)
    files = found(report)
    assert set(files) == {('error', 'unusable map'), ('error', 'size mismatch')}
    assert report.facts == ['6 pictures, 4 with a usable map']
    assert 'range from 11 to 11' in files['error', 'unusable map'][0]
    assert 'f1.npy: the map is 96x96 pixels, but its picture 64x64' in files['error', 'size mismatch'][0]


def test_pictures_without_maps_and_maps_without_pictures(data):
    (data / 'parsing_maps/sub/f4.npy').rename(data / 'parsing_maps/sub/other.npy')
    files = found(check(data))
    assert files == {
        ('error', 'picture without map'): ['sub/f4.png'],
        ('warning', 'map without picture'): ['sub/other.npy'],
    }


def test_no_maps_at_all(data):
    (data / 'parsing_maps').rename(data / 'elsewhere')
    report = check(data)
    assert set(found(report)) == {('warning', 'no maps')}
    assert report.shares == {} and not report.failed() and report.failed(strict=True)


def test_name_collisions(data):
    write_picture(data / 'images/sub/f0.jpg', drawn(7)[0])
    write_picture(data / 'images/sub/F1.png', drawn(8)[0])
    write_map(data / 'parsing_maps/sub/F1.npy', drawn(8)[1])
    report = check(data)
    collisions = [(f.level, sorted(f.files)) for f in report.findings if f.check == 'name collision']
    assert ('error', ['sub/f0.jpg', 'sub/f0.png']) in collisions
    assert ('warning', ['sub/F1.png', 'sub/f1.png']) in collisions
    assert ('warning', ['sub/F1.npy', 'sub/f1.npy']) in collisions and len(collisions) == 3


def test_faces_without_a_region_flat_and_oblong_pictures(data):
    write_map(data / 'parsing_maps/sub/f0.npy', np.ones((64, 64)))  # all skin, no boundary
    write_picture(data / 'images/sub/f1.png', np.full((64, 64, 3), 90, np.uint8))
    write_picture(data / 'images/sub/f2.png', drawn(2)[0][:48])
    write_map(data / 'parsing_maps/sub/f2.npy', drawn(2)[1][:48])
    report = check(data)
    assert found(report) == {
        ('warning', 'no facial region'): ['sub/f0.png'],
        ('warning', 'flat picture'): ['sub/f1.png'],
        ('warning', 'not square'): [],
    }
    assert set(table(report, 'sizes').rows) == {('64x64', 5), ('64x48', 1)}


def test_near_duplicates(data):
    copy = cv2.convertScaleAbs(drawn(3)[0], alpha=0.9, beta=5)
    write_picture(data / 'images/again.jpg', copy, cv2.IMWRITE_JPEG_QUALITY, 60)
    write_map(data / 'parsing_maps/again.npy', drawn(3)[1])
    report = check(data)
    assert found(report) == {('note', 'near-duplicates'): ['again.jpg = sub/f3.png']}
    assert [(a.name, b.name) for a, b in report.lookalikes] == [('again.jpg', 'sub/f3.png')]


def test_frames_of_one_video_are_no_near_duplicates(data):
    for frame in range(3):
        write_picture(data / f'images/clip_frame_{frame}.png', drawn(9)[0])
        write_map(data / f'parsing_maps/clip_frame_{frame}.npy', drawn(9)[1])
    assert found(check(data)) == {}


def record(data, name, **values):
    content = (data / 'images' / name).read_bytes()
    given = dict(source=name, file=f'images/{name}', sha256=hashlib.sha256(content).hexdigest()) | values
    return FaceRecord(**given).to_json() + '\n'


def test_manifest_of_a_clean_set(data):
    lines = [record(data, f'sub/f{i}.png', map=f'parsing_maps/sub/f{i}.npy') for i in range(6)]
    (data / 'manifest.jsonl').write_text(''.join(lines))
    (data / 'prepare.json').write_text(json.dumps({'approximate_maps': True}))
    report = check(data)
    assert found(report) == {('note', 'approximate maps'): []}
    assert table(report, 'manifest').rows == (('ok', 6, 'written'),)


def test_a_long_manifest_takes_little_memory(tmp_path):
    labels = dict.fromkeys(LABEL_NAMES, 0.1234)
    with (tmp_path / 'manifest.jsonl').open('w') as file:
        for number in range(2000):
            name, points = f'person{number:06d}/face', [[1.5 * number, 2.5]] * 5
            record = FaceRecord(f'{name}.jpg', box=[number + 0.5] * 4, landmarks=points, labels=labels)
            record.file, record.map = f'images/{name}.png', f'parsing_maps/{name}.npy'
            record.sha256 = f'{number:064d}'
            file.write(record.to_json() + '\n')
    tracemalloc.start()
    try:
        lines = read_manifest(Report('', 'pretrain'), str(tmp_path))
        taken = tracemalloc.get_traced_memory()[0] / len(lines)
    finally:
        tracemalloc.stop()
    assert lines[-1].sha256 == f'{1999:064d}' and taken < 600


def test_manifest_that_does_not_fit(data):
    lines = [
        record(data, 'sub/f0.png', sha256='0' * 64),
        record(data, 'sub/f1.png', map='parsing_maps/gone.npy'),
        record(data, 'sub/f2.png', file='images/sub/gone.png'),
        *(record(data, f'sub/f{i}.png') for i in (3, 4, 5)),
        FaceRecord('clip.mp4', status='unreadable', message='no frames', frame=3).to_json() + '\n',
        FaceRecord('wall.jpg', status='no_face').to_json() + '\n',
        '{"status": \n',
    ]
    (data / 'manifest.jsonl').write_text(''.join(lines))
    (data / '.prepare').mkdir()
    files = found(check(data))
    assert 'f0.png: is not the file that the manifest describes' in files.pop(('error', 'changed file'))[0]
    assert 'manifest.jsonl:9' in files.pop(('error', 'manifest'))[0]
    assert files == {
        ('error', 'lost picture'): ['images/sub/gone.png'],
        ('error', 'lost map'): ['parsing_maps/gone.npy'],
        ('warning', 'unknown picture'): ['images/sub/f2.png'],
        ('warning', 'failed sources'): ['clip.mp4, frame 3: unreadable: no frames'],
        ('note', 'no face'): ['wall.jpg: no_face'],
        ('warning', 'unfinished'): [],
    }


def test_statistics_are_missed(data):
    (data / 'mean_std.json').unlink()
    assert found(check(data)) == {('note', 'no statistics'): []}


def test_workers_find_the_same(tmp_path):
    data = pretraining_set(tmp_path, count=150, size=32)
    write_map(data / 'parsing_maps/sub/f99.npy', np.zeros((8, 8)))  # last of all by name
    here, there = check(data), check(data, workers=2)
    assert here.to_json() == there.to_json() and here.count('error') == 1
    assert [sample.index for sample in there.broken] == [149]


def test_nothing_to_check(tmp_path):
    (tmp_path / 'images').mkdir()
    with pytest.raises(ValueError, match='images: no pictures'):
        check(tmp_path)


def test_text_names_some_files_and_json_all():
    report = Report('root', 'pretrain')
    report.add('note', 'b', 'harmless.')
    report.add('error', 'a', 'bad.', [f'file{i}' for i in range(8)])
    text = report.to_text()
    assert text.index('errors') < text.index('- a: bad.') < text.index('notes') < text.index('- b: harmless.')
    assert 'file4' in text and 'file5' not in text and '... and 3 more' in text
    assert text.endswith('1 error, 0 warnings, 1 note\n')
    content = json.loads(report.to_json())
    assert content['counts'] == {'error': 1, 'warning': 0, 'note': 1}
    assert content['findings'][0]['files'] == [f'file{i}' for i in range(8)]
    with pytest.raises(ValueError, match='level must be one of'):
        report.add('fatal', 'c', 'x')


def test_page_shows_samples_failures_and_pairs(data):
    write_picture(data / 'images/<b>.png', drawn(3)[0])
    write_map(data / 'parsing_maps/<b>.npy', drawn(3)[1])
    path = data / 'images/sub/f1.png'
    path.write_bytes(path.read_bytes()[:-200])
    report, source = check_pretraining(str(data), samples=4, progress=False)
    html = report_page(report, source).html()
    assert '<b>.png' not in html and '&lt;b&gt;.png = sub/f3.png' in html
    assert html.count('<img ') == 4 + 1  # samples and the pair; the failure cannot be shown
    assert html.count('width="320" height="160"') == 5  # with their maps beside them; two pictures
    assert 'no picture' in html and 'f1.png: cannot be decoded' in html
    assert 'share of the pixels' in html and html.count('<rect ') == 11


@pytest.mark.faces
def test_real_faces(faces):
    report = check(faces / 'pretrain')
    assert report.count('error') == report.count('warning') == 0
    assert report.facts == ['280 pictures, 280 with a usable map']
    assert not report.lookalikes
    absent = next(f.message for f in report.findings if f.check == 'absent labels')
    assert 'inner_mouth (33)' in absent
