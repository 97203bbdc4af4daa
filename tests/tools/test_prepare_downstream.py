"""Deepfake and anti-spoofing sets from small videos, by the commands, to what the data sets read."""

import importlib
import json
import sys
import types
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

from fsfm_mm.commands import preparing
from fsfm_mm.datasets import AntiSpoofDataset, LabelledFaces, check_splits, entries_of
from fsfm_mm.datasets.labelled.crops import crop_facts
from fsfm_mm.datasets.labelled.published_rules import MANIPULATIONS
from fsfm_mm.preparation.detectors.base import Face
from fsfm_mm.preparation.detectors.yunet import YuNet
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
    options = ('--frames', 3, '--crops', 'ours', *weights)
    text, code = command('prepare_deepfake', 'folders', tmp_path / 'src', out, *options)
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
        args = (domain, tmp_path / domain, out, '--detector', 'none', '--form', 'ours', '--workers', 1)
        text, code = command('prepare_antispoof', *args)
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
    assert json.loads((out / 'frame/casia/prepare.json').read_text())['form'] == 'ours'


POINTS = np.array([[35, 40], [60, 38], [49, 55], [38, 70], [58, 69]], float)


@pytest.fixture
def bright_faces(monkeypatch):
    """YuNet finds a face, with its landmarks, in every frame that is not dark."""

    def detect(self, pictures):
        found = [Face(np.array([25.0, 25, 70, 80]), 0.9, POINTS)]
        return [found if frame.mean() > 40 else [] for frame in pictures]

    monkeypatch.setattr(YuNet, 'prepare', lambda self: None)
    monkeypatch.setattr(YuNet, 'detect', detect)


def layouts(root):
    """Two videos or more of each split and class of MSU, CASIA, Replay and OULU, as downloaded."""
    msu = [f'{k}/{k}_client{c:03d}_android_SD_scene01.mp4' for k in ('real', 'attack') for c in (1, 2, 3)]
    names = {
        'msu': [f'scene01/{name}' for name in msu],
        'casia': [
            f'{s}_release/{p}/{n}.avi' for s in ('train', 'test') for p in (1, 2) for n in ('1', 'HR_4')
        ],
        'replay': [
            *(f'{s}/real/{s}_webcam.mov' for s in ('train', 'devel', 'test', 'enroll')),
            *(f'{s}/attack/{k}/{s}_photo.mov' for s in ('train', 'devel', 'test') for k in ('fixed', 'hand')),
        ],
        'oulu': [
            f'{s}_files/1_1_0{i}_{k}.avi' for i, s in enumerate(('Train', 'Dev', 'Test')) for k in (1, 2)
        ],
    }
    for domain, paths in names.items():
        for path in paths:
            video(root / domain / path, numbered())
    (root / 'msu/train_sub_list.txt').write_text('01\n')
    (root / 'msu/test_sub_list.txt').write_text('02\n')
    dark = [picture * 0 for picture in numbered()[:20]]
    video(root / 'casia/test_release/2/HR_4.avi', dark + numbered()[20:])  # a faceless first half
    video(root / 'casia/test_release/3/HR_4.avi', numbered()[:6] + dark[:8] * 3)


