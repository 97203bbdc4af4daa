import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from archive_files import COUNT, PATCH, SIZE, face, picture, pipeline, write, written
from face_files import label_map
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from fsfm_mm.datasets import ArchivedFaces, BrokenSampleError, FaceParsingDataset, dense_collate
from fsfm_mm.datasets.labelled.crops import crop_facts
from fsfm_mm.datasets.pretraining import archive_store
from fsfm_mm.datasets.pretraining.archive_store import ShardStore, crc32_of
from fsfm_mm.datasets.pretraining.columns import SampleColumns
from fsfm_mm.datasets.seeding import SeededBatch
from fsfm_mm.datasets.transforms import (
    BuildPatchLabels,
    CRFRPMask,
    LoadFace,
    PackFaces,
    RandomFaceCrop,
    RandomFaceFlip,
    RandomMask,
    ResizeFace,
)
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.writers.archive import ArchiveWriter
from fsfm_mm.registry import DATASETS


def batch_of(dataset, indices):
    np.random.seed(3)
    return dense_collate(dataset.__getitems__(indices))


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def jpeg(image):
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return cv2.imdecode(cv2.imencode('.jpg', image, options)[1], cv2.IMREAD_COLOR)


def test_how_the_faces_were_cut_is_known_from_the_preparation(tmp_path):
    dataset = ArchivedFaces(written('raw', tmp_path), pipeline=())
    assert crop_facts(dataset) == {}
    (root,) = dataset.data_roots
    Path(root, 'prepare.json').write_text('{"detector_name": "yunet", "margin": 1.3}')
    assert crop_facts(dataset) == {'detector': 'yunet', 'crop_margin': 1.3}


@pytest.mark.parametrize('encoding', ['raw', 'jpeg', 'png'])
def test_samples_hold_the_pixels_and_label_sets_that_were_written(tmp_path, encoding):
    dataset = ArchivedFaces(written(encoding, tmp_path), pipeline=())
    assert len(dataset) == COUNT
    for i in range(COUNT):
        sample = dataset[i]
        expected = jpeg(picture(i)) if encoding == 'jpeg' else picture(i)
        np.testing.assert_array_equal(sample['img'], expected)
        np.testing.assert_array_equal(sample['patch_labels'], patch_labels(label_map(i), PATCH))
        assert sample['patch_labels'].dtype == np.uint16 and sample['sample_idx'] == i
        assert sample['img_path'].endswith(f'#f{i:03d}') and os.path.isfile(sample['img_path'].split('#')[0])
    assert dataset[-1]['sample_idx'] == COUNT - 1
    with pytest.raises(IndexError):
        dataset[COUNT]
    with_maps = ArchivedFaces(str(tmp_path), read_maps=True, pipeline=())[6]
    np.testing.assert_array_equal(with_maps['parsing_map'], label_map(6))
    assert 'patch_labels' not in with_maps


@pytest.mark.parametrize('mask', [CRFRPMask, RandomMask])
@pytest.mark.parametrize('flips', [0.0, 0.5, 1.0])
def test_batches_equal_those_of_the_folders_under_the_same_seed(tmp_path, mask, flips):
    packed, folders = written('raw', tmp_path / 'p'), written('folders', tmp_path / 'f')
    steps = pipeline(mask, before=[RandomFaceFlip(flips)] if flips else [])
    indices = [3, 0, 15, 3, 7, 8, 9, 10]
    batch = batch_of(ArchivedFaces(packed, pipeline=steps), indices)
    assert_equal(batch, batch_of(FaceParsingDataset(folders, pipeline=steps), indices))
    mirrored = [
        not torch.equal(image, torch.from_numpy(picture(i)[..., ::-1].transpose(2, 0, 1).copy()))
        for i, image in zip(indices, batch['inputs'])
    ]
    assert sum(mirrored) == {0.0: 0, 0.5: sum(mirrored), 1.0: 8}[flips] and (
        flips != 0.5 or 0 < sum(mirrored) < 8
    )


def test_pictures_are_resized_as_in_the_folders(tmp_path):
    packed, folders = written('raw', tmp_path / 'p'), written('folders', tmp_path / 'f')
    steps = [LoadFace(), ResizeFace(48), PackFaces()]
    batch = batch_of(ArchivedFaces(packed, pipeline=steps), [3, 0])
    assert_equal(batch, batch_of(FaceParsingDataset(folders, pipeline=steps), [3, 0]))
    assert batch['inputs'].shape == (2, 3, 48, 48)


