"""Deepfake and anti-spoofing sets from small videos, by the commands, to what the data sets read."""

import importlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsfm_mm.datasets import AntiSpoofDataset, LabelledFaces, check_splits, entries_of
from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS
from fsfm_mm.preparation.manifest import FaceRecord

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 32


def video(path, pictures, size=96):
    """Write pictures as a video; every picture fills a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (size, size))
    assert writer.isOpened()
    for picture in pictures:
        writer.write(cv2.resize(picture, (size, size)))
    writer.release()


def numbered():
    """Frames whose grey level tells their number: 4, 11, 18, ..."""
    return [np.full((96, 96, 3), 4 + 7 * i, np.uint8) for i in range(FRAMES)]


def ffpp(root):
    splits = {'train': [['000', '003'], ['001', '002']], 'val': [['010', '012']], 'test': [['020', '021']]}
    (root / 'dataset/splits').mkdir(parents=True)
    for split, pairs in splits.items():
        (root / f'dataset/splits/{split}.json').write_text(json.dumps(pairs))
        for a, b in pairs:
            for name in (a, b):
                video(root / f'original_sequences/youtube/c23/videos/{name}.mp4', numbered())
            for manipulation in MANIPULATIONS:
                folder = root / f'manipulated_sequences/{manipulation}/c23/videos'
                for name in (f'{a}_{b}', f'{b}_{a}'):
                    video(folder / f'{name}.mp4', numbered())
    return root


@pytest.fixture
def command(capsys):
    """Run a tool in this process; its output and exit code."""

    def run(tool, *args):
        module = importlib.import_module(f'fsfm_mm.commands.{tool}')
        try:
            code = module.main([*map(str, args), '--workers', '0'])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return captured.out + captured.err, code

    return run


def level(path):
    return int(np.median(cv2.imread(str(path))))


def test_ffpp_videos_become_the_folders_of_the_splits(command, tmp_path):
    out = tmp_path / 'ffpp'
    args = ('ffpp', ffpp(tmp_path / 'src'), out, '--detector', 'none', '--frames', 8, '--real-frames', 16)
    text, code = command('prepare_deepfake', *args)
    assert code == 0, text
    assert 'test/fake_FaceSwap: 2 videos (published: 140)' in text
    assert '8 frames of a fake video, 16 of a real one\n' in text
    counts = Counter(path.parent.relative_to(out).as_posix() for path in out.rglob('*.png'))
    classes = {'real_youtube': 2 * 16, **{f'fake_{name}': 2 * 8 for name in MANIPULATIONS}}
    pairs = {'train': 2, 'val': 1, 'test': 1}
    assert counts == {f'{s}/{c}': n * p for s, p in pairs.items() for c, n in classes.items()}
    # 8 of 32 frames are spread over the video, and they are the frames that their names say
    folder = out / 'test/fake_Deepfakes'
    names = sorted((path.name for path in folder.glob('020_021_*')), key=lambda name: int(name[14:-4]))
    indices = [0, 4, 8, 13, 17, 22, 26, 31]
    assert names == [f'020_021_frame_{i}.png' for i in indices]
    assert [abs(level(folder / name) - (4 + 7 * i)) <= 3 for name, i in zip(names, indices)] == [True] * 8
    data = {split: LabelledFaces(str(out), split=split) for split in ('train', 'val', 'test')}
    check_splits(data)
    videos = {(e['class_name'], e['video_id']) for e in entries_of(data['test'])}
    assert len(videos) == 10 and ('fake', 'fake_FaceSwap/021_020') in videos
    again, code = command('prepare_deepfake', *args)
    assert code == 0 and 'is complete already; nothing was changed' in again


def test_faces_of_a_video_are_followed(command, tmp_path, faces):
    portraits = sorted((faces / 'portraits').glob('*.jpg'))[:4]
    weights = ('--detector-weights', faces / 'weights/face_detection_yunet_2023mar.onnx')
    for i, name in enumerate(('real/a', 'real/b', 'fake/a', 'fake/b')):
        video(tmp_path / f'src/{name}.mp4', [cv2.imread(str(portraits[i]))] * 6, size=320)
    (tmp_path / 'src/fake/b.mp4').write_bytes(b'no video')
    out = tmp_path / 'out'
    text, code = command('prepare_deepfake', 'folders', tmp_path / 'src', out, '--frames', 3, *weights)
    assert code == 2 and '1 unreadable' in text and 'b.mp4' in text, text
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob('*.png'))
    assert found == [f'test/{n}_frame_{i}.png' for n in ('fake/a', 'real/a', 'real/b') for i in (0, 2, 5)]
    shapes = {cv2.imread(str(out / name)).shape for name in found}
    assert all(h == w and 100 < h < 320 for h, w, _ in shapes)  # as large as they were cut out


def test_two_domains_of_a_protocol(command, tmp_path):
    for split, people in (('train', (1, 2)), ('test', (1, 3))):
        for person in people:
            for name in ('1', 'HR_1', '3', 'HR_2'):
                video(tmp_path / f'casia/{split}_release/{person}/{name}.avi', numbered())
    for place in ('train/real', 'devel/real', 'test/real', 'train/attack/fixed', 'test/attack/hand'):
        video(tmp_path / f'replay/{place}/x.mov', numbered())
    out = tmp_path / 'MCIO'
    for domain in ('casia', 'replay'):
        text, code = command(
            'prepare_antispoof', domain, tmp_path / domain, out, '--detector', 'none', '--workers', 1
        )
        assert code == 0, text
    assert 'txt/replay_real_train.txt: 2 videos' in text
    data = AntiSpoofDataset(str(out), ['casia', 'replay'], 'test')
    assert Counter((e['domain'], e['class_name']) for e in entries_of(data)) == {
        ('casia', 'real'): 8, ('casia', 'fake'): 8, ('replay', 'real'): 2, ('replay', 'fake'): 2,
    }  # fmt: skip
    train = AntiSpoofDataset(str(out), ['casia', 'replay'], 'train')
    assert len(train) == 8 + 3  # frame 0 of each video
    check_splits({'train': train, 'test': data})
    # the middles of the two halves of 32 frames
    frames = [out / f'frame/casia/test/real/3_HR_1_frame{i}.png' for i in (0, 1)]
    assert [abs(level(path) - (4 + 7 * i)) <= 3 for path, i in zip(frames, (8, 24))] == [True, True]
    lines = (out / 'frame/casia/manifest.jsonl').read_text().splitlines()
    record = FaceRecord.from_json(lines[0], 'manifest')
    assert record.frame == 8 and record.square == [0, 0, 96, 96]


def test_listed_videos_that_are_not_there(command, tmp_path):
    root = tmp_path / 'dfdc'
    video(root / 'a.mp4', numbered())
    (root / 'labels.csv').write_text('filename,label\na.mp4,0\ngone.mp4,1\n')
    args = ('prepare_deepfake', 'dfdc', root, tmp_path / 'out', '--detector', 'none')
    text, code = command(*args)
    assert code == 0 and 'not there: 1 listed videos, such as test/gone' in text
    assert command(*args, '--strict')[1] == 2


@pytest.mark.parametrize(
    'tool, args, message',
    [
        ('prepare_deepfake', ('ffpp', '{tmp}', '{tmp}/out'), 'lies in the source'),
        ('prepare_deepfake', ('ffpp', '{tmp}/none', '{tmp}/out'), 'No split file found'),
        (
            'prepare_deepfake',
            ('dfdc', '{tmp}', '/x', '--manipulations', 'FaceSwap'),
            "has no option 'manipulations'",
        ),
        (
            'prepare_deepfake',
            ('folders', '{tmp}', '/x', '--youtube-real', '--compression', 'c40'),
            'folders: --compression, --youtube-real belongs to a published set',
        ),
        ('prepare_deepfake', ('wild', '{tmp}', '/x'), 'invalid choice'),
        ('prepare_antispoof', ('casia', '{tmp}/none', '/x'), 'no such folder'),
        (
            'prepare_antispoof',
            ('casia', '{tmp}', '/x', '--lists', 'a', '--rule', 'casia'),
            'give one of them',
        ),
    ],
)
def test_wrong_requests(command, tmp_path, tool, args, message):
    text, code = command(tool, *(arg.format(tmp=tmp_path) for arg in args))
    assert code == 1 and message in text and 'Traceback' not in text, text