def test_the_four_domains_as_published(command, tmp_path, bright_faces):
    layouts(tmp_path)
    out = tmp_path / 'MCIO'
    for domain in ('msu', 'casia', 'replay', 'oulu'):
        text, code = command('prepare_antispoof', domain, tmp_path / domain, out)
        assert code == 0, text
        about = json.loads((out / f'frame/{domain}/prepare.json').read_text())
        assert (about['form'], about['chip_padding'], about['size']) == ('published', 0.37, 224)
    assert 'left out: 2 files' in text
    lists = {path.name: path.read_text().split() for path in (out / 'txt').iterdir()}
    assert lists == {
        'msu_real_train.txt': ['msu/train/real/real_client001_android_SD_scene01_frame0.png'],
        'msu_fake_train.txt': ['msu/train/fake/attack_client001_android_SD_scene01_frame0.png'],
        'msu_real_test.txt': ['msu/test/real/real_client002_android_SD_scene01_frame0.png'],
        'msu_fake_test.txt': ['msu/test/fake/attack_client002_android_SD_scene01_frame0.png'],
        **{f'casia_{c}_{s}.txt': [f'casia/{s}/{c}/{p}_{n}_frame0.png' for p in (1, 2)]
           for s in ('train', 'test') for c, n in (('real', '1'), ('fake', 'HR_4'))},
        **{f'replay_real_{s}.txt': [f'replay/{s}/real/{s}_webcam_frame0.png'] for s in ('train', 'test')},
        **{f'replay_fake_{s}.txt': [f'replay/{s}/fake/{k}_{s}_photo_frame0.png' for k in ('fixed', 'hand')]
           for s in ('train', 'test')},
        **{f'oulu_{c}_{s}.txt': [f'oulu/{s}/{c}/1_1_0{i}_{k}_frame0.png']
           for i, s in ((0, 'train'), (2, 'test')) for k, c in ((1, 'real'), (2, 'fake'))},
    }  # fmt: skip
    # frames 6 and 6 + 32 // 2, or the next ones with a face
    records = [
        FaceRecord.from_json(line, 'manifest')
        for line in (out / 'frame/casia/manifest.jsonl').read_text().splitlines()
    ]
    frames = {record.file: record.frame for record in records if record.file}
    moved = {f'test/fake/2_HR_4_frame{k}.png': frame for k, frame in ((0, 20), (1, 22))}
    assert {f: frames[f] for f in moved} == moved
    assert {frame for file, frame in frames.items() if file not in moved} == {6, 22}
    assert [(r.frame, r.status) for r in records if r.source.startswith('test_release/3')] == [
        (6, 'no_face'), (21, 'no_face'),
    ]  # fmt: skip
    chip = cv2.imread(str(out / 'frame/casia/train/real/1_1_frame1.png'))
    assert chip.shape == (224, 224, 3) and abs(np.median(chip) - (4 + 7 * 22)) <= 3
    # Replay's development part is cut out, and nobody trains with it
    assert len(list((out / 'frame/replay/devel').rglob('*.png'))) == 6
    data = AntiSpoofDataset(str(out), ['msu', 'casia', 'replay', 'oulu'], 'train')
    assert len(data) == 2 + 4 + 3 + 2
    assert crop_facts(data) == {'detector': 'yunet, aligned with padding 0.37'}


def test_wcs_as_published_takes_the_faces_as_they_are(command, tmp_path):
    for name in ('real', 'fake'):
        for split in ('train', 'test'):
            folder = tmp_path / f'surf/{split}/{name}'
            folder.mkdir(parents=True)
            for i in range(10):
                face = np.zeros((128, 128, 3), np.uint8)
                face[20:100, 30:90] = 100 + i
                cv2.imwrite(str(folder / f'a_{i:02d}.png'), face)
    out = tmp_path / 'WCS'
    text, code = command('prepare_antispoof', 'surf', tmp_path / 'surf', out)
    assert code == 0 and 'txt/surf_real_train.txt: 1 videos' in text, text
    face = cv2.imread(str(out / 'frame/surf/test/real/a_03.png'))
    assert face.shape == (224, 224, 3) and (face == 103).all()
    video(tmp_path / 'wmca/train/real/a.mp4', numbered())
    video(tmp_path / 'wmca/train/fake/a.mp4', numbered())
    text, code = command('prepare_antispoof', 'wmca', tmp_path / 'wmca', out)
    assert code == 1 and 'a.mp4 is a video: say --detector none if it shows a face only' in text
    text, code = command('prepare_antispoof', 'wmca', tmp_path / 'wmca', out, '--detector', 'none')
    assert code == 0, text
    lines = (out / 'frame/wmca/manifest.jsonl').read_text().splitlines()
    assert [json.loads(line)['frame'] for line in lines[:10]] == list(range(0, 30, 3))


def own_videos(root):
    for name in ('real/a', 'fake/b'):
        video(root / f'{name}.mp4', numbered())
    return root