@pytest.mark.parametrize('encoding', ['raw', 'jpeg', 'png'])
@pytest.mark.parametrize('need_maps', [True, False])
def test_columns_equal_single_samples(tmp_path, encoding, need_maps):
    class Same:
        """A transform that does nothing and takes samples only."""

        def __call__(self, sample):
            return sample

    root = written(encoding, tmp_path)
    steps = pipeline(before=[RandomFaceFlip(0.5)])
    fast = ArchivedFaces(root, need_maps=need_maps, pipeline=steps)
    slow = ArchivedFaces(root, need_maps=need_maps, pipeline=[*steps[:-1], Same(), steps[-1]])
    indices = list(range(COUNT))[::-1]
    assert isinstance(fast.__getitems__(indices), SampleColumns) and isinstance(
        slow.__getitems__(indices), list
    )
    assert_equal(batch_of(fast, indices), batch_of(slow, indices))
    assert batch_of(fast, indices)['region_mask'].any() == need_maps


def test_any_collate_function_takes_columns(tmp_path):
    dataset = ArchivedFaces(written('raw', tmp_path), mask=RandomMask(0.5))  # the default pipeline packs
    np.random.seed(3)
    batch = pseudo_collate(dataset.__getitems__([1, 2]))
    assert_equal(
        {key: torch.stack([torch.from_numpy(v) for v in batch[key]]) for key in batch},
        batch_of(dataset, [1, 2]),
    )
    columns = dataset.__getitems__([4, 5, 6])
    assert len(columns) == 3 and len(columns[1:]) == 2
    np.testing.assert_array_equal(columns[1:][0]['inputs'], picture(5)[..., ::-1].transpose(2, 0, 1))


def test_a_config_changes_type_and_root_only(tmp_path):
    config = dict(
        type='FaceParsingDataset',
        data_root=written('folders', tmp_path / 'f'),
        missing_maps='error',
        on_broken='skip',
        mask=dict(type='CRFRPMask', mask_ratio=0.75),
        pipeline=[
            dict(type='LoadFace'),
            dict(type='ResizeFace', size=SIZE, interpolation='bicubic'),
            dict(type='BuildPatchLabels', patch_size=PATCH),
            dict(type='PackFaces'),
        ],
    )
    folders = DATASETS.build(config)
    packed = DATASETS.build({**config, 'type': 'ArchivedFaces', 'data_root': written('raw', tmp_path / 'p')})
    assert_equal(batch_of(packed, [0, 9]), batch_of(folders, [0, 9]))
    inside = DATASETS.build({**config, 'type': 'ArchivedFaces', 'data_root': str(tmp_path / 'p/archive')})
    assert_equal(batch_of(inside, [0, 9]), batch_of(folders, [0, 9]))


def test_several_roots_and_subsets_keep_their_order(tmp_path):
    roots = [written('raw', tmp_path / 'a'), written('raw', tmp_path / 'b', chunks=(2, 4))]
    dataset = ArchivedFaces(roots, pipeline=())
    assert [s['img_path'][-3:] for s in dataset.__getitems__([15, 16, 21])] == ['015', '000', '005'] and len(
        dataset
    ) == 22
    assert [d['img_path'][-3:] for d in dataset.get_subset([20, 1])] == ['004', '001']
    assert [d['img_path'][-3:] for d in ArchivedFaces(roots, pipeline=(), indices=2)] == ['000', '001']
    write(ArchiveWriter('raw', patch_size=16), tmp_path / 'c')
    with pytest.raises(
        ValueError,
        match=r'c.archive has faces of \[32, 32\] pixels in patches of 16, .* in 8: write them alike',
    ):
        ArchivedFaces([roots[0], str(tmp_path / 'c')])
    for options in (dict(need_maps=False), dict(read_maps=True)):
        assert len(ArchivedFaces([roots[0], str(tmp_path / 'c')], **options)) == 2 * COUNT
    with pytest.raises(ValueError, match='data_root must name at least one'):
        ArchivedFaces([])


def test_a_crop_needs_the_maps(tmp_path):
    steps = [LoadFace(), RandomFaceCrop(32), BuildPatchLabels(PATCH), CRFRPMask(0.75), PackFaces()]
    root = written('raw', tmp_path / 'a')
    with pytest.raises(ValueError, match="cannot move a sample's 'patch_labels'"):
        ArchivedFaces(root, pipeline=steps).__getitems__([0])
    folders = FaceParsingDataset(written('folders', tmp_path / 'f'), pipeline=steps)
    indices = [3, 0, 15, 8, 9, 10]
    assert_equal(
        batch_of(ArchivedFaces(root, read_maps=True, pipeline=steps), indices), batch_of(folders, indices)
    )


