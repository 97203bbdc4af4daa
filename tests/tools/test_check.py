"""tools/data/check.py as a command: exit codes, files written, wrong use."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsfm_mm.drawn.face_drawing import draw_face

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'data' / 'check.py'


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('fsfm_mm.commands.check')


@pytest.fixture
def data(tmp_path):
    """Two faces with maps."""
    root = tmp_path / 'set'
    for folder in ('images', 'parsing_maps'):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        image, labels = draw_face(number, 64, 0)
        cv2.imwrite(str(root / f'images/é {number}.png'), image)
        np.save(root / f'parsing_maps/é {number}.npy', labels[None].astype(np.int8))
    (root / 'mean_std.json').write_text('{}')
    return root


def run(tool, *arguments):
    return tool.main([*map(str, arguments), '--workers', '0'])


def test_exit_codes(tool, data, capsys):
    assert run(tool, data) == 0
    assert '2 pictures, 2 with a usable map' in capsys.readouterr().out
    (data / 'parsing_maps/stray.png').write_bytes(b'')
    assert run(tool, data) == 0
    assert run(tool, data, '--strict') == 1
    (data / 'images/é 0.png').write_bytes(b'')
    assert run(tool, data) == 1
    assert '1 error, 1 warning' in capsys.readouterr().out


def test_report_and_page_are_written(tool, data, tmp_path, capsys):
    page, report = tmp_path / 'out' / 'page.html', tmp_path / 'out' / 'report.json'
    assert run(tool, data, '--html', page, '--json', report, '--sample', '1') == 0
    assert page.read_text(encoding='utf-8').count('<img ') == 1
    content = json.loads(report.read_text())
    assert content['kind'] == 'pretrain' and content['counts']['error'] == 0
    assert capsys.readouterr().out.endswith(f'written: {page}\nwritten: {report}\n')
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['page.html', 'report.json']


def test_quiet_prints_the_findings_alone(tool, data, tmp_path, capsys):
    assert run(tool, data, '--quiet', '--html', tmp_path / 'page.html') == 0
    assert capsys.readouterr() == ('', '')
    (data / 'images/é 0.png').write_bytes(b'')
    (data / 'parsing_maps/stray.png').write_bytes(b'')
    assert run(tool, data, '--quiet') == 1
    said = capsys.readouterr()
    heads = [line.split(': ')[:2] for line in said.out.splitlines() if not line.startswith(' ')]
    assert heads[0] == ['error', 'unreadable picture'] and {head[0] for head in heads} == {'error', 'warning'}
    assert said.err == ''


def test_an_earlier_report_is_replaced_and_nothing_else(tool, data, tmp_path, capsys):
    page, report = tmp_path / 'page.html', tmp_path / 'report.json'
    for times in range(2):
        assert run(tool, data, '--html', page, '--json', report) == 0
        assert capsys.readouterr().out.count('in the place of an earlier one') == 2 * times
    report.write_text('{"labels": []}')
    assert run(tool, data, '--json', report) == run(tool, data, '--html', report) == 2
    assert f'--html: {report} exists already and is something else' in capsys.readouterr().err
    assert report.read_text() == '{"labels": []}'


def test_what_cannot_be_written_is_said_before_the_work(tool, data, tmp_path, capsys):
    assert run(tool, data, '--html', tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.startswith('fsfm-mm check: --html ')


def test_the_report_is_told_where_the_disk_refuses_it(tool, data, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError('disk full')

    monkeypatch.setattr(tool, 'write_atomically', full)
    assert run(tool, data, '--json', tmp_path / 'report.json') == 2
    captured = capsys.readouterr()
    assert '0 errors, 0 warnings' in captured.out and 'disk full' in captured.err


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nowhere'], 'nowhere: no such folder'),
        (['.', '--kind', 'pretrain'], 'images: no pictures'),
        (['.', '--kind', 'deepfake'], 'no split'),
        (['.', '--kind', 'antispoof'], 'no domain'),
        (['.'], 'looks like no data set'),
        (['.', '--sample', '-1'], '--sample and --workers must be 0 or more'),
    ],
)
def test_wrong_use_is_one_sentence(tool, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(tool, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('fsfm-mm check: ') and message in error and error.count('\n') == 1


def test_command_line(data):
    command = [sys.executable, str(SCRIPT), str(data), '--workers', '2']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'{data} (pretrain)') and '0 errors, 0 warnings' in done.stdout


def test_wrong_arguments_are_exit_code_2(tool, capsys):
    with pytest.raises(SystemExit, match='2'):
        tool.parse_args(['.', '--expect', 'ff++'])
    assert 'ffpp-c23' in capsys.readouterr().err
