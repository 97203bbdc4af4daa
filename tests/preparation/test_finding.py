"""Listing of sources: what is found, in which order, and under which keys."""

import json
import os

import pytest

from fsfm_mm.preparation.plan import make_plan
from fsfm_mm.preparation.settings import Settings
from fsfm_mm.preparation.sources.finding import find_items
from fsfm_mm.preparation.sources.items import FrameChoice
from fsfm_mm.text import printable

FRAMES = FrameChoice('count', 4)


def touch(root, *names):
    for name in names:
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(b'x')
    return root


def keys(*sources, **options):
    return [item.key for item in find_items(sources, FRAMES, **options)]


def test_pictures_and_videos_of_nested_folders(tmp_path):
    touch(
        tmp_path,
        'b/z.JPG',
        'b/a.jpeg',
        'v.Mp4',
        'a.webp',
        'c/d/e.tiff',
        'notes.txt',
        '.hidden.jpg',
        '.git/x.png',
    )
    items = find_items([tmp_path], FRAMES)
    assert [(item.source, item.key) for item in items] == [
        ('a.webp', 'a'),
        ('b/a.jpeg', 'b/a'),
        ('b/z.JPG', 'b/z'),
        ('c/d/e.tiff', 'c/d/e'),
        ('v.Mp4', 'v'),
    ]
    assert [item.frames for item in items] == [None] * 4 + [FRAMES]
    assert all(item.path == str(tmp_path / item.source) and item.root == 0 for item in items)


def test_every_extension(tmp_path):
    pictures = ['jpg', 'jpeg', 'jfif', 'gif', 'png', 'webp', 'bmp', 'tif', 'tiff']
    videos = ['mp4', 'avi', 'mov', 'mkv', 'webm', 'm4v', 'mpg', 'mpeg']
    touch(tmp_path, *(f'{i:02d}.{e}' for i, e in enumerate(pictures + videos)))
    kinds = [item.frames is not None for item in find_items([tmp_path], FRAMES)]
    assert kinds == [False] * len(pictures) + [True] * len(videos)


def test_several_sources_are_told_apart_by_their_names(tmp_path):
    touch(tmp_path, 'a/photos/x.jpg', 'b/photos/x.jpg', 'c/photos-2/x.jpg', 'd/.own/x.jpg', 'single.png')
    sources = ['a/photos', 'b/photos', 'c/photos-2', 'd/.own', 'single.png']
    items = find_items([tmp_path / source for source in sources], FRAMES)
    assert [item.key for item in items] == ['photos/x', 'photos-2/x', 'photos-2-2/x', 'own/x', 'single']
    assert [item.root for item in items] == [0, 1, 2, 3, 4]
    assert [item.source for item in items] == ['x.jpg'] * 4 + ['single.png']


def test_relative_sources_and_the_current_folder(tmp_path, monkeypatch):
    touch(tmp_path, 'photos/x.jpg', 'photos/sub/y.jpg', 'videos/x.mp4')
    monkeypatch.chdir(tmp_path / 'photos')
    assert keys('.') == ['sub/y', 'x']
    assert keys('.', '../videos') == ['photos/sub/y', 'photos/x', 'videos/x']
    assert keys('x.jpg') == ['x']


@pytest.mark.parametrize(
    'names, expected',
    [
        (['a.jpg', 'a.png', 'b.jpg'], ['a_jpg', 'a_png', 'b']),
        (['a.JPG', 'a.jpg'], ['a_JPG', 'a_jpg']),
        (['a.jpg', 'a.png', 'a_jpg.png'], ['a_jpg', 'a_png', 'a_jpg-2']),
        (['v.mp4', 'v_frame_3.png'], ['v', 'v_frame_3_png']),
        (['v.mp4', 'v_face1.mp4', 'v_face1_frame_3.png'], ['v', 'v_face1_mp4', 'v_face1_frame_3_png']),
        (['p.jpg', 'p_face1.jpg', 'p_face1b.jpg'], ['p', 'p_face1_jpg', 'p_face1b']),
        (['v_frame_1.png', 'v_frame_2.png'], ['v_frame_1', 'v_frame_2']),
        (['p.v2.jpg', 'p.v3.jpg'], ['p.v2', 'p.v3']),
    ],
)
def test_no_two_results_get_one_name(tmp_path, names, expected):
    touch(tmp_path, *names)
    assert keys(tmp_path) == expected
    make_plan(find_items([tmp_path], FRAMES), Settings({}, None, choice='all'), {})  # the engine agrees


def test_names_of_any_bytes(tmp_path):
    names = [
        'with space.jpg',
        'é日本.jpg',
        'back\\slash.jpg',
        'new\nline.jpg',
        b'caf\xe9.jpg',
        b'caf\xe8.jpg',
    ]
    touch(tmp_path, *names)
    items = {item.key: item for item in find_items([tmp_path], FRAMES)}
    assert set(items) == {'with space', 'é日本', 'back_slash', 'new_line', 'caf_xe9', 'caf_xe8'}
    assert all(os.path.isfile(item.path) for item in items.values())
    assert os.fsencode(items['caf_xe9'].source) == b'caf\xe9.jpg'
    for key, item in items.items():
        assert json.loads(json.dumps(key, ensure_ascii=False).encode()) == key  # valid UTF-8
        printable(item.path).encode()


