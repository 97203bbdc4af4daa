"""Walking folders: bad links are named and passed over, no folder is walked twice."""

import os

import pytest

from fsfm_mm.datasets.labelled.folders import LabelledFaces
from fsfm_mm.datasets.listing import list_folders
from fsfm_mm.files.listing import list_files


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def walk(root, extensions=('.jpg',)):
    told = []
    return list_files(str(root), extensions, told.append), told


@pytest.mark.parametrize(
    'name, target', [('again', '.'), ('up', '..'), ('a/up', '..'), ('a/self', '.'), ('top', '/')]
)
def test_links_to_folders_above(tmp_path, name, target):
    touch(tmp_path, 'set/x.jpg', 'set/a/y.jpg', 'beside.jpg')
    os.symlink(target, tmp_path / 'set' / name)
    files, (told,) = walk(tmp_path / 'set')
    assert files == ['a/y.jpg', 'x.jpg']
    assert told.startswith(f'{tmp_path}/set/{name}: is a link to a folder above it')


def test_links_that_lead_in_a_circle_or_nowhere(tmp_path):
    touch(tmp_path, 'x.jpg')
    for name, target in (('one', 'two'), ('two', 'one'), ('self', 'self'), ('gone', 'nowhere')):
        os.symlink(target, tmp_path / name)
    for name in ('self.jpg', 'gone.jpg'):  # by their names samples, which their reader calls broken
        os.symlink(name.replace('gone', 'nowhere'), tmp_path / name)
    for extensions in (('.jpg',), ('',)):
        files, told = walk(tmp_path, extensions)
        assert files == ['gone.jpg', 'self.jpg', 'x.jpg']
        assert sorted(line.split(':')[0][len(str(tmp_path)) + 1 :] for line in told) == [
            'gone',
            'one',
            'self',
            'two',
        ]
        assert all('is a link that cannot be followed' in line for line in told)


def test_folders_that_link_to_each_other(tmp_path):
    names = [f'f{i}' for i in range(9)]  # followed as they come: 986,409 paths
    touch(tmp_path, *(f'{name}/{name}.jpg' for name in names))
    for name in names:
        for other in names:
            if other != name:
                os.symlink(f'../{other}', tmp_path / name / f'to_{other}')
    files, told = walk(tmp_path)
    assert files == [f'{name}/{name}.jpg' for name in names]
    assert len(told) == 72 and all('listed already' in line for line in told)


def test_circles_through_folders_outside(tmp_path):
    touch(tmp_path, 'set/a/x.jpg', 'store/y.jpg', 'private/z.jpg')
    os.symlink(tmp_path / 'store', tmp_path / 'set/linked')
    os.symlink(tmp_path / 'store', tmp_path / 'set/twice')
    os.symlink(tmp_path, tmp_path / 'store/back')
    os.symlink(tmp_path / 'set/a', tmp_path / 'store/to_a')
    files, told = walk(tmp_path / 'set')
    assert files == ['a/x.jpg', 'linked/y.jpg']
    assert [line.split(': ')[0] for line in told] == [
        f'{tmp_path}/set/{name}' for name in ('linked/back', 'linked/to_a', 'twice')
    ]


def test_class_folders_that_are_bad_links(tmp_path, caplog):
    touch(tmp_path, 'test/real/a.jpg', 'test/fake/b.jpg')
    os.symlink('nowhere', tmp_path / 'test/fake_more')
    os.symlink('.', tmp_path / 'test/real/again')
    assert list_folders(str(tmp_path / 'test')) == ['fake', 'real']
    assert len(LabelledFaces(str(tmp_path), 'test')) == 2
