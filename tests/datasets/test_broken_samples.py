import numpy as np
import pytest
import torch
from face_files import COLOURS, label_map, pipeline, write_faces
from torch.utils.data import DataLoader

from fsfm_mm.datasets import BrokenSampleError, FaceParsingDataset, dense_collate
from fsfm_mm.datasets.transforms import CRFRPMask, LoadFace


def break_faces(root):
    """Spoil samples 1 (image), 4 (map) and 5 (sizes) of eight."""
    write_faces(root, 8)
    (root / 'images/f001.png').write_bytes((root / 'images/f001.png').read_bytes()[:60])
    np.save(root / 'parsing_maps/f004.npy', np.full((32, 32), 11))
    np.save(root / 'parsing_maps/f005.npy', np.zeros((31, 32), int))
    return [str(root / f'images/f00{i}.png') for i in (1, 4, 5)]


def test_a_broken_sample_is_an_error_by_default(tmp_path):
    break_faces(tmp_path)
    dataset = FaceParsingDataset(str(tmp_path), pipeline=pipeline())
    with pytest.raises(BrokenSampleError, match=r'f001\.png: cannot be decoded'):
        dataset[1]
    with pytest.raises(BrokenSampleError, match=r'f004\.npy: parsing labels must lie in 0\.\.10'):
        dataset.__getitems__([3, 4])
    assert dataset.broken_files() == []
    with pytest.raises(ValueError, match=r'f001\.png: cannot be decoded'):  # out of a worker, too
        list(DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=dense_collate))


def test_skipped_samples_are_replaced_by_the_next_readable_one(tmp_path, warnings_of):
    broken = break_faces(tmp_path)
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace()])
    assert [dataset[i]['img_path'][-8:] for i in (1, 4, 5, 6)] == [
        'f002.png',
        'f006.png',
        'f006.png',
        'f006.png',
    ]
    batch = dataset.__getitems__([0, 1, 4])
    assert [s['img_path'][-8:] for s in batch] == ['f000.png', 'f002.png', 'f006.png']
    assert dataset.broken_files() == broken
    assert len(warnings_of()) == 3 and 'f001.png: cannot be decoded' in warnings_of()[0]


def test_the_last_sample_is_replaced_by_the_first(tmp_path):
    write_faces(tmp_path, 3)
    (tmp_path / 'images/f002.png').write_bytes(b'')
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace()])
    assert dataset[2]['sample_idx'] == dataset[-1]['sample_idx'] == 0
    with pytest.raises(IndexError):
        dataset[3]


@pytest.mark.parametrize('workers', [0, 2])
def test_flags_of_the_workers_reach_the_main_process(tmp_path, workers):
    broken = break_faces(tmp_path)
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=pipeline())
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=dense_collate)
    inputs = torch.cat([batch['inputs'] for batch in loader]).numpy()
    assert dataset.broken_files() == broken
    assert len(inputs) == 8
    pictures = {i: COLOURS[label_map(i)][..., ::-1].transpose(2, 0, 1) for i in range(8)}
    seen = [i for image in inputs for i, picture in pictures.items() if np.array_equal(image, picture)]
    assert seen == [0, 2, 2, 3, 6, 6, 6, 7]


def test_too_many_broken_samples_stop_with_the_first_reason(tmp_path):
    write_faces(tmp_path, 40)
    for i in range(2, 34):
        (tmp_path / f'images/f{i:03d}.png').write_bytes(b'x')
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace()])
    assert dataset[3]['sample_idx'] == 34
    with pytest.raises(
        ValueError, match=r'32 samples in a row are broken.*the first one: .*f002\.png: cannot'
    ):
        dataset[2]


def test_all_broken(tmp_path):
    write_faces(tmp_path, 2)
    for i in range(2):
        (tmp_path / f'images/f00{i}.png').write_bytes(b'x')
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace()])
    with pytest.raises(ValueError, match=r'2 samples in a row are broken.*first one: .*f001\.png'):
        dataset.__getitems__([1])


def test_other_errors_are_never_skipped(tmp_path):
    write_faces(tmp_path, 2)
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace(), CRFRPMask(0.75)])
    with pytest.raises(ValueError, match='BuildPatchLabels'):
        dataset[0]


def test_subsets_count_for_themselves(tmp_path):
    break_faces(tmp_path)
    dataset = FaceParsingDataset(str(tmp_path), on_broken='skip', pipeline=[LoadFace()])
    dataset[1]
    subset = dataset.get_subset([3, 4])
    assert subset.broken_files() == []
    assert subset[1]['img_path'].endswith('f003.png')
    assert [p[-8:] for p in subset.broken_files()] == ['f004.png']
    assert [p[-8:] for p in dataset.broken_files()] == ['f001.png']
