import io
import json
import os
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from face_files import label_map
from mmengine.dataset import pseudo_collate
from packed_files import COUNT, PATCH, SIZE, picture, pipeline, write, written
from torch.utils.data import DataLoader

from fsfm_mm.datasets import BrokenSampleError, FaceParsingDataset, PackedFaces, dense_collate
from fsfm_mm.datasets.columns import SampleColumns
from fsfm_mm.datasets.open_files import OpenFiles
from fsfm_mm.datasets.seeding import SeededBatch
from fsfm_mm.datasets.transforms import (
    CRFRPMask,
    LoadFace,
    PackFaces,
    RandomFaceCrop,
    RandomFaceFlip,
    RandomMask,
    ResizeFace,
)
from fsfm_mm.ops.region_tables import patch_labels
from fsfm_mm.preparation.writers.packed import PackedWriter
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


@pytest.mark.parametrize('encoding', ['raw', 'jpeg'])
def test_samples_hold_the_pixels_and_label_sets_that_were_written(tmp_path, encoding):
    dataset = PackedFaces(written(encoding, tmp_path), pipeline=())
    assert len(dataset) == COUNT
    for i in range(COUNT):
        sample = dataset[i]
        expected = picture(i) if encoding == 'raw' else jpeg(picture(i))
        np.testing.assert_array_equal(sample['img'], expected)
        np.testing.assert_array_equal(sample['patch_labels'], patch_labels(label_map(i), PATCH))
        assert sample['patch_labels'].dtype == np.uint16 and sample['sample_idx'] == i
        assert sample['img_path'].endswith(f'#f{i:03d}') and os.path.isfile(sample['img_path'].split('#')[0])
    assert dataset[-1]['sample_idx'] == COUNT - 1
    with pytest.raises(IndexError):
        dataset[COUNT]


@pytest.mark.parametrize('mask', [CRFRPMask, RandomMask])
@pytest.mark.parametrize('flips', [0.0, 0.5, 1.0])
def test_batches_equal_those_of_the_folders_under_the_same_seed(tmp_path, mask, flips):
    packed, folders = written('raw', tmp_path / 'p'), written('folders', tmp_path / 'f')
    steps = pipeline(mask, before=[RandomFaceFlip(flips)] if flips else [])
    indices = [3, 0, 15, 3, 7, 8, 9, 10]
    batch = batch_of(PackedFaces(packed, pipeline=steps), indices)
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
    batch = batch_of(PackedFaces(packed, pipeline=steps), [3, 0])
    assert_equal(batch, batch_of(FaceParsingDataset(folders, pipeline=steps), [3, 0]))
    assert batch['inputs'].shape == (2, 3, 48, 48)


@pytest.mark.parametrize('encoding', ['raw', 'jpeg'])
@pytest.mark.parametrize('need_maps', [True, False])
def test_columns_equal_single_samples(tmp_path, encoding, need_maps):
    class Same:
        """A transform that does nothing and takes samples only."""

        def __call__(self, sample):
            return sample

    root = written(encoding, tmp_path)
    steps = pipeline(before=[RandomFaceFlip(0.5)])
    fast = PackedFaces(root, need_maps=need_maps, pipeline=steps)
    slow = PackedFaces(root, need_maps=need_maps, pipeline=[*steps[:-1], Same(), steps[-1]])
    indices = list(range(COUNT))[::-1]
    assert isinstance(fast.__getitems__(indices), SampleColumns) and isinstance(
        slow.__getitems__(indices), list
    )
    assert_equal(batch_of(fast, indices), batch_of(slow, indices))
    assert batch_of(fast, indices)['region_mask'].any() == need_maps


def test_any_collate_function_takes_columns(tmp_path):
    dataset = PackedFaces(written('raw', tmp_path), mask=RandomMask(0.5))  # the default pipeline packs
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
    packed = DATASETS.build({**config, 'type': 'PackedFaces', 'data_root': written('raw', tmp_path / 'p')})
    assert_equal(batch_of(packed, [0, 9]), batch_of(folders, [0, 9]))
    inside = DATASETS.build({**config, 'type': 'PackedFaces', 'data_root': str(tmp_path / 'p/packed')})
    assert_equal(batch_of(inside, [0, 9]), batch_of(folders, [0, 9]))


