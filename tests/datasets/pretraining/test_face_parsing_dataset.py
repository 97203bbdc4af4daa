import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from face_files import COLOURS, label_map, pipeline, write_face, write_faces, write_image
from mmengine.dataset import ConcatDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from fsfm_mm.datasets import BrokenSampleError, FaceParsingDataset, LabelTable, dense_collate
from fsfm_mm.datasets.transforms import (
    BuildPatchLabels,
    CRFRPMask,
    LoadFace,
    PackFaces,
    RandomFaceFlip,
    RandomMask,
    ResizeFace,
)

# Listing


def test_nested_unicode_spaces_and_mixed_cases(tmp_path):
    root = tmp_path / 'faces of Zoë 顔'
    names = ['b/x.JPG', 'a b/é.png', 'a b/deep/ü.webp', 'z.jpeg', 'm.name.bmp']
    suffixes = ['.NPY', '.png', '.npy', '.PNG', '.npy']
    maps = {n: write_face(root, n, i, map_suffix=s) for i, (n, s) in enumerate(zip(names, suffixes))}
    (root / 'images' / '._z.jpeg').write_bytes(b'left by a copying tool')
    (root / 'images' / 'notes.txt').write_text('not an image')
    dataset = FaceParsingDataset(str(root), pipeline=[LoadFace()])
    assert [os.path.relpath(s['img_path'], root / 'images') for s in dataset] == sorted(names)
    for sample in dataset:
        name = os.path.relpath(sample['img_path'], root / 'images')
        np.testing.assert_array_equal(sample['parsing_map'], maps[name])
        if not name.lower().endswith(('jpg', 'jpeg', 'webp')):
            np.testing.assert_array_equal(sample['img'], COLOURS[maps[name]])


def test_several_roots_follow_one_another_and_indices_select(tmp_path):
    for name, count in (('two', 2), ('one', 3)):
        write_faces(tmp_path / name, count)
    roots = [str(tmp_path / 'two'), str(tmp_path / 'one')]
    dataset = FaceParsingDataset(roots, pipeline=[])
    expected = [f'{r}/images/f{i:03d}.png' for r, n in zip(roots, (2, 3)) for i in range(n)]
    assert [s['img_path'] for s in dataset] == expected
    chosen = FaceParsingDataset(roots, pipeline=[], indices=[4, 1])
    assert [s['img_path'] for s in chosen] == [expected[4], expected[1]]
    assert dataset.metainfo['label_names'][6] == 'nose'


def test_lazy_init_lists_on_first_use(tmp_path):
    dataset = FaceParsingDataset(str(tmp_path / 'later'), lazy_init=True, pipeline=[])
    write_faces(tmp_path / 'later', 2)
    assert len(dataset) == 2 and dataset[1]['img_path'].endswith('f001.png')


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda r: shutil.rmtree(r / 'images'), r'images: no such folder; expected images \(\.jpg'),
        (lambda r: shutil.rmtree(r / 'parsing_maps'), r'parsing_maps: no such folder; expected parsing maps'),
        (lambda r: [p.unlink() for p in (r / 'images').iterdir()], r'images: no images found; expected'),
        (
            lambda r: [p.unlink() for p in (r / 'parsing_maps').iterdir()],
            'parsing_maps: no parsing maps found',
        ),
        (lambda r: (r / 'images/f000.jpg').touch(), r'images/f000\.jpg and .*images/f000\.png differ in'),
        (lambda r: (r / 'parsing_maps/f001.png').touch(), r'maps/f001\.npy and .*maps/f001\.png differ in'),
    ],
)
def test_wrong_folders_are_named(tmp_path, spoil, message):
    write_faces(tmp_path, 2)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        FaceParsingDataset(str(tmp_path), pipeline=[])


def test_linked_folders_are_followed(tmp_path):
    write_faces(tmp_path / 'store', 2)
    for part in ('images', 'parsing_maps'):
        (tmp_path / 'set' / part).mkdir(parents=True)
        os.symlink(tmp_path / 'store' / part, tmp_path / 'set' / part / 'linked')
    dataset = FaceParsingDataset(str(tmp_path / 'set'), pipeline=[LoadFace()])
    np.testing.assert_array_equal(dataset[1]['parsing_map'], label_map(1))


def test_links_that_lead_back_are_named_and_passed_over(tmp_path, warnings_of):
    write_faces(tmp_path, 2)
    os.symlink(tmp_path / 'images', tmp_path / 'images/again')
    os.symlink(tmp_path / 'nowhere', tmp_path / 'parsing_maps/gone')
    assert len(FaceParsingDataset(str(tmp_path), pipeline=[])) == 2
    assert [message.split(': ')[:3] for message in warnings_of()] == [
        ['Left out', '1 link', f'{tmp_path}/{name}'] for name in ('images/again', 'parsing_maps/gone')
    ]


