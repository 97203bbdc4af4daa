"""The score table in all its renderings, exactly, and files written whole or not at all."""

import csv
import json
import os
import statistics

import pytest

from fsfm_mm.evaluation import AntiSpoofMetric, ForgeryMetric, Heading, SampleScore, ScoreReport, ScoreTable
from fsfm_mm.evaluation.report import INTERVAL
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


def report_of(names=('Celeb-DF v2', 'my set'), samples=80, level='video', **changes):
    """A report of a detector as tools/test.py makes it."""
    metric = ForgeryMetric(source_threshold=0.4)
    columns = ('AUC', 'EER', 'AP', 'ACC', 'BACC', 'FPR-on-reals', 'FNR-on-fakes')
    frozen = ('ACC', 'BACC', 'FPR-on-reals', 'FNR-on-fakes')
    keys = [f'{level}/{column}' for level in ('frame', 'video') for column in columns]
    keys += [f'video/{column}@source' for column in frozen]
    return ScoreReport(
        {name: dict.fromkeys(keys, 0.5) for name in names},
        {name: {f'video/{key}': (0.4, 0.6) for key in ('AUC', 'EER', 'AP')} for name in names},
        notes=[
            'checkpoint /a/long/folder/of/some/run/epoch_10.pth: ' + 'word ' * 30,
            *metric.legend(),
            f'{INTERVAL}: x',
        ],
        title='honest protocol',
        headings=metric.headings(),
        counts={name: dict(reals=4, fakes=4, samples=samples) for name in names},
        **changes,
    )


def test_text_of_a_detector_has_a_set_a_row_the_words_and_100_columns():
    text = report_of().to_text()
    lines = text.splitlines()
    assert lines[2:7] == [
        '               real    fake                                           false alarms  misses',
        'test set     videos  videos                      AUC     EER     ACC           FPR     FNR',
        '-----------  ------  ------  -----------------------  ------  ------  ------------  ------',
        'Celeb-DF v2       4       4  0.5000 [0.4000, 0.6000]  0.5000  0.5000        0.5000  0.5000',
        'my set            4       4  0.5000 [0.4000, 0.6000]  0.5000  0.5000        0.5000  0.5000',
    ]
    assert max(map(len, lines)) <= 100
    for words in (
        'reals flagged as fake',
        'fakes passed as real',
        'threshold 0.4000, from source data',
        INTERVAL,
    ):
        assert words in text


@pytest.mark.parametrize('length', [20, 40, 60, 300])
def test_text_fits_whatever_the_names(length):
    names = [f'{"first " * length}{i}'[-length:] for i in range(3)]
    report = report_of(names)
    lines = report.to_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum('0.5000' in line for line in lines) == 3 and len(set(lines[5:8])) == 3
    assert (INTERVAL in report.to_text()) == ('[0.4000' in report.to_text())
    assert json.loads(report.to_json())['rows'].keys() == set(names)


def test_single_pictures_have_no_column_twice():
    single, videos = report_of(samples=8), report_of(samples=80)
    assert 'pictures' in single.to_text() and 'videos' not in single.to_text()
    assert '| video/AUC |' in single.to_markdown() and 'frame/' not in single.to_markdown()
    assert 'frame/AUC' in videos.to_markdown()
    for text in (single.to_csv(), single.to_json()):
        assert 'frame/AUC' in text and 'video/AUC' in text, 'programs find what they found'


def test_errors_of_antispoofing_have_their_words():
    for threshold, column in ((0.3, 'HTER@source'), (None, 'HTER@target-EER')):
        metric = AntiSpoofMetric(source_threshold=threshold)
        row = metric.summarise(
            ScoreTable(tuple(SampleScore(i, '', 'd', str(i), 'x', i % 2, 0.1 * i, 0.1 * i) for i in range(8)))
        )
        report = ScoreReport({'o': row}, headings=metric.headings(), notes=metric.legend())
        head = report.to_text().splitlines()[1:3]
        assert column in row and head[0].split() == ['mean', 'error', 'false', 'alarms', 'misses']
        assert head[1].replace('*', '').split() == [
            'test',
            'set',
            'AUC',
            'HTER',
            'BPCER',
            'APCER',
            'TPR@FPR=1%',
        ]
        assert 'reals rejected (BPCER); misses: spoofs accepted (APCER)' in report.to_text()


def test_deviations_stand_beside_their_values():
    report = ScoreReport(
        {'a': {'AUC': 0.5}, 'b': {'AUC': 0.25}},
        headings=[Heading('AUC', 'AUC')],
        deviations={'a': {'AUC': 0.125}},
    )
    assert '0.5000 ± 0.1250' in report.to_text() and '0.50 ± 0.12' in report.to_markdown(2)
    assert list(csv.DictReader(report.to_csv().splitlines())) == [
        {'test_set': 'a', 'AUC': '0.5', 'AUC_std': '0.125'},
        {'test_set': 'b', 'AUC': '0.25', 'AUC_std': ''},
    ]
    assert json.loads(report.to_json())['deviations'] == {'a': {'AUC': 0.125}}