def test_several_roots_and_subsets_keep_their_order(tmp_path):
    roots = [written('raw', tmp_path / 'a'), written('raw', tmp_path / 'b', chunks=(2, 4))]
    dataset = PackedFaces(roots, pipeline=())
    assert [s['img_path'][-3:] for s in dataset.__getitems__([15, 16, 21])] == ['015', '000', '005'] and len(
        dataset
    ) == 22
    assert [d['img_path'][-3:] for d in dataset.get_subset([20, 1])] == ['004', '001']
    assert [d['img_path'][-3:] for d in PackedFaces(roots, pipeline=(), indices=2)] == ['000', '001']
    write(PackedWriter('raw', patch_size=16), tmp_path / 'c')
    with pytest.raises(
        ValueError, match=r'c.packed has faces of 32 pixels in patches of 16, .* in 8: pack them alike'
    ):
        PackedFaces([roots[0], str(tmp_path / 'c')])
    PackedFaces([roots[0], str(tmp_path / 'c')], need_maps=False)
    with pytest.raises(ValueError, match='data_root must name at least one'):
        PackedFaces([])


def test_a_crop_is_refused(tmp_path):
    dataset = PackedFaces(written('raw', tmp_path), pipeline=[LoadFace(), RandomFaceCrop(32), PackFaces()])
    with pytest.raises(ValueError, match="cannot move a sample's 'patch_labels'"):
        dataset.__getitems__([0])


def test_without_maps(tmp_path):
    root = written('raw', tmp_path, with_map=False)
    assert not (tmp_path / 'packed/labels.npy').exists()
    with pytest.raises(ValueError, match='was written without maps, so it has no labels: need_maps=False'):
        PackedFaces(root)
    batch = batch_of(PackedFaces(root, need_maps=False, pipeline=pipeline()), [0, 1])
    assert batch['mask'].sum(1).tolist() == [12, 12] and not batch['region_mask'].any()


def spoil(path, change):
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


@pytest.mark.parametrize(
    'damage, message',
    [
        (
            lambda p: os.truncate(p / 'faces-000002.raw', 100),
            r'faces-000002\.raw: expected 21504 bytes, found 100',
        ),
        (lambda p: (p / 'faces-000000.raw').unlink(), r'faces-000000\.raw: cannot be opened \(No such file'),
        (
            lambda p: np.save(p / 'labels.npy', np.zeros((3, 16), np.uint16)),
            r'labels\.npy: expected uint16 \(16, 16\), found uint16 \(3, 16\)',
        ),
        (lambda p: np.save(p / 'labels.npy', np.zeros((16, 16), np.int64)), r'labels\.npy: expected uint16'),
        (lambda p: os.truncate(p / 'labels.npy', 200), r'labels\.npy: cannot be opened as a \.npy file'),
        (
            lambda p: (p / 'labels.npy').write_bytes(b'PK\x03\x04zip'),
            r'labels\.npy: cannot be opened as a \.npy file',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy')[:-1]),
            r'index\.npy: expected int64 \(16, 3\), found int64 \(15, 3\)',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy') + [[9, 0, 0]]),
            r'index\.npy: row 0 is \[9, 0, 3072\].* does not fit',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy') - [[0, 1, 0]]),
            r'index\.npy: row 0 is \[0, -1, 3072\]',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.load(p / 'index.npy') + [[0, 1, 0]]),
            r'index\.npy: row 4 is \[0, 12289, 3072\]',
        ),
        (
            lambda p: np.save(p / 'index.npy', np.array([{}]), allow_pickle=True),
            r'index\.npy: cannot be opened',
        ),
        (
            lambda p: spoil(p / 'packed.json', {'version': 2}),
            r"packed\.json: expected 'fsfm_mm packed faces' version 1, found fsfm_mm packed faces version 2",
        ),
        (lambda p: spoil(p / 'packed.json', {'format': 'zarr'}), 'found zarr version 1'),
        (
            lambda p: spoil(p / 'packed.json', {'size': '32'}),
            r'packed\.json: expected the keys encoding, size,',
        ),
        (
            lambda p: spoil(p / 'packed.json', {'encoding': 'bmp'}),
            "encoding must be one of raw, jpeg, but is 'bmp'",
        ),
        (
            lambda p: spoil(p / 'packed.json', {'patch_size': 7}),
            'size 32, patch_size 7 and faces 16 do not fit',
        ),
        (
            lambda p: spoil(p / 'packed.json', {'chunk_bytes': ['../../x']}),
            'chunk_bytes must be a list of numbers',
        ),
        (lambda p: (p / 'packed.json').write_text('{'), r'packed\.json: cannot be read as JSON'),
        (lambda p: (p / 'packed.json').write_text('[]'), r'packed\.json: expected .* found something else'),
        (
            lambda p: (p / 'packed.json').unlink(),
            r'packed\.json: no such file; a folder of packed faces has it',
        ),
    ],
)
def test_a_set_that_does_not_fit_together_is_refused_in_one_sentence(tmp_path, damage, message):
    root = written('raw', tmp_path)
    damage(tmp_path / 'packed')
    with pytest.raises(ValueError, match=message) as info:
        PackedFaces(root)
    assert '\n' not in str(info.value)


