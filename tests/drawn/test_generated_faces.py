import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fsfm_mm.datasets import dense_collate
from fsfm_mm.datasets.transforms import BuildPatchLabels, CRFRPMask, PackFaces
from fsfm_mm.drawn import GeneratedFaces


def test_samples_are_determined_by_their_number():
    faces = GeneratedFaces(length=5, img_size=64, seed=1)
    again = GeneratedFaces(length=3, img_size=64, seed=1, start=2)
    for i in range(3):
        np.testing.assert_array_equal(faces[i + 2]['img'], again[i]['img'])
        np.testing.assert_array_equal(faces[i + 2]['parsing_map'], again[i]['parsing_map'])
        assert again[i]['img_path'] == f'generated/{i + 2:06d}'
        assert again[i]['sample_idx'] == i
    assert (faces[0]['img'] != faces[1]['img']).any()
    assert (faces[0]['img'] != GeneratedFaces(length=5, img_size=64, seed=2)[0]['img']).any()


def test_sample_keeps_the_contract():
    sample = GeneratedFaces(length=5, img_size=64)[-1]
    assert sample['img'].shape == (64, 64, 3) and sample['img'].dtype == np.uint8
    assert sample['parsing_map'].shape == (64, 64) and sample['parsing_map'].dtype == np.uint8
    assert {0, 1, 6} <= set(np.unique(sample['parsing_map']).tolist()) <= set(range(11))
    assert sample['sample_idx'] == 4


def test_length_costs_nothing_and_iteration_ends():
    assert len(GeneratedFaces(length=10**9, img_size=32)) == 10**9
    assert len(list(GeneratedFaces(length=2, img_size=32))) == 2
    with pytest.raises(IndexError):
        GeneratedFaces(length=2, img_size=32)[2]


def test_a_loader_gives_a_pretraining_batch():
    pipeline = [BuildPatchLabels(16), CRFRPMask(0.75), PackFaces()]
    faces = GeneratedFaces(length=6, img_size=64, pipeline=pipeline)
    batch = next(iter(DataLoader(faces, batch_size=6, collate_fn=dense_collate)))
    assert batch['inputs'].shape == (6, 3, 64, 64) and batch['inputs'].dtype == torch.uint8
    assert batch['mask'].sum(1).tolist() == [12] * 6
    assert not (batch['region_mask'] & ~batch['mask']).any()
    np.testing.assert_array_equal(
        batch['inputs'][2].numpy(),
        GeneratedFaces(length=6, img_size=64)[2]['img'][..., ::-1].transpose(2, 0, 1),
    )


@pytest.mark.parametrize('arguments', [{'length': 0}, {'img_size': 31}, {'start': -1}, {'seed': -1}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match='length >= 1'):
        GeneratedFaces(**arguments)


def test_subsets_are_chosen_with_start_and_length():
    faces = GeneratedFaces(length=4, img_size=32)
    for method in (faces.get_subset, faces.get_subset_):
        with pytest.raises(ValueError, match='start and length'):
            method([0, 1])
