"""Where the results of a test go, and that none of an earlier test is lost or mixed with them."""

import json
import os

import pytest
from test_protocols import evaluation

from fsfm_mm.apis.results import results_folder, set_earlier_aside, write_result


def test_results_lie_beside_the_checkpoint_under_its_name():
    assert str(results_folder(['work_dirs/a/best.pth'])) == 'work_dirs/a/test/best'
    assert str(results_folder(['run/epoch_1.pth', 'run/epoch_10.pth', 'run/epoch_9.pth'])) == (
        'run/test/epoch_1_to_epoch_9_of_3'
    )
    with pytest.raises(ValueError, match=r'different folders \(a, b, \.\.\.\): name the folder .* --out'):
        results_folder(['a/best.pth', 'b/best.pth'])


def test_a_work_directory_has_them_in_itself(tmp_path):
    assert results_folder([tmp_path]).parent == tmp_path / 'test'


def test_the_same_test_again_takes_the_place_of_the_earlier_one(tmp_path, monkeypatch):
    result = evaluation()[0].run('honest')
    assert set_earlier_aside(tmp_path, 'honest', result) is None
    write_result(result, 'honest', tmp_path)
    names = sorted(os.listdir(tmp_path))
    (tmp_path / 'honest_left-over_samples.csv').touch()
    (tmp_path / 'published.json').touch()
    monkeypatch.chdir(tmp_path)  # whether the checkpoint is named from here or from the root
    text = (tmp_path / 'honest.json').read_text()
    (tmp_path / 'honest.json').write_text(text.replace('"target": "a"', f'"target": "{tmp_path}/a"'))
    assert 'were replaced' in set_earlier_aside(tmp_path, 'honest', result)
    write_result(result, 'honest', tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*names, 'published.json'])


def test_another_test_of_the_checkpoint_keeps_the_earlier_one(tmp_path):
    for number, checkpoint in enumerate(['a', 'b', 'a']):
        result = evaluation(checkpoints=[checkpoint])[0].run('honest')
        said = set_earlier_aside(tmp_path, 'honest', result)
        write_result(result, 'honest', tmp_path)
        if number:
            assert f'are in {tmp_path / f"earlier_{number}"} now' in said
    found = {
        path.parent.name: json.loads(path.read_text())['checkpoints']['target']
        for path in tmp_path.rglob('honest.json')
    }
    assert found == {tmp_path.name: 'a', 'earlier_1': 'a', 'earlier_2': 'b'}


def test_what_is_no_report_is_kept_too(tmp_path):
    for text in ('{}', 'no json', '[]', '{"checkpoints": 3}'):
        (tmp_path / 'honest.json').write_text(text)
        set_earlier_aside(tmp_path, 'honest', evaluation()[0].run('honest'))
    assert {path.read_text() for path in tmp_path.rglob('honest.json')} == {
        '{}',
        'no json',
        '[]',
        '{"checkpoints": 3}',
    }
