"""A whole run in one process: what is written, what the manifest says, what is refused, what stops it."""

import errno
import json
import os

import cv2
import numpy as np
import pytest
from engine_fakes import MARKS, PARSER_MARKS, execution, items_of, picture, settings, tree, write_pictures

from fsfm_mm.files.stopping import StoppedError
from fsfm_mm.preparation import chunks
from fsfm_mm.preparation.manifest import FaceRecord
from fsfm_mm.preparation.run import Share, prepare
from fsfm_mm.preparation.sources.items import Item
from fsfm_mm.preparation.writers.folders import FoldersWriter
from fsfm_mm.regions import LABEL_NAMES
from fsfm_mm.statistics import load_mean_std


def run(items, out, **changes):
    return prepare(items, out, settings(**changes), execution())


def manifest(out):
    lines = (out / 'manifest.jsonl').read_text(encoding='utf-8').splitlines()
    return [FaceRecord.from_json(line, 'manifest') for line in lines]


def by_source(out):
    return {record.source: record for record in manifest(out)}


def test_pictures_maps_manifest_and_statistics(tmp_path):
    items = write_pictures(tmp_path / 'photos')
    outcome = run(items, tmp_path / 'out')
    assert outcome.complete and not outcome.repeated and not outcome.limits
    assert outcome.tally.statuses == {'ok': 10} and outcome.tally.sources == 10
    records = manifest(tmp_path / 'out')
    assert [record.source for record in records] == [item.source for item in items]
    pixels = []
    for seed, record in enumerate(records):
        expected = picture(seed, 32)
        assert record.file == f'images/{seed:02d}.png' and record.map == f'parsing_maps/{seed:02d}.npy'
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out' / record.file)), expected)
        labels = np.load(tmp_path / 'out' / record.map)
        assert labels.dtype == np.int8
        np.testing.assert_array_equal(labels, expected.max(axis=2)[None] % 11)
        assert record.sha256 == tree(tmp_path / 'out')[record.file]
        shares = [float((labels == label).mean()) for label in range(len(LABEL_NAMES))]
        np.testing.assert_allclose([record.labels[name] for name in LABEL_NAMES], shares, atol=1e-6)
        assert (record.score, record.box, record.square) == (0.75, [0, 0, 32, 32], [0, 0, 32, 32])
        pixels.append(expected[..., ::-1].reshape(-1, 3) / 255)
    stats = load_mean_std(tmp_path / 'out' / 'mean_std.json')
    np.testing.assert_allclose(stats['mean'], np.concatenate(pixels).mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats['std'], np.concatenate(pixels).std(0), rtol=1e-12)
    about = json.loads((tmp_path / 'out' / 'prepare.json').read_text())
    assert about['size'] == 32 and about['statuses'] == {'ok': 10} and about['approximate_maps'] is False
    expected = {'images', 'parsing_maps', 'manifest.jsonl', 'mean_std.json', 'prepare.json'}
    assert {path.name for path in (tmp_path / 'out').iterdir()} == expected


def test_everything_that_goes_wrong_is_a_line_of_the_manifest(tmp_path):
    folder = tmp_path / 'photos'
    write_pictures(
        folder,
        2,
        detector_fails=MARKS['raise'],
        without=MARKS['no_face'],
        parser_fails=PARSER_MARKS['raise'],
        unparsed=PARSER_MARKS['none'],
    )
    (folder / 'cut.jpg').write_bytes(cv2.imencode('.jpg', picture(5))[1].tobytes()[:300])
    (folder / 'empty.png').write_bytes(b'')
    cv2.imwrite(str(folder / 'tiny.png'), picture(6, 1))
    cv2.imwrite(str(folder / f'{"x" * 246}.png'), picture(7, 32))
    items = items_of(folder) + [Item(str(folder / 'gone.png'), 'gone.png', 0, 'gone')]
    outcome = run(items, tmp_path / 'out')
    found = by_source(tmp_path / 'out')
    statuses = {source[:14]: record.status for source, record in found.items()}
    assert statuses == {
        '00.png': 'ok',
        '01.png': 'ok',
        'cut.jpg': 'unreadable',
        'detector_fails': 'crashed',
        'empty.png': 'unreadable',
        'gone.png': 'unreadable',
        'parser_fails.p': 'crashed',
        'tiny.png': 'small',
        'unparsed.png': 'unparsed',
        'without.png': 'no_face',
        'x' * 14: 'unwritable',
    }
    assert found['detector_fails.png'].message == 'RuntimeError: this detector cannot bear it'
    assert found['parser_fails.png'].message == 'RuntimeError: this parser cannot bear it'
    assert 'the face is 1 pixels large' in found['tiny.png'].message
    assert str(folder / 'cut.jpg') in found['cut.jpg'].message
    assert 'File name too long' in found['x' * 246 + '.png'].message
    assert outcome.tally.failures == 6
    assert sorted(os.listdir(tmp_path / 'out' / 'images')) == ['00.png', '01.png']
    # only what was written counts for the statistics
    pixels = np.concatenate([picture(seed, 32)[..., ::-1].reshape(-1, 3) / 255 for seed in range(2)])
    np.testing.assert_allclose(load_mean_std(tmp_path / 'out' / 'mean_std.json')['mean'], pixels.mean(0))


