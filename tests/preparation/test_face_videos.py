"""CeFA's folders `profile` and WMCA's HDF5 files: which frames, what of them, under which names."""

import json

import cv2
import numpy as np
import pytest

from fsfm_mm.commands import prepare_antispoof
from fsfm_mm.datasets import AntiSpoofDataset
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.preparation.cutting.hdf5_frames import read_hdf5_frames
from fsfm_mm.preparation.cutting.reading import read_frames
from fsfm_mm.preparation.sources.face_videos import faces_by_name
from fsfm_mm.preparation.sources.items import FrameChoice

TEN = FrameChoice('parts', 10)


def face(number):
    """A face of 128 pixels with black borders, whose grey level tells the frame's number."""
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[20:100, 30:90] = 100 + number
    return picture


def cefa(root, name, count):
    for kind in ('profile', 'depth', 'ir'):
        folder = root / name / kind
        folder.mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / f'{i + 1:04d}.png'), face(i if kind == 'profile' else 99))


def prepare(*arguments):
    return prepare_antispoof.main([*map(str, arguments), '--workers', '0'])


def levels(out, name):
    return [int(cv2.imread(str(out / f'{name}_{k:02d}.png')).max()) - 100 for k in range(10)]


def write_lists(folder, domain, **named):
    folder.mkdir()
    for name, line in named.items():
        (folder / f'{domain}_{name}.txt').write_text(f'{line}\n')
    return folder


def test_cefa_by_the_given_lists(tmp_path, capsys):
    cefa(tmp_path / 'CeFA', 'AF/AF-001/1_001_1_1_1', 34)
    cefa(tmp_path / 'CeFA', 'AF/AF-001/1_001_2_1_2', 57)
    lists = write_lists(
        tmp_path / 'txt',
        'cefa',
        real_train='cefa/train/real/1_001_1_1_1_00.jpg',
        fake_train='cefa/train/fake/1_001_2_1_2_00.jpg',
    )
    out = tmp_path / 'WCS'
    assert prepare('cefa', tmp_path / 'CeFA', out, '--lists', lists) == 0, capsys.readouterr()
    faces = out / 'frame/cefa/train'
    assert levels(faces, 'real/1_001_1_1_1') == list(range(0, 30, 3))  # i * (34 // 10)
    assert levels(faces, 'fake/1_001_2_1_2') == list(range(0, 50, 5))
    data = AntiSpoofDataset(str(out), 'cefa', 'train')
    assert len(data) == 2 and len(list(faces.rglob('*.png'))) == 20
    # the black borders are gone
    assert cv2.imread(str(faces / 'real/1_001_1_1_1_00.png')).min() == 100


def test_cefa_sorted_by_hand(tmp_path, capsys):
    for split in ('train', 'test'):
        for name in ('real', 'fake'):
            cefa(tmp_path / 'CeFA', f'{split}/{name}/1_001_1_1_{name}', 20)
    assert prepare('cefa', tmp_path / 'CeFA', tmp_path / 'WCS') == 0, capsys.readouterr()
    assert levels(tmp_path / 'WCS/frame/cefa/test', 'real/1_001_1_1_real') == list(range(0, 20, 2))
    assert (tmp_path / 'WCS/txt/cefa_fake_train.txt').read_text() == 'cefa/train/fake/1_001_1_1_fake_00.png\n'
    assert not list((tmp_path / 'WCS').rglob('*depth*'))