def test_a_transform_derived_from_ours_runs_sample_by_sample(tmp_path):
    class Backwards(RandomFaceFlip):
        """Does something else than what it is derived from."""

        def transform(self, results):
            results['img'] = np.ascontiguousarray(results['img'][::-1])
            return results

    dataset = ArchivedFaces(written('raw', tmp_path), pipeline=[LoadFace(), Backwards(), PackFaces()])
    (sample,) = dataset.__getitems__([3])
    np.testing.assert_array_equal(sample['inputs'], picture(3)[::-1, :, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize('kind', ['raw', 'png', 'jpeg'])
def test_faces_of_several_sizes(tmp_path, kind):
    writer = ArchiveWriter(kind, patch_size=PATCH)
    faces = [face(0), face(1, size=48), face(2, size=40)]
    faces[2].image, faces[2].labels = faces[2].image[:, :24].copy(), faces[2].labels[:, :24].copy()
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    dataset = ArchivedFaces(str(tmp_path), pipeline=())
    header = dataset.archives[0].header
    assert (
        header.size is None and header.patch_size is None and not (tmp_path / 'archive/labels.npy').exists()
    )
    for one, sample in zip(faces, dataset):
        np.testing.assert_array_equal(sample['parsing_map'], one.labels)
        assert sample['img'].shape == one.image.shape
        if kind != 'jpeg':
            np.testing.assert_array_equal(sample['img'], one.image)
    assert batch_of(ArchivedFaces(str(tmp_path), pipeline=pipeline()), [0, 1, 2])['inputs'].shape == (
        3,
        3,
        32,
        32,
    )


def test_without_maps(tmp_path):
    root = written('raw', tmp_path, with_map=False)
    assert not (tmp_path / 'archive/labels.npy').exists()
    with pytest.raises(ValueError, match='was written without maps, so it has no labels: need_maps=False'):
        ArchivedFaces(root)
    batch = batch_of(ArchivedFaces(root, need_maps=False, pipeline=pipeline()), [0, 1])
    assert batch['mask'].sum(1).tolist() == [12, 12] and not batch['region_mask'].any()


def spoil(path, change):
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def resealed(folder, name, array):
    """Write another table with the checksum that belongs to it."""
    np.save(folder / name, array)
    header = json.loads((folder / 'archive.json').read_text())
    spoil(folder / 'archive.json', {'crc32': {**header['crc32'], name: crc32_of(folder / name)}})


def changed(folder, row, **values):
    """Change entries of a row of the index, with the checksum that belongs to it."""
    index = np.load(folder / 'index.npy')
    for name, value in values.items():
        index[name][row] = value
    resealed(folder, 'index.npy', index)


LARGEST = (1 << 63) - 1
HEADERS = [
    ({'version': 2}, r"archive\.json: expected 'fsfm_mm face archive' version 1, found .* version 2"),
    ({'format': 'zarr'}, 'found zarr version 1'),
    ({'more': 1}, r'archive\.json: expected the keys crc32, encoding,'),
    ({'encoding': 'gif'}, "encoding must be one of raw, png, jpeg, but is 'gif'"),
    ({'patch_size': 7}, r'size \[32, 32\], patch_size 7 and maps True do not fit'),
    ({'size': '32'}, "size '32', patch_size 8 and maps True do not fit"),
    ({'size': None}, 'size None, patch_size 8 and maps True do not fit'),
    ({'maps': False}, 'maps False do not fit'),
    ({'maps': 1}, 'maps 1 do not fit'),
    ({'shards': ['../../x']}, 'shards must be pairs of numbers'),
    ({'shards': [[16, -1]]}, 'shards must be pairs of numbers'),
    ({'shards': [[16, True]]}, 'shards must be pairs of numbers'),
    ({'shards': [[16, 1 << 64]]}, 'shards must be pairs of numbers'),
    ({'shards': [[15, 99]]}, 'faces 16 are not those of the shards together'),
    ({'faces': '16'}, "faces '16' are not those of the shards"),
    ({'encoding': []}, r'encoding must be one of raw, png, jpeg, but is \[\]'),
    ({'format': [], 'version': {}}, r'found \[\] version \{\}'),
    ({'faces': 1 << 63}, r'faces 9223372036854775808 are not those of the shards'),
    ({'faces': ['x'] * 10_000}, r'archive\.json: faces .* are not those of the shards'),
    ({'size': [1 << 63, 1 << 63]}, 'size .* do not fit together'),
    ({'size': [1 << 61, 1 << 61], 'patch_size': 1}, r'labels\.npy: expected|index\.npy: row 0'),
    ({'crc32': {'../../x': 1, 'index.npy': 1, 'keys.txt': 1}}, 'crc32 must hold the checksums of index'),
    ({'crc32': {'index.npy': 1, 'keys.txt': 1}}, r'the checksums of .* and labels\.npy'),
    ({'crc32': {'index.npy': '1', 'keys.txt': [], 'labels.npy': 1}}, 'crc32 must hold the checksums'),
    ({'crc32': {}}, r'crc32 must hold the checksums of index\.npy and keys\.txt'),
    ({'shards': [[16, 1 << 20]]}, r"index\.npy: row 5 is \{'shard': 2, .* does not fit"),
]


@pytest.mark.parametrize('change, message', HEADERS)
def test_a_header_that_makes_no_sense_is_refused_in_one_sentence(tmp_path, change, message):
    root = written('raw', tmp_path)
    spoil(tmp_path / 'archive/archive.json', change)
    with pytest.raises(ValueError, match=message) as info:
        ArchivedFaces(root)
    assert str(info.value).isprintable() and len(str(info.value)) <= 300


@pytest.mark.parametrize(
    'row, values',
    [
        (0, dict(shard=9)),
        (0, dict(image=-1)),
        (0, dict(image=511)),
        (4, dict(image=1 << 40)),
        (4, dict(image=LARGEST)),
        (3, dict(image_bytes=LARGEST)),
        (3, dict(image_bytes=0)),
        (3, dict(image_bytes=3071)),
        (2, dict(map_bytes=1 << 40)),
        (2, dict(map_bytes=0)),
        (2, dict(map_bytes=-LARGEST)),
        (2, dict(map=-LARGEST - 1)),
        (2, dict(map=LARGEST)),
        (2, dict(map=512)),
        (1, dict(height=16, width=64)),
        (1, dict(height=0)),
    ],
)
def test_an_index_that_does_not_fit_is_refused_in_one_sentence(tmp_path, row, values):
    root = written('raw', tmp_path)
    changed(tmp_path / 'archive', row, **values)
    with pytest.raises(ValueError, match=rf'index\.npy: row {row} is .* does not fit') as info:
        ArchivedFaces(root)
    assert '\n' not in str(info.value)


def rekeyed(folder, change):
    """Change the names, with the checksum that belongs to them."""
    path = folder / 'keys.txt'
    path.write_bytes(change(path.read_bytes()))
    header = json.loads((folder / 'archive.json').read_text())
    spoil(folder / 'archive.json', {'crc32': {**header['crc32'], 'keys.txt': crc32_of(path)}})


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    'damage, message',
    [
        (
            lambda p: os.truncate(p / 'faces-000002.tar', 100),
            r'faces-000002\.tar: expected \d+ bytes, found 100',
        ),
        (lambda p: (p / 'faces-000000.tar').unlink(), r'faces-000000\.tar: cannot be opened \(No such file'),
        (lambda p: fifo(p / 'faces-000000.tar'), r'faces-000000\.tar: is not a file'),
        (
            lambda p: resealed(p, 'labels.npy', np.zeros((3, 16), np.uint16)),
            r'labels\.npy: expected uint16 \(16, 16\), found uint16 \(3, 16\)',
        ),
        (lambda p: np.save(p / 'labels.npy', np.zeros((16, 16), np.int64)), r'labels\.npy: expected uint16'),
        (
            lambda p: np.save(p / 'labels.npy', np.load(p / 'labels.npy')[::-1]),
            r'labels\.npy: its content has changed',
        ),
        (lambda p: os.truncate(p / 'labels.npy', 200), r'labels\.npy: cannot be opened as a \.npy file'),
        (
            lambda p: (p / 'labels.npy').write_bytes(b'PK\x03\x04zip'),
            r'labels\.npy: cannot be opened as a \.npy',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy')[:-1]),
            r'index\.npy: expected \[.*\] \(16,\), found .* \(15,\)',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy')[::-1]),
            r'index\.npy: its content has changed \(another CRC-32\)',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.array([{}]), allow_pickle=True),
            r'index\.npy: cannot be opened as a \.npy file',
        ),
        (lambda p: (p / 'keys.txt').write_text('a\n' * 16), r'keys\.txt: its content has changed'),
        (
            lambda p: (
                (p / 'keys.txt').write_text('a\n'),
                resealed(p, 'index.npy', np.load(p / 'index.npy')),
                spoil(
                    p / 'archive.json',
                    {
                        'crc32': {
                            **json.loads((p / 'archive.json').read_text())['crc32'],
                            'keys.txt': crc32_of(p / 'keys.txt'),
                        }
                    },
                ),
            ),
            r'keys\.txt: has 1 names for 16 faces',
        ),
        (lambda p: rekeyed(p, lambda keys: keys + b'one more'), r'keys\.txt: has 17 names for 16 faces'),
        (lambda p: rekeyed(p, lambda keys: keys[:-1]), r'keys\.txt: has 16 names for 16 faces'),
        (lambda p: rekeyed(p, lambda keys: b'\xff' + keys[1:]), r'keys\.txt: is no UTF-8 text'),
        (lambda p: (p / 'keys.txt').unlink(), r'keys\.txt: cannot be read \(No such file'),
        (lambda p: flip(p / 'keys.txt', 3), r'keys\.txt: its content has changed'),
        (lambda p: flip(p / 'labels.npy', 200), r'labels\.npy: its content has changed'),
        (lambda p: flip(p / 'index.npy', -9), r'index\.npy: (its content has changed|row 15 is)'),
        (lambda p: (p / 'archive.json').write_text('[' * 200_000), r'archive\.json: cannot be read as JSON'),
        (lambda p: fifo(p / 'keys.txt'), r'keys\.txt: is not a file'),
        (lambda p: (p / 'archive.json').write_text('{'), r'archive\.json: cannot be read as JSON'),
        (lambda p: (p / 'archive.json').write_bytes(b'\xff'), r'archive\.json: cannot be read as JSON'),
        (
            lambda p: (p / 'archive.json').write_text('[]'),
            r'archive\.json: expected a JSON object, found \[\]',
        ),
        (
            lambda p: (p / 'archive.json').unlink(),
            r'archive\.json: cannot be read \(No such file .* once its run is complete',
        ),
    ],
)
def test_files_that_do_not_fit_together_are_refused_in_one_sentence(tmp_path, damage, message):
    root = written('raw', tmp_path)
    damage(tmp_path / 'archive')
    with pytest.raises(ValueError, match=message) as info:
        ArchivedFaces(root)
    assert '\n' not in str(info.value)