def test_names_with_spaces_and_unicode(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name in ('zwei Wörter', 'π', '脸 1'):
        (folder / f'{name}.png').write_bytes(cv2.imencode('.png', picture(0, 32))[1].tobytes())
    broken = os.fsdecode(b'latin\xe9.png')  # a name that is no UTF-8
    (folder / broken).write_bytes(cv2.imencode('.png', picture(1, 32))[1].tobytes())
    items = [
        Item(str(path), path.name, 0, path.stem.encode('utf-8', 'replace').decode())
        for path in sorted(folder.iterdir())
    ]
    outcome = run(items, tmp_path / 'out')
    assert outcome.tally.statuses == {'ok': 4}
    assert set(by_source(tmp_path / 'out')) == {'zwei Wörter.png', 'π.png', '脸 1.png', broken}
    assert (tmp_path / 'out' / 'images' / '脸 1.png').is_file()


def test_a_finished_run_is_left_alone(tmp_path):
    items = write_pictures(tmp_path / 'photos')
    run(items, tmp_path / 'out')
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*')}
    again = run(items, tmp_path / 'out')
    assert again.repeated and again.complete and again.tally.statuses == {'ok': 10}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').rglob('*')} == before


@pytest.mark.parametrize('finished', [False, True])
def test_another_run_is_refused_with_what_differs(tmp_path, finished):
    items = write_pictures(tmp_path / 'photos')
    out = tmp_path / 'out'
    if finished:
        run(items, out)
    else:
        prepare(items, out, settings(), execution(), share=Share(0, 2))
    before = tree(out)
    with pytest.raises(
        ValueError, match=r'was begun with margin 1\.3, not 1\.5: repeat what it was begun with'
    ):
        run(items, out, margin=1.5)
    with pytest.raises(ValueError, match=r'other sources \(10 files then, 9 now; names or sizes'):
        run(items[1:], out)
    (tmp_path / 'photos' / '00.png').write_bytes(b'another size')
    with pytest.raises(ValueError, match=r'other sources \(10 files then, 10 now'):
        run(items, out)
    assert tree(out) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    items = write_pictures(tmp_path / 'photos')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'thesis.txt').write_text('years of work')
    with pytest.raises(ValueError, match=r'holds files of something else \(thesis.txt\): name a new'):
        run(items, tmp_path / 'out')
    assert tree(tmp_path / 'out').keys() == {'thesis.txt'}
    (tmp_path / 'out' / 'thesis.txt').rename(tmp_path / 'out' / 'prepare.json')
    with pytest.raises(ValueError, match=r'prepare.json cannot be read'):
        run(items, tmp_path / 'out')
    with pytest.raises(ValueError, match=r'out/prepare\.json is a file: name a folder'):
        run(items, tmp_path / 'out' / 'prepare.json')