def test_printable_paths():
    assert printable(os.fsdecode(b'/a/caf\xe9 \xc3\xa9.jpg')) == '/a/caf\\xe9 é.jpg'
    assert printable('/a/b\nc') == '/a/b\\nc'
    assert printable('/plain/\\é') == '/plain/\\é'
    assert printable('/a/\ud800') == '/a/\\ud800'  # of a JSON file, no name of a file


def test_overlong_names_stay_apart_and_leave_room(tmp_path):
    long = ['é' * 110 + end for end in 'ab']
    touch(tmp_path, *(f'{name}.jpg' for name in long), 'x' * 240 + '.jpg', 'y' * 180 + '.jpg')
    found = keys(tmp_path)
    assert len(set(found)) == 4 and 'y' * 180 in found
    assert max(len(key.encode()) for key in found) == 180
    assert found == keys(tmp_path)


def test_the_output_inside_a_source_is_left_out(tmp_path):
    touch(tmp_path, 'a.jpg', 'out/images/a.png', 'outer/b.png')
    assert keys(tmp_path) == ['a', 'out/images/a', 'outer/b']
    assert keys(tmp_path, exclude=tmp_path / 'out') == ['a', 'outer/b']
    link = tmp_path.parent / f'{tmp_path.name}_link'
    link.symlink_to(tmp_path)
    try:
        assert keys(link, exclude=tmp_path / 'out') == ['a', 'outer/b']
    finally:
        link.unlink()
    with pytest.raises(ValueError, match='lies in the output'):
        keys(tmp_path / 'outer', exclude=tmp_path)


def test_wrong_sources(tmp_path):
    touch(tmp_path, 'a/x.jpg', 'a/sub/y.jpg', 'notes.txt', 'empty/.hidden.jpg')
    for sources, message in (
        ([], 'no sources'),
        (['missing'], 'missing does not exist'),
        (['notes.txt'], r'notes.txt is neither a picture \(.jpg .jpeg'),
        (['empty'], 'empty holds no pictures'),
        (['a', 'empty'], 'empty holds no pictures'),
        (['a', 'a/../a'], 'a is given twice'),
        (['a', 'a/sub'], 'a/sub lies inside the source .*/a: name only one'),
        (['a/sub/y.jpg', 'a'], 'y.jpg lies inside the source'),
    ):
        with pytest.raises(ValueError, match=message):
            keys(*(tmp_path / source for source in sources))


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    touch(tmp_path, 'a.jpg')

    def refuse(path):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(ValueError, match=r'cannot be listed \(Permission denied\)'):
        keys(tmp_path)


def test_what_is_passed_over_is_told(tmp_path, capsys):
    touch(tmp_path, 'a.jpg', 'b.PSD', 'sub/c.psd', 'notes.txt', 'README', '.hidden.psd')
    assert keys(tmp_path) == ['a']
    said = f'passed over: 4 files with other endings in {tmp_path} (.psd 2, .txt 1, none 1).\n'
    assert capsys.readouterr().err == said
    touch(tmp_path, *(f'x.{ending}' for ending in 'abcd'))
    keys(tmp_path)
    assert capsys.readouterr().err.endswith('(.psd 2, .a 1, .b 1, .c 1, .d 1, ...).\n')


def test_an_interrupted_result_of_an_earlier_run_is_no_source(tmp_path, capsys):
    touch(
        tmp_path,
        'a.jpg',
        'x/old/images/sub/a.png',
        'x/old/images/b.png',
        'x/c.jpg',
        'x/old/.prepare/plan.json',
    )
    (tmp_path / 'x/old/.prepare/plan.json').write_text(json.dumps({'listing': {}}))
    assert keys(tmp_path) == ['a', 'x/c']
    assert capsys.readouterr().err == f'passed over: {tmp_path}/x/old/, the result of an earlier run.\n'


def test_the_result_of_an_earlier_run_is_no_source(tmp_path, capsys):
    touch(tmp_path, 'a.jpg', 'old/images/a.png', 'older.jpg', 'mine/b.jpg', 'mine/prepare.json')
    (tmp_path / 'old' / 'prepare.json').write_text(json.dumps({'listing': {}}))
    assert keys(tmp_path) == [
        'a',
        'mine/b',
        'older',
    ]  # a prepare.json of somebody else's stays
    said = f'passed over: {tmp_path}/old/, the result of an earlier run.\n'
    assert capsys.readouterr().err.startswith(said)
    assert keys(tmp_path / 'old') == ['images/a']  # named itself: it is wanted