def test_crops_without_dlib_come_as_near_as_yunet_can(command, tmp_path, bright_faces, monkeypatch):
    monkeypatch.setattr(preparing, 'has_dlib', lambda: False)
    root, out = own_videos(tmp_path / 'src'), tmp_path / 'published'
    text, code = command('prepare_deepfake', 'folders', root, out, '--frames', 2, '--crops', 'published')
    assert code == 0 and 'crops: published (yunet, margin 1.02)\n' in text, text
    about = json.loads((out / 'prepare.json').read_text())
    names = ('crops', 'detector_name', 'margin', 'choice', 'follow')
    assert [about[name] for name in names] == ['published', 'yunet', 1.02, 'largest', False]
    # a box of 45 x 55 pixels: int(55 * 1.02)
    assert cv2.imread(str(out / 'test/real/a_frame_31.png')).shape == (56, 56, 3)
    data = LabelledFaces(str(out), 'test')
    assert crop_facts(data) == {'detector': 'yunet', 'crop_margin': 1.02}
    ours = tmp_path / 'ours'
    text, code = command('prepare_deepfake', 'folders', root, ours, '--frames', 2)
    assert code == 0 and 'crops: ours (yunet, margin 1.3)\n' in text, text
    assert cv2.imread(str(ours / 'test/real/a_frame_31.png')).shape == (71, 71, 3)
    # sets that differ say together only what is the same
    both = ConcatDataset([data, LabelledFaces(str(ours), 'test')], lazy_init=True)
    assert crop_facts(both) == {'detector': 'yunet'}
    roots = [str(out), str(tmp_path / 'src')]  # the second one does not say
    assert crop_facts(LabelledFaces(roots, 'test', lazy_init=True)) == {}


def test_crops_with_dlib_are_the_published_ones(command, tmp_path, monkeypatch):
    class Dlib:
        """Its best face comes first, and need not be the largest."""

        def run(self, picture, upsample, threshold):
            corners = [(21, 22, 60, 61), (0, 0, 80, 80)]
            boxes = [
                types.SimpleNamespace(
                    **{n: (lambda v=v: v) for n, v in zip(('left', 'top', 'right', 'bottom'), c)}
                )
                for c in corners
            ]
            return boxes, [1.5, 0.5], [0, 0]

    monkeypatch.setattr(preparing, 'has_dlib', lambda: True)
    monkeypatch.setitem(sys.modules, 'dlib', types.SimpleNamespace(get_frontal_face_detector=Dlib))
    out = tmp_path / 'out'
    options = ('--frames', 2, '--crops', 'published')
    text, code = command('prepare_deepfake', 'folders', own_videos(tmp_path / 'src'), out, *options)
    assert code == 0 and 'crops: published (dlib, margin 1.3)\n' in text, text
    (first, *_) = (out / 'manifest.jsonl').read_text().splitlines()
    record = FaceRecord.from_json(first, 'manifest')
    # side int(39 * 1.3) = 50 about the centre (40.5, 41.5), both halves floored
    assert record.square == [15, 16, 65, 66]
    assert crop_facts(LabelledFaces(str(out), 'test')) == {'detector': 'dlib', 'crop_margin': 1.3}


@pytest.mark.parametrize(
    'args, message',
    [
        (('--detector', 'retinaface'), 'margins of dlib and yunet, not of retinaface: take --crops ours'),
        (('--detector', 'yunet', '--margin', '1.3'), 'has the margin 1.02 with yunet, not 1.3: take --crops'),
    ],
)
def test_what_contradicts_the_published_crops(command, tmp_path, args, message):
    root = own_videos(tmp_path / 'src')
    text, code = command('prepare_deepfake', 'folders', root, tmp_path / 'out', '--crops', 'published', *args)
    assert code == 1 and message in text, text


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
        ('prepare_antispoof', ('own', '{tmp}/hand', '/x', '--margin', '1.3'), 'take --form ours with it'),
        ('prepare_antispoof', ('own', '{tmp}/hand', '/x', '--detector', 'dlib'), 'DlibFrontal does not give'),
        (
            'prepare_antispoof',
            ('own', '{tmp}/hand', '/x', '--protocol', 'WCS', '--detector', 'yunet'),
            'without --detector yunet: take --form ours',
        ),
    ],
)
def test_wrong_requests(command, tmp_path, tool, args, message):
    for name in ('real', 'fake'):
        (tmp_path / f'hand/train/{name}').mkdir(parents=True)
        (tmp_path / f'hand/train/{name}/a.mp4').touch()
    text, code = command(tool, *(arg.format(tmp=tmp_path) for arg in args))
    assert code == 1 and message in text and 'Traceback' not in text, text