def test_large_tables_are_compared_by_the_checks_only(tmp_path, monkeypatch):
    root = written('raw', tmp_path)
    labels = np.load(tmp_path / 'archive/labels.npy')
    np.save(tmp_path / 'archive/labels.npy', labels[::-1])
    monkeypatch.setattr(archive_store, 'SMALL', 100)
    dataset = ArchivedFaces(root)
    dataset.full_init()
    (archive,) = dataset.archives
    with pytest.raises(ValueError, match=r'labels\.npy: its content has changed'):
        archive.check_tables()


def test_broken_faces_are_named_and_skipped(tmp_path, warnings_of):
    root, folder = written('jpeg', tmp_path), tmp_path / 'archive'
    index = np.load(folder / 'index.npy')
    with open(folder / 'faces-000002.tar', 'r+b') as file:
        file.seek(index['image'][6])
        file.write(b'\0' * 40)
    labels = np.load(folder / 'labels.npy')
    labels[9, 3] = 1 << 11
    resealed(folder, 'labels.npy', labels)
    strict = ArchivedFaces(root, pipeline=pipeline())
    with pytest.raises(BrokenSampleError, match=r'faces-000002\.tar#f006\.jpg: cannot be decoded'):
        strict.__getitems__([5, 6])
    with pytest.raises(BrokenSampleError, match=r'faces-000002\.tar#f009: its label sets reach 2048'):
        strict[9]
    dataset = ArchivedFaces(root, on_broken='skip', pipeline=pipeline())
    loader = DataLoader(dataset, batch_size=8, num_workers=1, collate_fn=dense_collate)
    inputs = torch.cat([batch['inputs'] for batch in loader])
    torch.testing.assert_close(inputs[6], inputs[7], rtol=0, atol=0)
    torch.testing.assert_close(inputs[9], inputs[10], rtol=0, atol=0)
    names = [f'{folder}/faces-000002.tar#{key}' for key in ('f006', 'f009')]
    assert dataset.broken_files() == names
    with open(folder / 'faces-000004.tar', 'r+b') as file:  # shorter while it is open
        file.truncate(3)
    with pytest.raises(BrokenSampleError, match=r'f015: the shard is cut off, 0 of \d+ bytes are left'):
        strict.__getitems__([15])
    assert batch_of(dataset, [15])['inputs'].equal(inputs[:1])


