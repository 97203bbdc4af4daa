"""prepare --maps: CelebAMask-HQ's two forms, LaPa's and others become maps of regions.py, or are refused."""

import json
import signal

import cv2
import numpy as np
import pytest
from engine_fakes import write_video

from fsfm_mm.commands import prepare as command
from fsfm_mm.drawn.face_drawing import draw_face
from fsfm_mm.files.pictures import BrokenSampleError
from fsfm_mm.ops.resizing import resize_labels
from fsfm_mm.preparation.detectors.base import Face, FaceDetector
from fsfm_mm.preparation.manifest import manifest_records
from fsfm_mm.preparation.parsers.label_maps import sides_exchanged
from fsfm_mm.preparation.parsers.stored import StoredMaps
from fsfm_mm.preparation.run import prepare
from fsfm_mm.preparation.settings import Execution, Settings
from fsfm_mm.preparation.sources.finding import find_items
from fsfm_mm.preparation.sources.items import FrameChoice, Item, Origin
from fsfm_mm.preparation.sources.map_pairs import pair_maps
from fsfm_mm.regions import CELEBAMASK_NAMES, CELEBAMASK_TO_LAPA, LABEL_NAMES, flip_table
from fsfm_mm.registry import FACE_DETECTORS

#: Class of CelebAMask-HQ for each of our labels: the first that becomes it.
CLASSES = np.array([CELEBAMASK_TO_LAPA.index(label) for label in range(11)], np.uint8)
SIDE = 64


@pytest.fixture(autouse=True)
def keep_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def write_celebamask(root, count=3):
    """Pictures of twice the maps' size, both forms of maps, and our labels of each map."""
    truth = []
    for n in range(count):
        image, labels = draw_face(n, 2 * SIDE)
        labels = resize_labels(labels, (SIDE, SIDE))
        classes = CLASSES[labels]
        write(root / f'CelebA-HQ-img/{n}.png', image)
        write(root / f'merged/{n}.png', classes)
        for number, name in enumerate(CELEBAMASK_NAMES):
            if number and (classes == number).any():
                part = np.repeat((classes == number)[..., None], 3, 2) * np.uint8(255)
                write(root / f'mask-anno/{n // 2}/{n:05d}_{name}.png', part)
        truth.append(labels)
    return truth


def write_lapa(root, count=4):
    truth = []
    for n in range(count):
        image, labels = draw_face(n, SIDE)
        # the same names in both splits
        split = root / ('train', 'val')[n % 2]
        write(split / f'images/{n // 2}_0.png', image)
        write(split / f'labels/{n // 2}_0.png', labels)
        truth.append(labels)
    return truth


def run(sources, out, maps, labels, *options):
    arguments = [*map(str, sources), str(out), '--maps', str(maps), '--labels', str(labels)]
    return command.main([*arguments, '--detector', 'none', '--size', str(SIDE), '--workers', '0', *options])


def written(out):
    return {
        record.source: np.load(out / record.map)[0] if record.map else record.message
        for record in manifest_records(out / 'manifest.jsonl')
    }


def right_is_left(labels):
    """Whether the person's right brow and eye lie on the picture's left."""
    places = [
        [
            np.argwhere(labels == LABEL_NAMES.index(f'{side}_{part}'))[:, 1].mean()
            for side in ('right', 'left')
        ]
        for part in ('brow', 'eye')
    ]
    return all(right < left for right, left in places)


@pytest.mark.parametrize('form', ['merged', 'mask-anno'])
def test_celebamask_in_both_forms(tmp_path, form):
    truth = write_celebamask(tmp_path)
    out = tmp_path / 'out'
    assert run([tmp_path / 'CelebA-HQ-img'], out, tmp_path / form, 'celebamask') == 0
    found = written(out)
    for n, labels in enumerate(truth):
        np.testing.assert_array_equal(found[f'{n}.png'], labels)
        assert right_is_left(found[f'{n}.png'])
    about = json.loads((out / 'prepare.json').read_text())
    assert about['parser'] == {'type': 'StoredMaps', 'label_map': 'celebamask'}
    assert about['maps'] == {
        'folder': str(tmp_path / form),
        'pictures without a map': 0,
        'maps without a picture': 0,
    }
    assert about['approximate_maps'] is False


