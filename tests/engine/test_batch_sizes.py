"""A run that would come to an odd batch under mixup is refused before it begins."""

import pytest
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.models.utils.batch_augments import RandomBatchAugment
from resume_cases import finetuning
from torch import nn
from torch.utils.data import DataLoader

from fsfm_mm.engine.batch_sizes import check_even_batches
from fsfm_mm.engine.launch import build_runner
from fsfm_mm.registry import BATCH_AUGMENTS

EPOCHS = {'type': 'ExactEpochLoop', 'max_epochs': 3}


def check(count, size=4, loop=EPOCHS, sampler=DefaultSampler, drop_last=False, **options):
    model = nn.Module()
    model.data_preprocessor = nn.Module()
    augment = BATCH_AUGMENTS.build(dict(type='TimmBatchAugment', **options))
    model.data_preprocessor.batch_augments = RandomBatchAugment([augment, None])
    loader = DataLoader(range(count), size, sampler=sampler(range(count)), drop_last=drop_last)
    check_even_batches(model, loader, loop)


def test_the_last_batch_of_an_epoch_is_looked_at():
    for fine in (8, 10):
        check(fine)
    with pytest.raises(
        ValueError, match=r'the last of an epoch has 3 \(11 samples a process, 4 in a batch\): .*drop_last'
    ):
        check(11)
    check(11, drop_last=True)
    check(11, sampler=InfiniteSampler, loop={'type': 'ExactIterLoop', 'max_iters': 9})
    check(11, mixup=0.0, cutmix=0.0)
    check(11, prob=0.0)


def test_an_odd_batch_size_is_refused_and_an_iteration_that_never_comes_is_not():
    with pytest.raises(ValueError, match='batch_size must be even, found 5'):
        check(10, size=5, drop_last=True)
    check(11, loop={'type': 'ExactIterLoop', 'max_iters': 2})
    with pytest.raises(ValueError, match='the last of an epoch has 3'):
        check(11, loop={'type': 'ExactIterLoop', 'max_iters': 3})


def test_a_run_is_refused_before_it_begins(tmp_path):
    changes = {'train_dataloader.drop_last': False, 'train_dataloader.dataset.indices': 11}
    config = Config.fromfile(finetuning(tmp_path, **changes))
    config.update(work_dir=str(tmp_path), launcher='none')
    with pytest.raises(ValueError, match=r'mixup and cutmix pair .*train_dataloader\.drop_last=True'):
        build_runner(config)