@pytest.mark.parametrize('spelled', ['plain', 'Zoë', 'k' * 150])
def test_raw_faces_are_compared_with_their_tar_headers(tmp_path, spelled):
    faces = [face(i, key=f'{spelled}{i}') for i in range(3)]
    writer = ArchiveWriter('raw', patch_size=PATCH)
    writer.write_chunk(tmp_path, 0, faces)
    writer.finish(tmp_path, 1, [one.record for one in faces])
    dataset = ArchivedFaces(str(tmp_path), pipeline=pipeline())
    expected = batch_of(dataset, [0, 1, 2])
    np.testing.assert_array_equal(expected['inputs'][1], picture(1)[..., ::-1].transpose(2, 0, 1))
    place = int(dataset.archives[0].index['image'][1]) - 512
    with open(tmp_path / 'archive/faces-000000.tar', 'r+b') as file:
        for offset, data, message in (
            (124, b'00000005777\0', 'damaged tar header'),
            (0, b'x', 'damaged tar header'),
            (0, bytes(512), 'damaged tar header'),
        ):
            file.seek(place)
            before = file.read(512)
            file.seek(place + offset)
            file.write(data)
            file.flush()
            with pytest.raises(BrokenSampleError, match=message):
                dataset.__getitems__([0, 1])
            file.seek(place)
            file.write(before)
            file.flush()
    assert_equal(batch_of(dataset, [0, 1, 2]), expected)


