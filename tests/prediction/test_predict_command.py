"""`fsfm-mm predict`: lines for people and pipes, files that go on where they stopped, pictures, exit codes."""

import csv
import io
import json
import re

import cv2
import pytest
from squares import save_model, scene

from fsfm_mm import commands
from fsfm_mm.prediction import SCHEMA, Prediction


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / 'm.pth', threshold=0.5, threshold_meaning='flags 1 of 100')
    (tmp_path / 'photos' / 'sub').mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(f'photos/{number}.png', scene((20, 30, number)))
    cv2.imwrite('photos/sub/two.png', scene((10, 10, 7), (90, 90, 8)))
    (tmp_path / 'photos' / 'text.jpg').write_text('hello')
    return tmp_path


def run(*arguments):
    return commands.run('predict', ['m.pth', *arguments, '--device', 'cpu'])


def test_lines_for_people_and_for_pipes(folder, capsys, monkeypatch):
    assert run('photos') == 2  # a file could not be read
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 5 and any('(2 faces: ' in line for line in lines)
    assert 'photos/text.jpg: is not a picture' in lines[-1] and lines[-1].count('text.jpg') == 1
    assert (
        re.search(r'4 scored \((\d (fake|real)(, )?)+\), 1 unreadable', err)
        and '(threshold of the card: flags 1 of 100)' in err
    )
    monkeypatch.setattr('sys.stdin', io.StringIO('photos/0.png\nphotos/sub/two.png\n'))
    assert run('-', '--json') == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one['input'] for one in found] == ['photos/0.png', 'photos/sub/two.png']
    assert all(one['schema'] == SCHEMA and one['model']['threshold_from'] == 'the card' for one in found)
    assert len(found[1]['faces']) == 2 and {'box', 'score', 'frame', 'person'} <= set(found[1]['faces'][0])
    assert Prediction.from_dict(found[1]).to_dict(found[1]['model']) == found[1] | {
        'persons': tuple(found[1]['persons']),
        'faces': tuple({**face, 'box': tuple(face['box'])} for face in found[1]['faces']),
    }


def test_wrong_arguments_are_not_taken_for_unreadable_files(capsys):
    with pytest.raises(SystemExit) as stop:
        commands.run('predict', ['m.pth'])
    assert stop.value.code == 1, 'argparse ends with 2, which says that a file could not be read'


def test_a_folder_goes_on_where_it_stopped(folder, capsys):
    assert run('photos', '--out', 'whole', '--save-overlay') == 2
    whole = (folder / 'whole/predictions.jsonl').read_text().splitlines()
    assert len(whole) == 5
    (folder / 'part').mkdir()
    # killed in the middle of the third line
    (folder / 'part/predictions.jsonl').write_text('\n'.join(whole[:2]) + '\n' + whole[2][:30])
    capsys.readouterr()
    assert run('photos', '--out', 'part') == 2
    out, err = capsys.readouterr()
    assert '(2 were done before)' in err and 'part/predictions.csv' in out

    def without_seconds(lines):
        return [{**json.loads(line), 'seconds': 0} for line in lines]

    part = (folder / 'part/predictions.jsonl').read_text().splitlines()
    assert without_seconds(part) == without_seconds(whole)
    rows = list(csv.DictReader((folder / 'part/predictions.csv').open()))
    assert (folder / 'part/predictions.csv').read_text() == (folder / 'whole/predictions.csv').read_text()
    assert [row['status'] for row in rows] == ['scored'] * 5 + ['unreadable']
    # another model, or other settings, are not mixed with these
    with pytest.raises(SystemExit, match='of another model or with other settings'):
        run('photos', '--out', 'part', '--min-face', '20')
    assert run('photos', '--out', 'part', '--min-face', '20', '--overwrite') == 2


def test_overlays(folder):
    run('photos', '--out', 'out', '--save-overlay')
    overlays = folder / 'out' / 'overlays'
    written = sorted(str(path.relative_to(overlays)) for path in overlays.rglob('*.jpg'))
    assert written == ['0.jpg', '1.jpg', '2.jpg', 'sub/two.jpg']
    before, after = cv2.imread('photos/sub/two.png'), cv2.imread('out/overlays/sub/two.jpg')
    assert before.shape == after.shape and abs(before.astype(int) - after).max() > 100


def test_a_video_is_drawn_over(folder):
    from engine_fakes import write_video

    write_video(folder / 'v.mp4', [scene((10 + 3 * i, 20, 1)) for i in range(12)], 160)
    assert run('v.mp4', '--out', 'out', '--frames', '4', '--save-overlay') == 0
    video = cv2.VideoCapture('out/overlays/v_mp4.mp4')
    frames = []
    while video.grab():
        frames.append(video.retrieve()[1])
    assert len(frames) == 12 and all(frame.shape == (160, 160, 3) for frame in frames)
    assert [path.name for path in (folder / 'out/overlays').iterdir()] == ['v_mp4.mp4']


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (['gone.jpg'], 'there is no file or folder gone.jpg'),
        (['empty'], 'holds no pictures'),
        (['photos', '--threshold', '2'], '--threshold must lie within 0 and 1'),
        (['photos', '--save-overlay'], 'name their folder with --out'),
        (['photos', '--frames', 'some'], '--frames: expected a number'),
        (['photos', '--face-detector', 'nobody', '--margin', '1.3'], "no face detector 'nobody', known are"),
        (['photos', '--face-detector', 'yunnet'], "no face detector 'yunnet', known are"),
        (['photos', '--batch-size', '0'], '--batch-size must be 1 or more'),
        (['photos', '--out', 'm.pth/x'], 'm.pth is a file'),
    ],
)
def test_mistakes(folder, arguments, sentence):
    (folder / 'empty').mkdir()
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert sentence in str(stop.value) and str(stop.value).startswith('fsfm-mm predict: ')