def test_two_sources_of_one_name_are_refused(tmp_path):
    items = write_pictures(tmp_path / 'photos', 2)
    same = Item(items[0].path, 'other.png', 0, items[0].key)
    with pytest.raises(ValueError, match='would both be written as 00: rename or remove one'):
        run([*items, same], tmp_path / 'out')
    with pytest.raises(ValueError, match='there are no pictures or videos'):
        run([], tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_wrong_settings_are_one_sentence(tmp_path):
    items = write_pictures(tmp_path / 'photos', 1)
    for changes, sentence in (
        (dict(detector=dict(type='Yonet')), "there is no face detector 'Yonet'; known are .*MarkedDetector"),
        (dict(parser=dict(type='MarkedParser', x=1)), 'face parser MarkedParser: .*'),
        (dict(format=dict(type='zip')), 'the format must be one of folders, archive'),
        (dict(format=dict(type='folders', image_format='gif')), "image_format must be one of .* 'gif'"),
        (dict(format=dict(type='folders', quality=0)), 'quality must lie within 1 and 100, found 0'),
        (dict(margin=0), 'the margin must lie within 0.1 and 10'),
        (dict(size=0), 'size must be 8 or more, found 0'),
        (dict(choice='nicest'), "faces must be one of largest, best, all, found 'nicest'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            run(items, tmp_path / 'out', **changes)
    assert not (tmp_path / 'out').exists()


def test_missing_weights_are_told_before_anything_is_written(tmp_path):
    items = write_pictures(tmp_path / 'photos', 2)
    with pytest.raises(ConnectionError, match='no network: use --parser template'):
        run(items, tmp_path / 'out', parser=dict(type='LacksWeights'))
    assert not (tmp_path / 'out').exists()
    assert run(items, tmp_path / 'out').complete


class FullAfter:
    """A disk that is full after so many pictures."""

    def __init__(self, monkeypatch, count, number=errno.ENOSPC):
        self.left, self.number = count, number
        self.write = FoldersWriter._write
        monkeypatch.setattr(FoldersWriter, '_write', lambda writer, out, face: self(writer, out, face))

    def __call__(self, writer, out, face):
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number), str(out / 'images' / face.key))
        self.write(writer, out, face)


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses_stops_the_run_and_it_goes_on_later(tmp_path, number):
    items = write_pictures(tmp_path / 'photos')
    run(items, tmp_path / 'whole')
    with pytest.MonkeyPatch.context() as monkeypatch:
        FullAfter(monkeypatch, 6, number)
        with pytest.raises(StoppedError, match=rf'images/06 cannot be written: {os.strerror(number)}'):
            run(items, tmp_path / 'out')
    assert len(list((tmp_path / 'out' / '.prepare' / 'chunks').iterdir())) == 1
    assert not list((tmp_path / 'out').rglob('*.part'))
    run(items, tmp_path / 'out')
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root to mount a small disk')
def test_a_really_full_disk(tmp_path):
    items = write_pictures(tmp_path / 'photos', 40)
    run(items, tmp_path / 'whole')
    disk = tmp_path / 'disk'
    disk.mkdir()
    if os.system(f'mount -t tmpfs -o size=100k none {disk} 2>/dev/null'):
        pytest.skip('this system does not let root mount')
    try:
        with pytest.raises(StoppedError, match='cannot be written: No space left on device'):
            run(items, disk / 'out')
        assert not list((disk / 'out').rglob('*.part'))
        assert os.system(f'mount -o remount,size=10m {disk}') == 0
        run(items, disk / 'out')
        assert tree(disk / 'out') == tree(tmp_path / 'whole')
    finally:
        os.system(f'umount {disk}')


def test_an_output_that_cannot_be_made(tmp_path):
    items = write_pictures(tmp_path / 'photos', 1)
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=r'the output .*file/out cannot be made: .*file is a file'):
        run(items, tmp_path / 'file' / 'out')


def test_crops_beyond_the_memory_go_to_the_disk(tmp_path, monkeypatch):
    items = write_pictures(tmp_path / 'photos')
    run(items, tmp_path / 'memory')
    monkeypatch.setattr(chunks, '_MEMORY', 5000)
    run(items, tmp_path / 'disk')
    assert tree(tmp_path / 'disk') == tree(tmp_path / 'memory')


def test_without_parser_there_are_no_maps(tmp_path):
    items = write_pictures(tmp_path / 'photos', 3)
    run(items, tmp_path / 'out', parser=None)
    assert not (tmp_path / 'out' / 'parsing_maps').exists()
    assert all(record.map is None and record.labels is None for record in manifest(tmp_path / 'out'))


def test_nothing_found_leaves_no_statistics(tmp_path):
    items = write_pictures(tmp_path / 'photos', 0, one=MARKS['no_face'])
    outcome = run(items, tmp_path / 'out')
    assert outcome.complete and outcome.tally.statuses == {'no_face': 1}
    assert set(tree(tmp_path / 'out')) == {'manifest.jsonl', 'prepare.json'}


@pytest.mark.parametrize(
    'environment, expected',
    [
        ({}, (0, 1)),
        ({'RANK': '2', 'WORLD_SIZE': '4'}, (2, 4)),
        ({'SLURM_PROCID': '1', 'SLURM_NTASKS': '3', 'SLURM_STEP_NUM_TASKS': '3'}, (1, 3)),
        ({'SLURM_PROCID': '0', 'SLURM_NTASKS': '3'}, (0, 1)),  # a batch script, no srun
        ({'RANK': '0', 'WORLD_SIZE': '1', 'SLURM_PROCID': '1', 'SLURM_STEP_NUM_TASKS': '3'}, (0, 1)),
    ],
)
def test_share_of_a_rank(environment, expected):
    share = Share.from_environment(environment)
    assert (share.index, share.count) == expected


def test_share_out_of_range():
    with pytest.raises(ValueError, match='found shard 4 of 4'):
        Share(4, 4)
