"""A validation part of the training folder: whole videos, every class, the same everywhere, a folder val wins."""

import pytest
from labelled_files import frames

from fsfm_mm.datasets import LabelledFaces, check_splits, entries_of


@pytest.fixture
def root(tmp_path):
    for number in range(10):
        frames(tmp_path / 'train', f'real/{number}', 2)
    for number in range(5):
        frames(tmp_path / 'train', f'fake/{number}', 3)
    return tmp_path


def part(root, split, **options):
    return LabelledFaces(str(root), split=split, **{'held_out': 0.2, **options})


def videos(dataset):
    return {entry['video_id'] for entry in entries_of(dataset)}


def test_whole_videos_of_every_class(root):
    train, val, everything = part(root, 'train'), part(root, 'val'), part(root, 'train', held_out=None)
    check_splits({'train': train, 'val': val})
    assert videos(train) | videos(val) == videos(everything)
    held = sorted(videos(val))
    assert [video.split('/')[0] for video in held] == ['fake', 'real', 'real']
    assert len(val) == 3 + 2 * 2 and len(train) + len(val) == len(everything) == 35
    # by names alone: another folder of these names gives the same, and a further video moves at most one
    assert held == sorted(videos(part(root, 'val')))
    frames(root / 'train', 'real/new', 2)
    assert len(set(held) - videos(part(root, 'val'))) <= 1


def test_further_faces_stay_with_their_picture(tmp_path):
    for number in range(6):
        for name in ('real', 'fake'):
            frames(tmp_path / 'train', f'{name}/{number}', 1)
            frames(tmp_path / 'train', f'{name}/{number}_face1', 1)
    held = videos(part(tmp_path, 'val', held_out=0.3))
    assert {video.removesuffix('_face1') for video in held} == {v for v in held if '_face' not in v}
    assert len(held) == 2 * 2 * 2


def test_a_folder_val_wins(root):
    for name in ('real', 'fake'):
        frames(root / 'val', f'{name}/v', 1)
    assert videos(part(root, 'val')) == {'real/v', 'fake/v'}
    assert len(part(root, 'train')) == 35
    assert 'val' in part(root, 'val').source() and 'train' in part(root, 'train').source()


def test_what_cannot_be_held_out(tmp_path):
    frames(tmp_path / 'train', 'real/only', 3)
    frames(tmp_path / 'train', 'fake/a', 1)
    with pytest.raises(ValueError, match=r"class '\w+' of .* has one picture or video only.*held_out=None"):
        len(part(tmp_path, 'val'))
    with pytest.raises(ValueError, match='a share between 0 and 1, but is 1'):
        part(tmp_path, 'val', held_out=1)
