"""What a command is to write is looked at before the work: every command, at places where nothing can be written."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from fsfm_mm.commands import COMMANDS, run
from fsfm_mm.files.writing import check_different, check_file, check_folder, write_atomically

DEMO = 'fsfm_demo'
DETECTOR = 'deepfake/demo_generated'
#: Of each command: its arguments, with OUT for what is written, and the function that does the work. None: it only
#: prints. FILES: OUT is a file.
COMMAND_LINES = {
    'train': ([DEMO, '--work-dir', 'OUT'], 'mmengine.runner.Runner.__init__'),
    'test': ([DETECTOR, 'weights.pth', '--out', 'OUT'], 'fsfm_mm.commands.test.prepare'),
    'leave-one-out': ([DEMO, '--out', 'OUT'], 'fsfm_mm.commands.leave_one_out.one_run'),
    'prepare': (['set/images', 'OUT', '--detector', 'none'], 'fsfm_mm.preparation.run.make_plan'),
    'prepare-deepfake': (
        ['folders', 'deepfake', 'OUT', '--detector', 'none'],
        'fsfm_mm.preparation.run.make_plan',
    ),
    'prepare-antispoof': (['casia', 'set', 'OUT'], 'fsfm_mm.commands.prepare_antispoof.plan_of'),
    'pack': (['set', 'OUT'], 'fsfm_mm.preparation.run.make_plan'),
    'stats': (['set', '--out', 'OUT'], 'fsfm_mm.commands.stats.compute_statistics'),
    'check': (['set', '--json', 'OUT'], 'fsfm_mm.doctor.pretraining.check_pretraining'),
    'masks': (['--generated', '1', '--out', 'OUT'], 'fsfm_mm.apis.mask_sheet.load_faces'),
    'convert': (['weights.pth', 'OUT', '--from', 'mae'], 'fsfm_mm.checkpoints.convert_files.convert_file'),
    'predict': (['weights.pth', 'set', '--out', 'OUT'], 'fsfm_mm.commands.predict.predict'),
    'card': None,
    'replay': None,
    'config': None,
}
FILES = ('stats', 'check', 'convert')
#: Further options that name a file to write.
MORE = {
    'check --html': (['set', '--html', 'OUT'], COMMAND_LINES['check'][1]),
    'test --calibrate': (
        [DETECTOR, 'weights.pth', '--calibrate', 'OUT', '--overwrite'],
        COMMAND_LINES['test'][1],
    ),
}


def test_every_command_is_here():
    assert set(COMMAND_LINES) == set(COMMANDS)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with data of all kinds."""
    for folder in ('set/images', 'set/parsing_maps', 'deepfake/real', 'deepfake/fake'):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / 'a.png'), np.full((32, 32), 3, np.uint8))
    torch.save({'state_dict': {}}, tmp_path / 'weights.pth')
    (tmp_path / 'file.txt').touch()
    os.symlink('nowhere/at/all', tmp_path / 'dangling')
    os.symlink('circle', tmp_path / 'circle')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcome(capsys, command, arguments):
    """Exit code other than 0, and what was said."""
    try:
        code = run(command, arguments)
    except SystemExit as stop:
        code = stop.code
    said = ''.join(capsys.readouterr()) + (code if isinstance(code, str) else '')
    return code, said


def cases():
    for name, line in {**COMMAND_LINES, **MORE}.items():
        if line is None:
            continue
        outs = ['file.txt/deep/x', 'dangling/x', 'circle/x', '/proc/x/y', 'new/' + 'x' * 300]
        if name in (*FILES, *MORE):
            outs = [f'{out}.json' for out in outs] + ['set', '/dev/null', 'x' * 249 + '.json']
        yield from (pytest.param(name, out, id=f'{name} {out[:20]}') for out in outs)


@pytest.mark.parametrize('name, out', cases())
def test_bad_places_are_told_before_the_work(place, monkeypatch, capsys, name, out):
    arguments, work = {**COMMAND_LINES, **MORE}[name]

    def begin(*_, **__):
        raise AssertionError('the work has begun')

    monkeypatch.setattr(work, begin)
    before = sorted(str(path) for path in place.rglob('*'))
    code, said = outcome(capsys, name.split()[0], [out if word == 'OUT' else word for word in arguments])
    assert code not in (0, None) and 'the work has begun' not in said and 'Traceback' not in said, said
    assert out.split('/')[0][:20] in said or out in said, said
    assert sorted(str(path) for path in place.rglob('*')) == before
    assert os.path.exists('/dev/null') and not os.path.isfile('/dev/null')


def test_good_places_pass(tmp_path):
    check_folder(tmp_path / 'a/b', 'x')
    check_file(tmp_path / 'a/b.json', 'x')
    check_file(tmp_path / 'b.json', 'x')
    os.symlink('nowhere', tmp_path / 'link.json')
    check_file(tmp_path / 'link.json', 'x')
    assert [path.name for path in tmp_path.iterdir()] == ['link.json']


def test_one_file_for_two_options(tmp_path):
    with pytest.raises(ValueError, match='--html and --json both name'):
        check_different({'--html': tmp_path / 'x', '--other': None, '--json': f'{tmp_path}/./x'})


def test_names_that_are_no_utf8_are_written(tmp_path):
    name = os.fsdecode(b'caf\xe9')
    write_atomically(tmp_path / 'x.json', json.dumps([name, 'é'], ensure_ascii=False))
    assert json.loads((tmp_path / 'x.json').read_text(encoding='utf-8')) == [name, 'é']