def test_missing_maps(tmp_path, warnings_of):
    write_faces(tmp_path, 9)
    for i in range(7):
        (tmp_path / f'parsing_maps/f00{i}.npy').unlink()
    with pytest.raises(
        ValueError, match=r'7 of 9 images have no parsing map: .*f000\.png.*f004\.png, \.\.\.'
    ):
        FaceParsingDataset(str(tmp_path), pipeline=[])
    dataset = FaceParsingDataset(str(tmp_path), missing_maps='skip', pipeline=[])
    assert [s['img_path'][-8:] for s in dataset] == ['f007.png', 'f008.png']
    assert len(warnings_of()) == 1 and 'Left out: 7 of 9 images have no parsing map' in warnings_of()[0]


def test_skipping_everything_is_an_error(tmp_path):
    write_faces(tmp_path, 1)
    (tmp_path / 'parsing_maps/f000.npy').rename(tmp_path / 'parsing_maps/other.npy')
    with pytest.raises(ValueError, match='1 of 1 images have no parsing map'):
        FaceParsingDataset(str(tmp_path), missing_maps='skip', pipeline=[])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'missing_maps': 'ignore'}, "missing_maps must be 'error' or 'skip', but is 'ignore'"),
        ({'on_broken': 'ignore'}, "on_broken must be 'error' or 'skip', but is 'ignore'"),
        ({'label_table': 'x.npy', 'need_maps': False}, 'need_maps=False leaves out'),
        ({'data_root': []}, 'data_root must name at least one folder'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FaceParsingDataset(**{'data_root': 'anywhere', **arguments})


# Batches


def test_batch_and_sample_paths_agree(tmp_path):
    maps = write_faces(tmp_path, 4)
    dataset = FaceParsingDataset(str(tmp_path), pipeline=pipeline())
    batch = dataset.__getitems__([3, 1])
    for sample, index in zip(batch, (3, 1)):
        assert set(sample) == set(dataset[index]) == {'inputs', 'mask', 'region_mask'}
        np.testing.assert_array_equal(sample['inputs'], dataset[index]['inputs'])
        np.testing.assert_array_equal(sample['inputs'], COLOURS[maps[index]][..., ::-1].transpose(2, 0, 1))
        assert sample['mask'].sum() == dataset[index]['mask'].sum() == 12


def test_transform_batch_gets_the_whole_batch(tmp_path):
    write_faces(tmp_path, 5)
    sizes = []

    class Recorder:
        def __call__(self, sample):
            sizes.append(1)
            return sample

        def transform_batch(self, samples):
            sizes.append(len(samples))
            return samples

    dataset = FaceParsingDataset(str(tmp_path), pipeline=[LoadFace(), Recorder(), PackFaces()])
    list(DataLoader(dataset, batch_size=3, collate_fn=dense_collate))
    assert sizes == [3, 2]
    dataset[0]
    assert sizes == [3, 2, 1]


def test_a_transform_that_loses_samples_is_an_error(tmp_path):
    write_faces(tmp_path, 2)

    class Loses:
        def __call__(self, sample):
            return None

    class LosesOne(Loses):
        def transform_batch(self, samples):
            return samples[1:]

    for index in (lambda d: d[0], lambda d: d.__getitems__([0])):
        with pytest.raises(ValueError, match=r'Loses object .* returned None'):
            index(FaceParsingDataset(str(tmp_path), pipeline=[Loses()]))
    with pytest.raises(ValueError, match='returned 1 samples for a batch of 2'):
        FaceParsingDataset(str(tmp_path), pipeline=[LosesOne()]).__getitems__([0, 1])


def test_concat_dataset_works_sample_by_sample(tmp_path):
    maps = [write_faces(tmp_path / name, 3)[0] for name in ('a', 'b')]
    parts = [FaceParsingDataset(str(tmp_path / name), pipeline=pipeline()) for name in ('a', 'b')]
    batch = next(iter(DataLoader(ConcatDataset(parts), batch_size=6, collate_fn=dense_collate)))
    assert batch['mask'].sum(1).tolist() == [12] * 6
    for i, labels in zip((0, 3), maps):
        np.testing.assert_array_equal(
            batch['inputs'][i].numpy(), COLOURS[labels][..., ::-1].transpose(2, 0, 1)
        )


def test_runner_builds_the_loader_from_a_config(tmp_path):
    write_faces(tmp_path, 4)
    steps = [('LoadFace', {}), ('ResizeFace', {'size': 64}), ('RandomFaceFlip', {}), ('BuildPatchLabels', {})]
    steps += [('CRFRPMask', {'mask_ratio': 0.75}), ('PackFaces', {})]
    config = {
        'batch_size': 4,
        'num_workers': 0,
        'dataset': {
            'type': 'FaceParsingDataset',
            'data_root': str(tmp_path),
            'pipeline': [{'type': name, **arguments} for name, arguments in steps],
        },
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'collate_fn': {'type': 'dense_collate'},
    }
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        batch = next(iter(Runner.build_dataloader(config, seed=0)))
    assert batch['inputs'].shape == (4, 3, 64, 64)
    assert batch['mask'].shape == (4, 16) and batch['mask'].sum(1).tolist() == [12] * 4


def test_without_maps_every_pixel_is_background(tmp_path):
    for i in range(3):
        write_image(tmp_path / 'images' / f'{i}.png', COLOURS[label_map(i)])
    dataset = FaceParsingDataset(str(tmp_path), need_maps=False, pipeline=pipeline(RandomMask))
    batch = next(iter(DataLoader(dataset, batch_size=3, collate_fn=dense_collate)))
    assert batch['mask'].sum(1).tolist() == [12] * 3 and not batch['region_mask'].any()
    assert not FaceParsingDataset(str(tmp_path), need_maps=False, pipeline=[LoadFace()])[0][
        'parsing_map'
    ].any()


# Label tables


def write_table(tmp_path, count, flat=True, name='table.npy'):
    tables = [BuildPatchLabels(8)({'parsing_map': label_map(i)})['patch_labels'] for i in range(count)]
    table = np.stack(tables)
    np.save(tmp_path / name, table.reshape(count, -1) if flat else table)
    return str(tmp_path / name), table


@pytest.mark.parametrize('flat', [True, False])
def test_label_table_replaces_the_maps(tmp_path, flat):
    write_faces(tmp_path, 4)
    shutil.rmtree(tmp_path / 'parsing_maps')
    path, table = write_table(tmp_path, 4, flat)
    dataset = FaceParsingDataset(str(tmp_path), label_table=path, indices=[3, 0], pipeline=[LoadFace()])
    for sample, row in zip(dataset, (3, 0)):
        assert sample['patch_labels'].dtype == np.uint16 and 'parsing_map' not in sample
        np.testing.assert_array_equal(sample['patch_labels'], table[row])
    sample['patch_labels'][:] = 0  # a copy: nothing reaches the file
    np.testing.assert_array_equal(dataset[1]['patch_labels'], table[0])


def test_label_table_runs_through_the_same_pipeline(tmp_path):
    write_faces(tmp_path, 4)
    path, _ = write_table(tmp_path, 4)
    steps = pipeline()
    steps.insert(2, RandomFaceFlip(1.0))
    from_table = FaceParsingDataset(str(tmp_path), label_table=path, pipeline=steps)
    from_maps = FaceParsingDataset(str(tmp_path), pipeline=steps)
    batches = []
    for dataset in (from_table, from_maps):
        np.random.seed(0)
        batches.append(dense_collate(dataset.__getitems__([0, 1, 2, 3])))
    for key, value in batches[0].items():
        assert torch.equal(value, batches[1][key])


def test_label_table_of_another_length_or_kind(tmp_path):
    write_faces(tmp_path, 3)
    path, table = write_table(tmp_path, 2)
    with pytest.raises(ValueError, match=r'table\.npy: label_table has 2 rows, but there are 3 images'):
        FaceParsingDataset(str(tmp_path), label_table=path, pipeline=[])
    for array in (table.astype(np.int16), table.reshape(2, -1)[:, :-1], table[0, 0]):
        np.save(tmp_path / 'other.npy', array)
        with pytest.raises(ValueError, match=r'other\.npy: label_table must be uint16 of shape'):
            LabelTable(str(tmp_path / 'other.npy'))
    with pytest.raises(ValueError, match=r'none\.npy: label_table cannot be opened'):
        LabelTable(str(tmp_path / 'none.npy'))


def test_label_table_refuses_unknown_bits(tmp_path):
    np.save(tmp_path / 't.npy', np.array([[1, 2, 3, 4], [1, 2, 2048, 4]], np.uint16))
    table = LabelTable(str(tmp_path / 't.npy'))
    np.testing.assert_array_equal(table.row(0), [[1, 2], [3, 4]])
    with pytest.raises(BrokenSampleError, match=r't\.npy: row 1 holds 2048'):
        table.row(1)


def test_label_table_is_pickled_by_its_path(tmp_path):
    path, table = write_table(tmp_path, 3)
    pickled = pickle.dumps(LabelTable(path))
    assert len(pickled) < 300
    np.testing.assert_array_equal(pickle.loads(pickled).row(2), table[2])


@pytest.mark.faces
def test_real_faces(faces):
    dataset = FaceParsingDataset(str(faces / 'pretrain'), indices=64, pipeline=[LoadFace()])
    for sample in dataset:
        assert sample['img'].shape == (224, 224, 3) and sample['parsing_map'].shape == (224, 224)
        centre = sample['parsing_map'][90:140, 90:140]
        assert (centre != 0).mean() > 0.6  # a face, not the backdrop; the maps are rough
    steps = [LoadFace(), ResizeFace(224), BuildPatchLabels(16), CRFRPMask(0.75), PackFaces()]
    dataset = FaceParsingDataset(str(faces / 'pretrain'), pipeline=steps)
    batch = next(iter(DataLoader(dataset, batch_size=64, shuffle=True, collate_fn=dense_collate)))
    assert batch['mask'].sum(1).tolist() == [147] * 64
    assert not (batch['region_mask'] & ~batch['mask']).any()
    assert (batch['region_mask'].sum(1) > 0).all()