def test_broken_faces_are_named_and_skipped(tmp_path, warnings_of):
    root, folder = written('jpeg', tmp_path), tmp_path / 'packed'
    index = np.load(folder / 'index.npy')
    with open(folder / 'faces-000002.jpg.bin', 'r+b') as file:
        file.seek(index[6, 1])
        file.write(b'\0' * 40)
    labels = np.load(folder / 'labels.npy')
    labels[9, 3] = 1 << 11
    np.save(folder / 'labels.npy', labels)
    strict = PackedFaces(root, pipeline=pipeline())
    with pytest.raises(BrokenSampleError, match=r'faces-000002\.jpg\.bin#f006: cannot be decoded'):
        strict.__getitems__([5, 6])
    with pytest.raises(BrokenSampleError, match=r'faces-000002\.jpg\.bin#f009: its label sets reach 2048'):
        strict[9]
    dataset = PackedFaces(root, on_broken='skip', pipeline=pipeline())
    loader = DataLoader(dataset, batch_size=8, num_workers=1, collate_fn=dense_collate)
    inputs = torch.cat([batch['inputs'] for batch in loader])
    torch.testing.assert_close(inputs[6], inputs[7], rtol=0, atol=0)
    torch.testing.assert_close(inputs[9], inputs[10], rtol=0, atol=0)
    names = [f'{folder}/faces-000002.jpg.bin#{key}' for key in ('f006', 'f009')]
    assert dataset.broken_files() == names
    with open(folder / 'faces-000004.jpg.bin', 'r+b') as file:  # shorter while it is open
        file.truncate(3)
    with pytest.raises(
        BrokenSampleError, match=r'f015: the file has become shorter, 0 of \d+ bytes are left'
    ):
        strict.__getitems__([15])
    assert batch_of(dataset, [15])['inputs'].equal(inputs[:1])


def test_pickling_copies_no_data(tmp_path):
    dataset = PackedFaces(written('raw', tmp_path), mask=CRFRPMask(0.75))
    expected = batch_of(dataset, [4, 11])
    data = pickle.dumps(dataset)
    assert len(data) < 4000 and picture(0).tobytes()[:64] not in data
    copy = pickle.loads(data)
    assert_equal(batch_of(copy, [4, 11]), expected)
    script = 'import sys, pickle, torch; d = pickle.load(open(sys.argv[1], "rb")); print(int(d[4]["inputs"].sum()))'
    (tmp_path / 'd.pkl').write_bytes(pickle.dumps(PackedFaces(str(tmp_path))))
    out = subprocess.run(
        [sys.executable, '-c', script, str(tmp_path / 'd.pkl')], capture_output=True, text=True
    )
    assert int(out.stdout) == int(picture(4).astype(int).sum()), out.stderr


def test_workers_give_the_same_batches(tmp_path):
    dataset = PackedFaces(written('raw', tmp_path), pipeline=pipeline())
    here = [b['inputs'] for b in DataLoader(dataset, batch_size=5, collate_fn=dense_collate)]
    there = [b['inputs'] for b in DataLoader(dataset, batch_size=5, num_workers=2, collate_fn=dense_collate)]
    assert len(here) == len(there) == 4
    for a, b in zip(here, there):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_seeded_batch_seeds_the_masks(tmp_path):
    dataset = PackedFaces(written('raw', tmp_path), pipeline=pipeline())
    first = dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 5))))
    np.random.rand(7)
    assert_equal(dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 5)))), first)
    assert not dense_collate(dataset.__getitems__(SeededBatch([1, 2, 3], (0, 6))))['mask'].equal(
        first['mask']
    )


def test_open_files_are_bounded(tmp_path):
    for i in range(5):
        (tmp_path / f'{i}').write_bytes(bytes([i] * 10))
    files = OpenFiles(limit=2)
    before = len(os.listdir('/proc/self/fd'))
    for i in (0, 1, 2, 1, 3, 4, 1):
        assert files.read(str(tmp_path / f'{i}'), 2, 3) == bytes([i] * 3)
        assert len(os.listdir('/proc/self/fd')) <= before + 2
    target = np.zeros(4, np.uint8)
    assert files.read_into(str(tmp_path / '4'), 8, target) == 2 and target.tolist() == [4, 4, 0, 0]
    files.close()
    assert len(os.listdir('/proc/self/fd')) == before
    assert pickle.load(io.BytesIO(pickle.dumps(files))).limit == 2