def test_maps_of_a_prepared_set_stay_as_rough_as_they_are(tmp_path):
    image, labels = draw_face(0, SIDE)
    write(tmp_path / 'p/a.png', image)
    write(tmp_path / 'set/parsing_maps/a.png', labels)
    (tmp_path / 'set/prepare.json').write_text('{"map_limits": "drawn by hand"}')
    assert run([tmp_path / 'p'], tmp_path / 'out', tmp_path / 'set/parsing_maps', 'lapa') == 0
    about = json.loads((tmp_path / 'out/prepare.json').read_text())
    assert about['approximate_maps'] is True and about['map_limits'] == 'drawn by hand'


def test_the_folder_of_maps_may_lie_in_the_source(tmp_path, capsys):
    truth = write_celebamask(tmp_path / 'set', 2)
    (tmp_path / 'set/merged').rename(tmp_path / 'merged')
    assert run([tmp_path / 'set'], tmp_path / 'out', tmp_path / 'set/mask-anno', 'celebamask') == 0
    np.testing.assert_array_equal(written(tmp_path / 'out')['CelebA-HQ-img/1.png'], truth[1])
    capsys.readouterr()


def test_lapa_with_the_same_names_in_its_splits(tmp_path):
    truth = write_lapa(tmp_path / 'LaPa')
    sources = [tmp_path / f'LaPa/{split}/images' for split in ('train', 'val')]
    assert run(sources, tmp_path / 'out', tmp_path / 'LaPa', 'lapa') == 0
    for record in manifest_records(tmp_path / 'out/manifest.jsonl'):
        labels = truth[2 * int(record.source[0]) + record.root]
        np.testing.assert_array_equal(np.load(tmp_path / 'out' / record.map)[0], labels)
        assert right_is_left(labels)


@pytest.mark.parametrize(
    'name, text',
    [
        ('l.json', '{"label_map": {"0": "background", "7": "hair", "1": "glasses"}}'),
        ('l.json', '{"label_map": {"face": "skin", "no": "background"}, "label_names": ["no", "face"]}'),
        ('l.py', "label_map = {n: 'background' for n in range(256)} | {1: 'skin'}"),
    ],
)
def test_a_label_set_from_a_file(tmp_path, name, text, capsys):
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[20:40, 20:40] = 1
    if name == 'l.py':
        labels[:5] = 255  # "not labelled"
    write(tmp_path / 'p/a.png', draw_face(0, SIDE)[0])
    write(tmp_path / 'm/a.png', labels)
    (tmp_path / name).write_text(text)
    code = run([tmp_path / 'p'], tmp_path / 'out', tmp_path / 'm', tmp_path / name)
    if '"7"' in text:
        assert code == 1 and 'classes without a target: 2, 3, 4, 5, 6' in capsys.readouterr().err
        return
    assert code == 0
    np.testing.assert_array_equal(written(tmp_path / 'out')['a.png'], labels == 1)


@FACE_DETECTORS.register_module(force=True)
class OneBox(FaceDetector):
    """The same box in each picture."""

    def detect(self, pictures):
        return [[Face(np.array([30.0, 20.0, 70.0, 60.0]), 0.9)] for _ in pictures]


def test_maps_are_cut_as_pictures_are(tmp_path):
    grey = np.random.default_rng(0).integers(0, 11, (100, 120), dtype=np.uint8)
    write(tmp_path / 'p/a.png', np.repeat(grey[..., None], 3, 2))
    write(tmp_path / 'm/a.png', grey)
    items = pair_maps(find_items([tmp_path / 'p'], FrameChoice()), str(tmp_path / 'm'), LABEL_NAMES).items
    parser = dict(type='StoredMaps', label_map='lapa')
    prepare(items, tmp_path / 'out', Settings(dict(type='OneBox'), parser, size=52), Execution(0, 'cpu'))
    crop = cv2.imread(str(tmp_path / 'out/images/a.png'))[..., 0]
    np.testing.assert_array_equal(crop, grey[14:66, 24:76])  # 1.3 times 40 about (50, 40)
    np.testing.assert_array_equal(written(tmp_path / 'out')['a.png'], crop)


def test_maps_are_turned_as_pictures_are(tmp_path):
    _, upright = draw_face(0, SIDE)
    write(tmp_path / 'a.png', np.rot90(upright))  # a quarter anticlockwise
    item = Item('a.jpg', 'a.jpg', 0, 'a', map_path=str(tmp_path / 'a.png'))
    origin = Origin(item, (SIDE, SIDE), (4, 2, 60, 58), 1)
    (found,) = StoredMaps(label_map='lapa').parse_from([origin], [np.zeros((56, 56, 3))], [None])
    np.testing.assert_array_equal(found, upright[2:58, 4:60])