def test_pickling_copies_no_data(tmp_path):
    dataset = ArchivedFaces(written('raw', tmp_path), mask=CRFRPMask(0.75))
    expected = batch_of(dataset, [4, 11])
    data = pickle.dumps(dataset)
    assert len(data) < 4000 and picture(0).tobytes()[:64] not in data
    copy = pickle.loads(data)
    assert_equal(batch_of(copy, [4, 11]), expected)
    script = 'import sys, pickle, torch; d = pickle.load(open(sys.argv[1], "rb")); print(int(d[4]["inputs"].sum()))'
    (tmp_path / 'd.pkl').write_bytes(pickle.dumps(ArchivedFaces(str(tmp_path))))
    out = subprocess.run(
        [sys.executable, '-c', script, str(tmp_path / 'd.pkl')], capture_output=True, text=True
    )
    assert int(out.stdout) == int(picture(4).astype(int).sum()), out.stderr


def test_workers_give_the_same_batches(tmp_path):
    dataset = ArchivedFaces(written('raw', tmp_path), pipeline=pipeline())
    here = [b['inputs'] for b in DataLoader(dataset, batch_size=5, collate_fn=dense_collate)]
    there = [b['inputs'] for b in DataLoader(dataset, batch_size=5, num_workers=2, collate_fn=dense_collate)]
    assert len(here) == len(there) == 4
    for a, b in zip(here, there):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_seeded_batch_seeds_the_masks(tmp_path):
    dataset = ArchivedFaces(written('raw', tmp_path), pipeline=pipeline())
    first = dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 5))))
    np.random.rand(7)
    assert_equal(dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 5)))), first)
    assert not dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 6))))['mask'].equal(
        first['mask']
    )


def test_open_files_are_bounded(tmp_path):
    for i in range(5):
        (tmp_path / f'{i}').write_bytes(bytes([i] * 10))
    store = ShardStore(str(tmp_path), max_open=2)
    before = len(os.listdir('/proc/self/fd'))
    for i in (0, 1, 2, 1, 3, 4, 1):
        read = bytearray(3)
        assert store.read_into(f'{i}', 10, 2, [read]) == 3 and read == bytes([i] * 3)
        assert len(os.listdir('/proc/self/fd')) <= before + 2
    target = np.zeros(4, np.uint8)
    assert store.read_into('4', 10, 8, [target]) == 2 and target.tolist() == [4, 4, 0, 0]
    del store
    assert len(os.listdir('/proc/self/fd')) == before
