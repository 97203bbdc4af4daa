"""What a set lacks is said: missing videos, empty folders, other people, turned faces, other layouts."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest
from test_prepare_downstream import POINTS, command, ffpp, numbered, video  # noqa: F401  (command is a fixture)

from fsfm_mm.preparation.detectors.base import Face
from fsfm_mm.preparation.detectors.yunet import YuNet
from fsfm_mm.preparation.manifest import FaceRecord

PLAIN = ('--detector', 'none')


def records(out):
    return [FaceRecord.from_json(line, 'm') for line in (out / 'manifest.jsonl').read_text().splitlines()]


def missing(out):
    return [record.source for record in records(out) if record.status == 'missing']


def png(level=100, size=96):
    return np.full((size, size, 3), level, np.uint8)


def touch(root, *paths, level=100):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / path), png(level))
    return root


def test_a_manipulation_without_videos(command, tmp_path):  # noqa: F811
    root, out = ffpp(tmp_path / 'src'), tmp_path / 'out'
    for path in (root / 'manipulated_sequences/Deepfakes/c23/videos').iterdir():
        path.unlink()
    (root / 'original_sequences/youtube/c23/videos/000.mp4').unlink()
    args = ('prepare_deepfake', 'ffpp', root, out, '--splits', 'train', '--frames', 2, *PLAIN)
    text, code = command(*args)
    assert code == 0 and 'train/fake_Deepfakes: 0 of 4 videos' in text, text
    assert 'train/real_youtube: 3 of 4 videos' in text
    assert '2 frames of a fake video, 6 of a real one' in text and 'only 3 of 4 manipulations' in text
    table = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith('train/')}
    assert table['train/fake_Deepfakes'] == ['4', '0', '0', '0']
    assert table['train/fake_FaceSwap'] == ['4', '4', '4', '8']
    assert table['train/real_youtube'] == ['4', '3', '3', '18']
    names = [
        f'train/manipulated_sequences/Deepfakes/c23/{v}' for v in ('000_003', '003_000', '001_002', '002_001')
    ]
    assert sorted(missing(out)) == sorted([*names, 'train/original_sequences/youtube/c23/000'])
    assert 'not there: 5 listed videos, such as ' in text
    assert command(*args, '--strict')[1] == 2
    text, code = command('check', out)
    assert code == 1 and 'prepared from ffpp' in text, text
    assert "0 of 4 videos in fake_Deepfakes of 'train'" in text and '000_003: missing' in text
    assert "3 of 4 videos in real_youtube of 'train'" in text
    # what was missing and is there now is another run
    video(root / 'original_sequences/youtube/c23/videos/000.mp4', numbered())
    text, code = command(*args)
    assert code == 1 and 'of those listed 5 were missing then, 4 now' in text, text


def test_a_whole_set_is_all_well(command, tmp_path):  # noqa: F811
    root, out = ffpp(tmp_path / 'src'), tmp_path / 'out'
    text, code = command('prepare_deepfake', 'ffpp', root, out, '--frames', 1, '--strict', *PLAIN)
    assert code == 0 and 'not there' not in text and 'without a face' not in text, text
    text, code = command('check', out, '--quiet')
    assert code == 0 and 'counts' not in text, text
    text, code = command('check', out, '--expect', 'ffpp-c40', '--quiet')
    assert 'another set: prepare.json says ffpp, but ffpp, c40 is expected' in text, text


def dfd(root):
    for folder in ('original_sequences/actors', 'manipulated_sequences/DeepFakeDetection'):
        video(root / folder / 'c23/videos/01__a.mp4', numbered())
    return 'manipulated_sequences/DeepFakeDetection/c23/videos/01__a.mp4', 'test/manipulated_sequences'


def celebdf(root):
    for name in (
        'Celeb-real/id0_0000',
        'Celeb-real/id1_0000',
        'Celeb-synthesis/id0_id1_0000',
        'Celeb-synthesis/x',
    ):
        video(root / f'{name}.mp4', numbered())
    lines = '1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n'
    (root / 'List_of_testing_videos.txt').write_text(lines)
    return 'Celeb-synthesis/x.mp4', 'train/Celeb-synthesis'


def wilddeepfake(root):
    touch(
        root,
        *(f'{c}_{s}/1/{c}/7/{i}.png' for c in ('real', 'fake') for s in ('train', 'test') for i in (1, 2)),
    )
    return 'fake_train/1/fake/7', 'train/fake_train'


def diff(root):
    touch(root, *(f'DiFF_real/{s}/a.png' for s in ('val', 'test')))
    touch(root, *(f'{s}/{k}/m/1.png' for s in ('val', 'test') for k in ('T2I', 'I2I', 'FS', 'FE')))
    return 'test/FS/m/1.png', 'test/test/FS'


def folders(root):
    touch(root, *(f'{s}/{c}/1.png' for s in ('train', 'test') for c in ('real', 'fake')))
    return 'test/fake/1.png', 'test/fake'


@pytest.mark.parametrize(
    'name, make',
    [
        ('dfd_c23', dfd),
        ('celebdf_v2', celebdf),
        ('wilddeepfake', wilddeepfake),
        ('diff', diff),
        ('folders', folders),
    ],
)
def test_a_class_without_videos_where_no_list_names_them(command, tmp_path, name, make):  # noqa: F811
    root, out = tmp_path / 'src', tmp_path / 'out'
    gone, told = make(root)
    text, code = command('prepare_deepfake', name, root, tmp_path / 'whole', '--strict', *PLAIN)
    assert code == 0 and 'not there' not in text, text
    path = root / gone
    for file in [path] if path.is_file() else list(path.iterdir()):
        file.unlink()
    text, code = command('prepare_deepfake', name, root, out, '--strict', *PLAIN)
    assert code == 2 and f'not there: 1 listed videos, such as {told}' in text, text
    assert [name.startswith(told) and name.endswith('/*') for name in missing(out)] == [True]
    text, code = command('check', out, '--quiet')
    assert code == 1 and 'listed source not there' in text and '0 of ' in text, text


def test_names_of_splits_elsewhere(command, tmp_path):  # noqa: F811
    root = touch(
        tmp_path / 'own',
        *(f'{s}/{c}/1.png' for s in ('Training', 'validation', 'test') for c in ('real', 'fake')),
    )
    out = tmp_path / 'out'
    text, code = command('prepare_deepfake', 'folders', root, out, *PLAIN)
    assert code == 0 and sorted(p.name for p in out.iterdir() if p.is_dir()) == ['test', 'train', 'val'], text
    text, _ = command('check', root, '--quiet')
    assert "'Training', 'validation' has class folders, but is none of train, val, test" in text, text
    touch(root, 'extra/real/1.png')
    text, code = command('prepare_deepfake', 'folders', root, tmp_path / 'b', *PLAIN)
    assert code == 1 and "'extra' is no split; expected train, val, test or other names" in text, text
    (root / 'extra').rename(root / 'dev')
    text, code = command('prepare_deepfake', 'folders', root, tmp_path / 'b', *PLAIN)
    assert code == 1 and "'dev', 'validation' are all the split val: leave one of them" in text, text


def test_extracted_frames(command, tmp_path):  # noqa: F811
    root, out = tmp_path / 'FF', tmp_path / 'out'
    (root / 'splits').mkdir(parents=True)
    (root / 'splits/train.json').write_text('[["000", "001"]]')
    for name in ('000', '001'):
        for i in range(0, 110, 10):
            touch(root, f'original_sequences/youtube/c23/frames/{name}/{i:03d}.png', level=i)
    for name in ('000_001', '001_000'):  # no zeros before the numbers
        for i in (0, 9, 10, 100):
            touch(root, f'manipulated_sequences/Deepfakes/c23/frames/{name}/frame_{i}.png', level=i)
    touch(root, 'manipulated_sequences/Deepfakes/c23/masks/000_001/0.png')  # not a video called masks/000_001
    options = ('--splits', 'train', '--manipulations', 'Deepfakes', '--frames', 3, *PLAIN)
    text, code = command('prepare_deepfake', 'ffpp', root, out, '--strict', *options)
    assert code == 0, text
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob('*.png'))
    reals = [f'train/real_youtube/{v}_frame_{i}.png' for v in ('000', '001') for i in (0, 100, 50)]
    fakes = [f'train/fake_Deepfakes/{v}_frame_{i}.png' for v in ('000_001', '001_000') for i in (0, 100, 9)]
    assert names == sorted(fakes + reals)
    assert cv2.imread(str(out / 'train/real_youtube/000_frame_50.png'))[0, 0, 0] == 50
    for path in root.rglob('*.png'):
        path.unlink()
    text, code = command('prepare_deepfake', 'ffpp', root, tmp_path / 'none', *options)
    assert code == 1 and 'none of the 4 videos of the split train is there' in text, text
    assert (
        "looked in 'original_sequences/youtube/c23', 'manipulated_sequences/Deepfakes/c23' for videos" in text
    )


def test_training_parts_of_dfdc(command, tmp_path):  # noqa: F811
    root, out = tmp_path / 'DFDC', tmp_path / 'out'
    for part, names in enumerate((('aaa', 'bbb'), ('ccc', 'ddd'))):
        folder = root / f'dfdc_train_part_{part}'
        labels = dict(zip(names, ('REAL', 'FAKE')))
        table = {
            f'{n}.mp4': {'label': label, 'split': 'train', 'original': None} for n, label in labels.items()
        }
        for name in names[: 2 - part]:
            video(folder / f'{name}.mp4', numbered())
        (folder / 'metadata.json').write_text(json.dumps(table))
    text, code = command('prepare_deepfake', 'dfdc', root, out, '--frames', 1, *PLAIN)
    assert code == 0 and 'train/fake: 1 of 2 videos' in text and 'labels.csv: no such list' in text, text
    assert missing(out) == ['train/dfdc_train_part_1/ddd']
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob('*.png'))
    assert names == ['train/fake/bbb_frame_0.png', 'train/real/aaa_frame_0.png', 'train/real/ccc_frame_0.png']
    for options in (('--splits', 'test'), ()):
        if not options:
            (root / 'dfdc_train_part_0/metadata.json').write_text('{"aaa.mp4": {"label": "maybe"}}')
        text, code = command('prepare_deepfake', 'dfdc', root, tmp_path / 'no', *options, *PLAIN)
        wanted = (
            'no such list (filename,label)' if options else "{'label': 'REAL' or 'FAKE', ...} for 'aaa.mp4'"
        )
        assert code == 1 and wanted in text, text


def packed(path, members, mode='w:gz'):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, level in members.items():
            data = cv2.imencode('.png', png(level, 32))[1].tobytes()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_archives_of_wilddeepfake_give_what_their_folders_give(command, tmp_path):  # noqa: F811
    pictures = {f'{v}/{i}.png': 10 * v + i for v in (7, 8) for i in (3, 12)}
    root, unpacked = tmp_path / 'tars', tmp_path / 'unpacked'
    for name, mode in (('real', 'w:gz'), ('fake', 'w')):
        ending = '.tar.gz' if mode == 'w:gz' else '.tar'
        for number in (1, 2):
            members = {f'{number}/{name}/{path}': level + number for path, level in pictures.items()}
            archive = packed(root / f'{name}_test/{number}{ending}', {'./._x.png': 1, **members}, mode)
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked / f'{name}_test', filter='data')
    outs = [tmp_path / 'a', tmp_path / 'b']
    for source, out in zip((root, unpacked), outs):
        text, code = command('prepare_deepfake', 'wilddeepfake', source, out, '--splits', 'test', '--strict')
        assert code == 0 and 'test/real: 4 videos' in text, text
    trees = [{p.relative_to(o): p.read_bytes() for p in sorted(o.rglob('*.png'))} for o in outs]
    assert trees[0] == trees[1] and len(trees[0]) == 16
    assert (outs[0] / 'test/real/2/real/8_frame_12.png').is_file()
    archive = root / 'real_test/2.tar.gz'
    for content in (b'', archive.read_bytes()[:200], b'no archive'):
        archive.write_bytes(content)
        text, code = command('prepare_deepfake', 'wilddeepfake', root, tmp_path / 'c', '--splits', 'test')
        assert code == 1 and '2.tar.gz: cannot be read as a tar archive' in text and len(text) < 300, text
    archive.unlink()
    packed(archive, {'2/real/8/x.txt': 1})
    touch(root, 'fake_test/1/fake/7/3.png')
    text, code = command('prepare_deepfake', 'wilddeepfake', root, tmp_path / 'c', '--splits', 'test')
    assert code == 1 and '1.tar is unpacked beside it' in text, text


@pytest.fixture
def seen(monkeypatch):
    """YuNet finds a face where a frame is bright; what it is told to find elsewhere."""

    def detect(self, pictures):
        found = [Face(np.array([25.0, 25, 70, 80]), 0.95, POINTS)]
        return [found if frame.mean() > 40 else [] for frame in pictures]

    monkeypatch.setattr(YuNet, 'prepare', lambda self: None)
    monkeypatch.setattr(YuNet, 'detect', detect)


def casia(root):
    for person, name in ((1, '1'), (1, '3'), (2, '1')):
        video(root / f'test_release/{person}/{name}.avi', numbered())
    dark = [np.zeros_like(frame) for frame in numbered()]
    video(root / 'test_release/2/3.avi', dark)
    video(root / 'test_release/3/1.avi', dark[:8] + numbered()[20:22])
    video(root / 'test_release/4/1.avi', numbered()[20:21])
    return root


@pytest.mark.parametrize('form, short', [('published', []), ('ours', ['test/real/3_1', 'test/real/4_1'])])
def test_videos_that_give_no_sample_are_named(command, tmp_path, seen, form, short):  # noqa: F811
    root, out = casia(tmp_path / 'casia'), tmp_path / 'MCIO'
    args = ('prepare_antispoof', 'casia', root, out, '--form', form)
    text, code = command(*args)
    assert code == 0, text
    table = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith('test/')}
    assert table['test/fake'][:3] == ['-', '2', '1'] and table['test/real'][:3] == ['-', '4', '4']
    assert 'without a face: 1 videos, such as test/fake/2_3' in text
    lines = [line for line in text.splitlines() if line.startswith('not in the lists')]
    assert [name in line for line in lines for name in short] == [True] * len(short)
    sources = {f'test_release/{v}.avi' for v in ('1/1', '1/3', '2/1', '2/3', '3/1', '4/1')}
    assert {record.source for record in records(out / 'frame/casia')} == sources
    assert command(*args, '--strict')[1] == 2
    text, _ = command('check', out, '--quiet', '--splits', 'test')
    assert "1 of 2 videos in fake of 'test' (1 of those that were there gave no sample)" in text, text


def test_other_files_of_a_protocol_are_told_by_their_folders(command, tmp_path):  # noqa: F811
    places = [f'{s}/{c}' for s in ('Training', 'validation') for c in ('real', 'fake')]
    root = touch(tmp_path / 'own', *(f'{place}/v_frame{i}.png' for place in places for i in (0, 1)))
    text, code = command('prepare_antispoof', 'own', root, tmp_path / 'MCIO', '--form', 'ours', *PLAIN)
    assert code == 0 and 'left out: 4 files that are in no split of the protocol (validation 4)' in text, text
    assert (tmp_path / 'MCIO/frame/own/train/real/v_frame0.png').is_file()


def test_masks_say_whose_face_is_forged(command, tmp_path, monkeypatch):  # noqa: F811
    """Two people in view, the smaller one is forged; in one frame the mask is elsewhere."""
    faces = [Face(np.array(box, float), 0.95, POINTS) for box in ([5, 5, 75, 75], [60, 60, 90, 90])]
    monkeypatch.setattr(YuNet, 'prepare', lambda self: None)
    monkeypatch.setattr(YuNet, 'detect', lambda self, pictures: [faces] * len(pictures))
    root = ffpp(tmp_path / 'src')
    masks = [np.zeros((96, 96, 3), np.uint8) for _ in range(32)]
    for number, mask in enumerate(masks):
        mask[slice(0, 5) if number == 31 else slice(65, 85), 65:85] = 255
    args = (
        'prepare_deepfake',
        'ffpp',
        root,
        tmp_path / 'out',
        '--splits',
        'test',
        '--manipulations',
        'FaceSwap',
    )
    text, code = command(*args, '--masks', '--crops', 'ours')
    assert (
        code == 1
        and '2 forged videos have no mask, such as manipulated_sequences/FaceSwap/masks/videos/' in text
    )
    for name in ('020_021', '021_020'):
        video(root / f'manipulated_sequences/FaceSwap/masks/videos/{name}.mp4', masks)
    text, code = command(*args, '--masks', '--crops', 'published', '--detector', 'yunet', '--frames', 3)
    assert code == 0, text
    found = [
        (r.frame, r.status, r.box and r.box[0]) for r in records(tmp_path / 'out') if '020_021' in r.source
    ]
    assert found == [(0, 'ok', 60), (15, 'ok', 60), (31, 'other_person', None)]
    assert {r.box[0] for r in records(tmp_path / 'out') if 'youtube' in r.source} == {5}
    text, code = command('prepare_deepfake', 'dfdc', root, tmp_path / 'no', '--masks')
    assert code == 1