def test_sides(tmp_path):
    labels = draw_face(0, SIDE)[1]
    exchanged = flip_table()[labels]
    for quarters in range(4):
        assert sides_exchanged(np.rot90(labels, quarters)) is False
        assert sides_exchanged(np.rot90(exchanged, quarters)) is True
    assert sides_exchanged(np.where(np.isin(labels, (2, 4)), 1, labels)) is None
    eyes = np.where(np.isin(labels, (4, 5)), labels, 0)
    assert (sides_exchanged(eyes), sides_exchanged(flip_table()[eyes])) == (False, True)


def test_exchanged_sides_are_refused(tmp_path, capsys):
    write_lapa(tmp_path / 'LaPa')
    files = sorted((tmp_path / 'LaPa').rglob('labels/*.png'))
    sources = [tmp_path / f'LaPa/{split}/images' for split in ('train', 'val')]
    exchanged = [flip_table()[cv2.imread(str(file), cv2.IMREAD_UNCHANGED)] for file in files]
    write(files[0], exchanged[0])  # one of four: its own fault
    assert run(sources, tmp_path / 'out', tmp_path / 'LaPa', 'lapa') == 2
    records = list(manifest_records(tmp_path / 'out/manifest.jsonl'))
    assert [record.status for record in records] == ['unreadable', 'ok', 'ok', 'ok']
    assert records[0].message == f'{files[0]}: the right eye or brow lies where the left should be.'
    for file, labels in zip(files, exchanged):
        write(file, labels)
    capsys.readouterr()
    assert run(sources, tmp_path / 'all', tmp_path / 'LaPa', 'lapa') == 1
    assert 'right and left are exchanged in 4 of 4 maps looked at' in capsys.readouterr().err
    assert not (tmp_path / 'all').exists()


def test_pictures_without_map_and_maps_without_picture_are_named(tmp_path, capsys):
    truth = write_celebamask(tmp_path)
    (tmp_path / 'merged/1.png').unlink()
    write(tmp_path / 'merged/00007.png', CLASSES[truth[0]])
    source, out = [tmp_path / 'CelebA-HQ-img'], tmp_path / 'out'
    assert run(source, out, tmp_path / 'merged', 'celebamask', '--strict') == 2
    said = capsys.readouterr().err
    assert 'pictures without a map: 1 (1.png).' in said and 'maps without a picture: 1 (00007.png).' in said
    assert written(out)['1.png'] == StoredMaps.nothing
    assert [record.status for record in manifest_records(out / 'manifest.jsonl')] == ['ok', 'unparsed', 'ok']


def test_a_map_of_another_shape_is_refused(tmp_path, capsys):
    truth = write_celebamask(tmp_path)
    write(tmp_path / 'merged/1.png', CLASSES[truth[1]][:50])
    assert run([tmp_path / 'CelebA-HQ-img'], tmp_path / 'out', tmp_path / 'merged', 'celebamask') == 2
    assert f'1.png: 64x50, but its picture {tmp_path}' in written(tmp_path / 'out')['1.png']


def test_a_map_that_shows_no_face_where_one_is_found(tmp_path):
    truth = write_celebamask(tmp_path)
    write(tmp_path / 'merged/1.png', np.where(truth[1] == 10, 13, 0).astype(np.uint8))
    assert run([tmp_path / 'CelebA-HQ-img'], tmp_path / 'out', tmp_path / 'merged', 'celebamask') == 0
    assert written(tmp_path / 'out')['1.png'] == StoredMaps.nothing


def test_another_map_is_another_source(tmp_path, capsys):
    truth = write_celebamask(tmp_path)
    for part in ('merged', 'mask-anno'):
        options = [[tmp_path / 'CelebA-HQ-img'], tmp_path / f'out_{part}', tmp_path / part, 'celebamask']
        assert run(*options) == run(*options) == 0
        changed = next((tmp_path / part).rglob('*0.png' if part == 'merged' else '*_skin.png'))
        write(changed, np.concatenate([CLASSES[truth[0]]] * 2))
        assert run(*options) == 1 and 'names or sizes have changed' in capsys.readouterr().err


