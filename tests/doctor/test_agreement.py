"""check --against: intersection over union by pixel and patch, of what a crop shows, in two label sets."""

import json

import cv2
import numpy as np
import pytest
from checked_sets import pretraining_set, write_map

from fsfm_mm.commands import check
from fsfm_mm.doctor.agreement import report_agreement
from fsfm_mm.doctor.report import Report
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.regions import CELEBAMASK_TO_LAPA


def agreement(root, truth, labels='lapa'):
    report = Report(str(root), 'pretrain')
    report_agreement(report, str(truth), labels)
    (table,) = report.tables
    return {row[0]: row[1:] for row in table.rows}, report.findings


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', labels.astype(np.uint8))[1].tobytes())


def one_face(tmp_path, found, true, name='f'):
    """A set of one face, and the folder of its true map."""
    (tmp_path / 'set/images').mkdir(parents=True, exist_ok=True)
    write_labels(tmp_path / f'set/images/{name}.png', np.zeros(found.shape))
    write_map(tmp_path / f'set/parsing_maps/{name}.npy', found)
    write_labels(tmp_path / f'truth/{name}.png', true)
    return tmp_path / 'set', tmp_path / 'truth'


def test_pixels_and_patches_are_counted_over_all_faces(tmp_path):
    found, true = np.zeros((2, 64, 64), np.uint8)
    found[0:32, 0:32], true[0:32, 16:48] = 1, 1  # 32 x 16 of 32 x 48 pixels, 2 of 6 patches
    one_face(tmp_path, found, true, 'a')
    again = np.ones((64, 64), np.uint8)
    rows, findings = agreement(*one_face(tmp_path, again, again, 'b'))
    assert rows['skin'] == (
        round(100 * (512 + 4096) / (1536 + 4096), 2),
        round(100 * (4 - 2 + 16) / (6 + 16), 2),
        2,
    )
    background = 64 * 64 - 1536
    assert rows['background'] == (
        round(100 * background / (background + 1024), 2),
        round(100 * 10 / 14, 2),
        1,
    )
    assert rows['hair'] == ('-', '-', 0)
    assert (
        rows['mean'][:1] == (round((rows['skin'][0] + rows['background'][0]) / 2, 2),)
        and rows['mean'][2] == 2
    )
    assert findings == []


def test_celebamask_is_translated_and_its_sides_are_right(tmp_path):
    true = np.repeat(np.arange(19), 8)[None].repeat(160, 0)
    found = np.array(CELEBAMASK_TO_LAPA)[true]
    rows, _ = agreement(*one_face(tmp_path, found, true), labels='celebamask')
    assert {row[:2] for row in rows.values()} == {(100.0, 100.0)}


def test_maps_of_another_label_set_are_refused(tmp_path):
    many = np.repeat(np.arange(19), 8)[None].repeat(160, 0)
    few = np.array(CELEBAMASK_TO_LAPA)[many]
    with pytest.raises(
        ValueError, match=r'no true map could be compared .*--labels lapa.*range from 0 to 18\.$'
    ):
        agreement(*one_face(tmp_path / 'a', few, many))
    with pytest.raises(ValueError, match=r'no label above 10, .* --labels lapa'):
        agreement(*one_face(tmp_path / 'b', few, few), labels='celebamask')


def test_true_maps_are_resized_but_show_the_same(tmp_path):
    found = np.kron(np.arange(4).reshape(2, 2), np.ones((16, 16)))
    rows, _ = agreement(*one_face(tmp_path / 'a', found, np.kron(found, np.ones((3, 3)))))
    assert rows['mean'][0] == 100
    with pytest.raises(ValueError, match='does not show the same'):
        agreement(*one_face(tmp_path / 'b', found, np.zeros((32, 64))))


def prepared(tmp_path, square, true_scale=1, quarters=0):
    """A face cut out of a picture of 120 x 100; the true map may be finer."""
    true = np.zeros((100, 120), np.uint8)
    true[20:60, 30:70] = 1
    true[30:40, 40:50] = 4
    left, top, right, bottom = square
    found = cv2.resize(true[top:bottom, left:right], (64, 64), interpolation=cv2.INTER_NEAREST_EXACT)
    true = np.rot90(true, quarters)  # the picture lies on its side, and was turned before it was cut
    root, truth = one_face(tmp_path, found, np.kron(true, np.ones((true_scale,) * 2)), 'p')
    (tmp_path / 'photos').mkdir()
    write_labels(tmp_path / 'photos/p.png', true)
    record = FaceRecord('p.jpg', file='images/p.png', map='parsing_maps/p.npy', square=list(square))
    record.turned = 90 * quarters or None
    (root / 'manifest.jsonl').write_text(
        FaceRecord('q.jpg', status='no_face').to_json() + '\n' + record.to_json() + '\n'
    )
    (root / 'prepare.json').write_text(json.dumps({'sources': [str(tmp_path / 'photos')]}))
    return root, truth


@pytest.mark.parametrize('true_scale, quarters', [(1, 0), (2, 0), (1, 1), (2, 3)])
def test_what_was_cut_out_is_cut_out_of_the_true_map(tmp_path, true_scale, quarters):
    root, truth = prepared(tmp_path, (20, 10, 84, 74), true_scale, quarters)
    (tmp_path / 'photos/p.png').rename(tmp_path / 'photos/p.jpg')
    rows, _ = agreement(root, truth)
    assert rows['skin'][0] == rows['right_eye'][0] == 100


def test_a_face_whose_picture_is_gone_is_not_guessed(tmp_path):
    with pytest.raises(ValueError, match=r'no true map could be compared'):
        agreement(*prepared(tmp_path, (20, 10, 84, 74)))


def test_faces_without_a_true_map_are_named(tmp_path):
    same = np.ones((32, 32))
    root, truth = one_face(tmp_path, same, same)
    write_labels(root / 'images/g.png', same)
    write_map(root / 'parsing_maps/g.npy', same)
    _, (finding,) = agreement(root, truth)
    assert finding.level == 'warning' and finding.files == ('g.png',)


def test_the_command_prints_the_table(tmp_path, capsys):
    data = pretraining_set(tmp_path / 'set')
    assert check.main([str(data), '--against', str(data / 'parsing_maps'), '--workers', '0']) == 0
    said = capsys.readouterr().out
    assert 'patches of 16' in said and '100.00' in said
    assert check.main([str(data), '--labels', 'lapa']) == 2
    assert check.main([str(data), '--against', str(tmp_path / 'none')]) == 2
    assert 'no such folder' in capsys.readouterr().err
