"""Names from anybody: no command hands them to a terminal, a page or a picture as they are, or fails of them."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from fsfm_mm.apis.results import file_names
from fsfm_mm.commands import run
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.files.progress import ProgressBar
from fsfm_mm.text import few, markdown_table, printable, text_table
from fsfm_mm.visualization import HtmlPage, contact_sheet, draw_roc_curves, draw_score_histogram

#: What colours a terminal, adds a line, turns the direction of writing, hides, and is no UTF-8.
BAD = '\x1b[31m\nline\u202egpj\u2066\u200b\x9b2J' + os.fsdecode(b'\xff\xe9') + '$x$<b>'
#: As it is said; in sentences about errors lines are joined.
ESCAPED = r'\x1b[31m\nline\u202egpj\u2066\u200b\x9b2J\xff\xe9'


def refuse_raw(text):
    lines = text.replace('\n', '').replace('\r', '').replace('\t', '')
    assert printable(lines) == lines
    text.encode()


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """A data set whose names are bad: two faces, a broken picture with its map, a link and other things."""
    for folder, ending in (('images', 'png'), ('parsing_maps', 'png')):
        (tmp_path / 'set' / folder / BAD).mkdir(parents=True)
        for i in range(2):
            picture = np.full((32, 32), i if folder != 'images' else 90 * i, np.uint8)
            data = cv2.imencode('.png', picture)[1].tobytes()
            (tmp_path / 'set' / folder / BAD / f'{i}{BAD}.{ending}').write_bytes(data)
        (tmp_path / 'set' / folder / f'broken{BAD}.{ending}').write_bytes(b'no picture')
        (tmp_path / 'set' / folder / f'notes{BAD}.txt').touch()
        os.symlink('.', tmp_path / 'set' / folder / f'loop{BAD}')
        os.symlink('nowhere', tmp_path / 'set' / folder / f'gone{BAD}')
    for name in ('real', 'fake'):
        (tmp_path / 'labelled/test' / f'{name}_{BAD}').mkdir(parents=True)
        (tmp_path / 'labelled/test' / f'{name}_{BAD}/{name}{BAD}.png').write_bytes(data)
    monkeypatch.chdir(tmp_path)
    # a logger keeps the output of the test that made it
    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    return tmp_path


COMMANDS = {
    'check': (['check', 'set', '--json', 'out.json', '--html', 'out.html', '--workers', '0'], 1),
    'check of classes': (
        ['check', 'labelled', '--json', 'out.json', '--html', 'out.html', '--workers', '0'],
        0,
    ),
    'check a place': (['check', BAD, '--json', f'{BAD}.json'], 2),
    'stats': (['stats', 'set', '--workers', '0', '--size', '8', '--out', f'out{BAD}.json'], 0),
    'masks': (['masks', 'set', '--num', '2', '--draws', '1', '--size', '32', '--patch-size', '16'], 0),
    'pack': (['pack', 'set', 'packed', '--size', '32', '--patch-size', '16', '--workers', '0'], 2),
    'prepare': (
        [
            'prepare',
            'set/images',
            'out',
            '--detector',
            'none',
            '--parser',
            'none',
            '--size',
            '32',
            '--workers',
            '0',
        ],
        2,
    ),
    'predict': (['predict', f'weights{BAD}.pth', 'set'], 1),
    'card': (['card', f'weights{BAD}.pth'], 1),
    'an option': (['card', 'x', f'--{BAD}'], 2),
    'a config': (['train', f'{BAD}.py'], 1),
    'a place': (['stats', 'set', '--out', f'set/images/notes{BAD}.txt'], 1),
}


@pytest.mark.parametrize('case', COMMANDS)
def test_no_command_hands_names_on(faces, capsys, case):
    (name, *arguments), expected = COMMANDS[case]
    torch.save({'state_dict': {}}, f'weights{BAD}.pth')
    try:
        code = run(name, arguments)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    said = code if isinstance(code, str) else ''
    assert (1 if said else code) == expected, (code, out, err)
    refuse_raw(out)
    refuse_raw(err)
    refuse_raw(said)
    assert 'Traceback' not in out + err + said
    assert ESCAPED in out + err + said or ESCAPED.replace(r'\n', ' ') in out + err + said
    assert '\nline' not in out + err + said
    for path in faces.rglob('*'):
        if path.suffix in ('.json', '.jsonl', '.html') and path.is_file():
            text = path.read_text(encoding='utf-8')
            if path.suffix == '.jsonl':  # data, whose names are exact
                continue
            refuse_raw(text)
            if path.suffix == '.json':
                json.loads(text)


def test_what_makes_texts(capsys):
    for text in (
        few([BAD] * 9),
        *text_table([['a', 'b'], [BAD, BAD]]),
        *markdown_table([['a', 'b'], [BAD, BAD]]),
        str(BrokenSampleError(f'{BAD}: is broken.')),
        ProgressBar(9, 'files', name=BAD).line(BAD),
    ):
        assert printable(text) == text


def test_pages_and_pictures(tmp_path):
    page = HtmlPage(BAD)
    page.heading(BAD)
    page.item('error', BAD, BAD)
    page.table([BAD], [[BAD]], BAD)
    picture = np.zeros((16, 16, 3), np.uint8)
    page.figures([(picture, BAD), (None, BAD)])
    page.legend({BAD: '#ffffff'})
    page.bars({BAD: 0.5}, {}, BAD)
    html = page.html()
    refuse_raw(html)
    assert html.count('x1b') >= 14 and '<b>' not in html
    sheet = contact_sheet([[picture]], [BAD], [BAD], caption=BAD, legends=[{BAD: '#ffffff'}])
    same = contact_sheet(
        [[picture]], *([[printable(BAD)]] * 2), caption=printable(BAD), legends=[{printable(BAD): '#ffffff'}]
    )
    np.testing.assert_array_equal(sheet, same)
    scores, labels = np.linspace(0, 1, 8), np.arange(8) % 2
    draw_roc_curves({BAD: (scores, labels), '$\\frac{$': (scores, labels)}, tmp_path / 'roc.png', title=BAD)
    draw_score_histogram(scores, labels, tmp_path / 'h.png', class_names=(BAD, '$_$^'), title='a $ b $^$')
    assert (tmp_path / 'roc.png').stat().st_size and (tmp_path / 'h.png').stat().st_size


def test_files_of_sets():
    names = ['a b', 'a-b', 'a?b', BAD, BAD + '.', 'x' * 500, 'x' * 501, '']
    found = file_names(names)
    assert len(set(found)) == len(names) and all(len(name) < 90 and '\n' not in name for name in found)
    assert found[:2] == ['a-b', 'a-b-2']