def items(tmp_path, *names):
    for name in names:
        write(tmp_path / name, np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    'pictures, maps, expected',
    [
        (['a/1.png', 'b/1.png'], ['a/1.png', 'b/1.png'], ['a/1.png', 'b/1.png']),
        (['a/1.png', 'b/1.png'], ['a/1.png'], ['a/1.png', '']),
        (['x_skin.png'], ['x_skin.png'], ['x_skin.png']),
        (['7.png', '07.png'], ['7.png', '07.png'], ['07.png', '7.png']),
        (['7.png'], ['a/0007_l_eye.png', 'a/0007_ear_r.png'], ['a/0007_l_eye.png a/0007_ear_r.png']),
    ],
)
def test_pairs(tmp_path, pictures, maps, expected):
    items(tmp_path / 'p', *pictures)
    items(tmp_path / 'm', *maps)
    pairs = pair_maps(find_items([tmp_path / 'p'], FrameChoice()), str(tmp_path / 'm'), CELEBAMASK_NAMES)
    begin = len(str(tmp_path / 'm')) + 1
    assert [' '.join(file[begin:] for file in item.map_files) for item in pairs.items] == expected


@pytest.mark.parametrize(
    'pictures, maps, message',
    [
        (['1.png'], ['a/01.png', 'b/01.png'], 'a/01.png and b/01.png could both be the map of'),
        (['a/1.png', 'b/1.png'], ['1.npy'], 'would both get the map 1.npy'),
        (['1.png'], ['1.png', '1.npy'], 'differ in their extension only'),
        (['1.png'], ['01_skin.png', '01_beard.png'], 'is a part that --labels does not name'),
        (['1.png'], ['2.png'], r'none of its 1 maps \(2.png\) has the name of a picture \(1.png\)'),
        (['2.png'], ['1.png', '1_skin.png'], 'are a map and a part of the same name'),
        (['1.png'], ['1.txt.jpg'], r'holds no maps \(.npy .png\)'),
    ],
)
def test_open_pairs_are_refused(tmp_path, pictures, maps, message):
    items(tmp_path / 'p', *pictures)
    for name in maps:
        items(tmp_path / 'm', name + '.png') if name.endswith('.npy') else items(tmp_path / 'm', name)
        if name.endswith('.npy'):
            (tmp_path / 'm' / f'{name}.png').rename(tmp_path / 'm' / name)
    with pytest.raises(ValueError, match=message):
        pair_maps(find_items([tmp_path / 'p'], FrameChoice()), str(tmp_path / 'm'), CELEBAMASK_NAMES)


def test_videos_and_the_folder_itself_are_refused(tmp_path):
    items(tmp_path / 'm', '1.png')
    (tmp_path / 'v').mkdir()
    write_video(tmp_path / 'v/1.mp4', [np.zeros((64, 64, 3), np.uint8)])
    for source, message in (
        ('v', 'is a video: --maps is for pictures'),
        ('m', 'is the folder of the pictures'),
    ):
        with pytest.raises(ValueError, match=message):
            pair_maps(find_items([tmp_path / source], FrameChoice()), str(tmp_path / 'm'), LABEL_NAMES)


@pytest.mark.parametrize(
    'options, message',
    [
        (['--labels', 'lapa'], '--labels says what the classes of --maps are: name their folder'),
        (['--maps', 'none', '--labels', 'lapa'], '--maps none: there is no such folder'),
        (
            ['--maps', 'm'],
            '--maps needs --labels, which says what its classes are: lapa, celebamask or a file',
        ),
        (
            ['--maps', 'm', '--labels', 'helen'],
            '--labels helen is neither a file nor one of lapa, celebamask',
        ),
        (['--maps', 'm', '--labels', 'lapa', '--parser', 'mesh'], '--maps takes the place of a parser'),
        (
            ['--maps', 'm', '--labels', 'l.json'],
            '--labels l.json: expected label_map and perhaps label_names',
        ),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, monkeypatch, options, message, capsys):
    monkeypatch.chdir(tmp_path)
    items(tmp_path, 'p/1.png', 'm/1.png')
    (tmp_path / 'l.json').write_text('{"labels": {"0": "skin"}}')
    assert command.main(['p', 'out', *options]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_parts_of_different_sizes_are_refused(tmp_path):
    write(tmp_path / 'a_skin.png', np.ones((8, 8), np.uint8))
    write(tmp_path / 'a_nose.png', np.ones((4, 4), np.uint8))
    parts = ((1, str(tmp_path / 'a_skin.png')), (2, str(tmp_path / 'a_nose.png')))
    origin = Origin(Item('a.jpg', 'a.jpg', 0, 'a', map_parts=parts), (8, 8))
    with pytest.raises(BrokenSampleError, match=r'a_nose.png: 4x4 pixels, but .*a_skin.png is 8x8'):
        StoredMaps(label_map='celebamask').parse_from([origin], [np.zeros((8, 8, 3))], [None])