def wmca(h5py, path, count):
    """WMCA's layout; colours differ, so that a wrong order of them shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        for i in range(count):
            rgb = face(i)
            rgb[20:100, 30:90, 0] = 250
            file[f'Frame_{i}/array'] = rgb.transpose(2, 0, 1)


def test_wmca_from_its_files(tmp_path, capsys):
    h5py = pytest.importorskip('h5py', reason='h5py is optional')
    source = tmp_path / 'WMCA'
    wmca(h5py, source / '100_01_015_1_02.hdf5', 50)
    wmca(h5py, source / '003_03_001_0_00.hdf5', 23)
    lists = write_lists(
        tmp_path / 'txt',
        'wmca',
        fake_test='wmca/test/fake/100_01_015_1_02_00.png',
        real_test='wmca/test/real/003_03_001_0_00_00.png',
    )
    assert prepare('wmca', source, tmp_path / 'WCS', '--lists', lists) == 0, capsys.readouterr()
    faces = tmp_path / 'WCS/frame/wmca/test'
    blue_green_red = cv2.imread(str(faces / 'fake/100_01_015_1_02_03.png'))[0, 0]
    assert blue_green_red.tolist() == [115, 115, 250]
    numbers = [int(cv2.imread(str(faces / f'real/003_03_001_0_00_{k:02d}.png'))[0, 0, 0]) for k in range(10)]
    assert numbers == [100 + 2 * k for k in range(10)]
    assert len(AntiSpoofDataset(str(tmp_path / 'WCS'), 'wmca', 'test')) == 20


def test_other_hdf5_files_say_what_they_are(tmp_path):
    h5py = pytest.importorskip('h5py', reason='h5py is optional')
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['Frame_10'] = np.full((4, 5), 10, np.uint8)  # numbers, not names, give the order
        file['Frame_2/array'] = np.full((4, 5, 3), 2, np.uint8)
    frames = list(read_frames(tmp_path / 'a.h5', FrameChoice('all')))
    assert [(index, frame.shape, int(frame.max())) for index, frame in frames] == [
        (0, (4, 5, 3), 2),
        (1, (4, 5, 3), 10),
    ]
    with h5py.File(tmp_path / 'b.h5', 'w') as file:
        file['Frame_0/array'] = np.zeros((4, 128, 128), np.uint8)
    shape = r'b\.h5: Frame_0 cannot be read \(expected uint8 .*found uint8 of \(4, 128, 128\)'
    with pytest.raises(BrokenSampleError, match=shape):
        list(read_hdf5_frames(tmp_path / 'b.h5', TEN))
    with h5py.File(tmp_path / 'c.h5', 'w') as file:
        file['scores'] = np.zeros(3)
    with pytest.raises(BrokenSampleError, match=r'expected groups Frame_0, .* found scores'):
        list(read_hdf5_frames(tmp_path / 'c.h5', TEN))
    with h5py.File(tmp_path / 'bomb.h5', 'w') as file:  # a few kilobytes that stand for 30 gigabytes
        file.create_dataset(
            'Frame_0/array', (3, 10**5, 10**5), np.uint8, chunks=(1, 10**4, 10**4), compression='gzip'
        )
        file['Frame_1/array'] = h5py.ExternalLink('a.h5', 'Frame_10')
        file['Frame_2'] = h5py.SoftLink('/Frame_2')
        circle = file.create_group('Frame_3')
        circle['Frame_3'] = circle
    told = ('100000x100000 pixels', 'perhaps to another file', 'is a link', 'cannot be read')
    for number, words in enumerate(told):
        with h5py.File(tmp_path / 'bomb.h5', 'r+') as file:
            for name in list(file):
                if number and name == f'Frame_{number - 1}':
                    del file[name]
        with pytest.raises(BrokenSampleError, match=rf'Frame_{number} cannot be read') as error:
            list(read_hdf5_frames(tmp_path / 'bomb.h5', TEN))
        assert words in str(error.value) and len(str(error.value)) <= 300
    (tmp_path / 'd.h5').write_text('no')
    with pytest.raises(BrokenSampleError, match=r'd\.h5: cannot be read as HDF5'):
        list(read_hdf5_frames(tmp_path / 'd.h5', TEN))


def test_without_h5py_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__('sys').modules, 'h5py', None)
    for name in ('real', 'fake'):
        (tmp_path / f'WMCA/train/{name}').mkdir(parents=True)
        (tmp_path / f'WMCA/train/{name}/a.hdf5').touch()
    assert prepare('wmca', tmp_path / 'WMCA', tmp_path / 'WCS') == 1
    assert (
        'HDF5 files are read with h5py, which is not installed: `pip install h5py`' in capsys.readouterr().err
    )
    assert not (tmp_path / 'WCS').exists()


def test_a_name_that_two_videos_have(tmp_path):
    cefa(tmp_path, 'a/1_001_1_1_1', 1)
    cefa(tmp_path, 'b/1_001_1_1_1', 1)
    with pytest.raises(ValueError, match='a/1_001_1_1_1 and b/1_001_1_1_1 have the name'):
        faces_by_name(str(tmp_path))


def test_what_is_written_says_how(tmp_path):
    for name in ('real', 'fake'):
        cefa(tmp_path / 'CeFA', f'train/{name}/1_001_1_1_{name}', 10)
    prepare('cefa', tmp_path / 'CeFA', tmp_path / 'WCS')
    about = json.loads((tmp_path / 'WCS/frame/cefa/prepare.json').read_text())
    assert (about['form'], about['protocol'], about['cut_black_borders']) == ('published', 'WCS', True)
