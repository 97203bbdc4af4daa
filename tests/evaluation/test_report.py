"""The score table in all its renderings, exactly, and files written whole or not at all."""

import csv
import json
import os
import statistics

import pytest

from fsfm_mm.evaluation import ScoreReport
from fsfm_mm.files import write_atomically

ROWS = {
    'CDFv2': {'video/AUC': 0.91437, 'HTER@target-EER': 0.25, 'frame/ACC': 1 / 3},
    'a longer name': {'video/AUC': 0.5, 'HTER@target-EER': None},
}
REPORT = ScoreReport(
    ROWS, intervals={'CDFv2': {'video/AUC': (0.9, 0.93)}}, notes=['seed 0'], title='Cross-set test'
)


def test_text():
    assert REPORT.to_text().splitlines() == [
        'Cross-set test',
        'test set                     video/AUC  HTER@target-EER*  frame/ACC',
        '-------------  -----------------------  ----------------  ---------',
        'CDFv2          0.9144 [0.9000, 0.9300]            0.2500     0.3333',
        'a longer name                   0.5000                 -          -',
        '* chosen on the test set itself (published protocol): not what a deployed detector reaches',
        'seed 0',
    ]
    assert REPORT.to_text().endswith('seed 0\n')


def test_markdown():
    assert REPORT.to_markdown(digits=2) == (
        '### Cross-set test\n'
        '\n'
        '| test set | video/AUC | HTER@target-EER\\* | frame/ACC |\n'
        '|---|---:|---:|---:|\n'
        '| CDFv2 | 0.91 [0.90, 0.93] | 0.25 | 0.33 |\n'
        '| a longer name | 0.50 | - | - |\n'
        '\n'
        '\\* chosen on the test set itself (published protocol): not what a deployed detector reaches\n'
        '\n'
        'seed 0\n'
    )


def test_csv_is_exact():
    rows = list(csv.DictReader(REPORT.to_csv().splitlines()))
    assert list(rows[0]) == [
        'test_set',
        'video/AUC',
        'video/AUC_low',
        'video/AUC_high',
        'HTER@target-EER',
        'frame/ACC',
    ]
    assert float(rows[0]['frame/ACC']) == 1 / 3 and float(rows[0]['video/AUC_high']) == 0.93
    assert rows[1]['test_set'] == 'a longer name' and float(rows[1]['video/AUC']) == 0.5
    assert rows[1]['video/AUC_low'] == rows[1]['HTER@target-EER'] == rows[1]['frame/ACC'] == ''


def test_json_is_exact():
    found = json.loads(REPORT.to_json())
    assert found['rows']['CDFv2'] == ROWS['CDFv2']
    assert found['rows']['a longer name'] == {
        'video/AUC': 0.5,
        'HTER@target-EER': None,
        'frame/ACC': None,
    }
    assert found['intervals'] == {'CDFv2': {'video/AUC': [0.9, 0.93]}}
    assert found['target_selected'] == ['HTER@target-EER']
    assert (found['title'], found['notes']) == ('Cross-set test', ['seed 0'])


def test_marks():
    plain = ScoreReport({'a': {'AUC': 0.5}})
    assert '*' not in plain.to_text() + plain.to_markdown()
    marked = ScoreReport({'a': {'AUC': 0.5}}, target_selected=['AUC'])
    assert 'AUC*' in marked.to_text() and 'chosen on the test set' in marked.to_text()


def test_names_that_would_break_a_table():
    found = ScoreReport({'a|b': {'AUC': 0.5}, 'c,"d"': {'AUC': 0.25}})
    assert '| a\\|b | 0.5000 |' in found.to_markdown()
    assert [row['test_set'] for row in csv.DictReader(found.to_csv().splitlines())] == ['a|b', 'c,"d"']


def test_mean_and_standard_deviation():
    values = [0.9, 0.8, 0.95]
    rows = {f'seed {i}': {'AUC': v, 'once': 0.5 if i == 0 else None} for i, v in enumerate(values)}
    found = ScoreReport(rows).with_mean_and_std()
    assert list(found.rows) == ['seed 0', 'seed 1', 'seed 2', 'mean', 'std']
    assert found.value('mean', 'AUC') == pytest.approx(statistics.mean(values))
    assert found.value('std', 'AUC') == pytest.approx(statistics.stdev(values))
    assert found.value('mean', 'once') == 0.5 and found.value('std', 'once') is None
    with pytest.raises(ValueError, match='clash'):
        found.with_mean_and_std()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(rows={}), 'at least one test set'),
        (dict(rows={'a': {'AUC': float('nan')}}), 'a, AUC: expected a number or None'),
        (dict(rows={'a': {'AUC': float('inf')}}), 'a, AUC'),
        (dict(rows={'a': {'AUC': None}}, intervals={'a': {'AUC': (0, 1)}}), 'without a value'),
        (dict(rows={'a': {'AUC': 1}}, intervals={'b': {'AUC': (0, 1)}}), 'b, AUC'),
    ],
)
def test_wrong_reports(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScoreReport(**arguments)


def test_all_files(tmp_path):
    written = REPORT.write(tmp_path / 'deep' / 'er', 'result')
    contents = dict(txt=REPORT.to_text(), md=REPORT.to_markdown(), csv=REPORT.to_csv(), json=REPORT.to_json())
    assert {suffix: path.read_text() for suffix, path in written.items()} == contents
    assert sorted(os.listdir(tmp_path / 'deep' / 'er')) == [f'result.{s}' for s in sorted(contents)]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / 'a.txt', 'old\n')
    monkeypatch.setattr(os, 'replace', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        write_atomically(path, 'new\n')
    assert path.read_text() == 'old\n' and os.listdir(tmp_path) == ['a.txt']


def test_bytes_and_newlines_as_given(tmp_path):
    assert write_atomically(tmp_path / 'b', b'\x00\r\n').read_bytes() == b'\x00\r\n'
    assert write_atomically(tmp_path / 'c', 'ü\n').read_bytes() == b'\xc3\xbc\n'
