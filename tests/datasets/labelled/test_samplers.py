import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from labelled_files import Labelled
from mmengine.dataset import ConcatDataset
from ports import free_port
from torch.utils.data import DataLoader

from fsfm_mm.datasets import DomainBalancedSampler, check_balanced_loader
from fsfm_mm.datasets.labelled import sampler
from fsfm_mm.drawn import GeneratedForgeries
from fsfm_mm.registry import DATA_SAMPLERS

SIZES = {('a', 'fake'): 23, ('a', 'real'): 5, ('b', 'fake'): 12, ('b', 'real'): 40}


def unbalanced(sizes=SIZES):
    """Groups of very different sizes, interleaved."""
    rows = [list(itertools.repeat(group, n)) for group, n in sizes.items()]
    return Labelled([g for turn in itertools.zip_longest(*rows) for g in turn if g])


def make(monkeypatch, rank=0, world=1, data=None, **options):
    monkeypatch.setattr(sampler, 'get_dist_info', lambda: (rank, world))
    return DomainBalancedSampler(data or unbalanced(), **{'per_group': 3, **options})


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def batches(indices, size):
    return [indices[i : i + size] for i in range(0, len(indices), size)]


@pytest.mark.parametrize('world', [1, 2, 3])
@pytest.mark.parametrize('per_group', [1, 3, 12])
def test_every_batch_of_every_rank_has_exactly_as_many_of_each_group(monkeypatch, world, per_group):
    data = unbalanced()
    for rank in range(world):
        sampler = make(monkeypatch, rank, world, data, per_group=per_group)
        for batch in batches(take(sampler, 50 * 4 * per_group), 4 * per_group):
            assert Counter(data.groups[i] for i in batch) == dict.fromkeys(SIZES, per_group)


@pytest.mark.parametrize('world', [1, 2, 3])
def test_ranks_are_disjoint_until_a_group_is_used_up_and_no_sample_is_preferred(monkeypatch, world):
    data = unbalanced()
    per_rank = [take(make(monkeypatch, rank, world, data), 4 * 120) for rank in range(world)]
    for group, size in SIZES.items():
        streams = [[i for i in indices if data.groups[i] == group] for indices in per_rank]
        together = [i for turn in zip(*streams) for i in turn]  # in the order of the iterations
        for start in range(0, len(together) - size, size):
            assert len(set(together[start : start + size])) == size  # whole passes: each sample once
        counts = Counter(together)
        assert max(counts.values()) - min(counts.values()) <= 1 and len(counts) == size


def test_passes_are_shuffled_differently_and_uniformly(monkeypatch):
    data = unbalanced()
    reals = [i for i in take(make(monkeypatch, data=data), 4 * 5 * 2000) if data.groups[i] == ('a', 'real')]
    orders = Counter(tuple(batch) for batch in batches(reals, 5))
    # 120 orders, 2000 passes: the mean is 16.7, a standard deviation 4.1
    assert len(orders) == 120 and max(orders.values()) < 40 and min(orders.values()) > 2


def test_determined_by_seed_and_epoch(monkeypatch):
    first = take(make(monkeypatch), 60)
    assert first == take(make(monkeypatch), 60)
    assert first != take(make(monkeypatch, seed=1), 60)
    sampler = make(monkeypatch)
    sampler.set_epoch(1)
    assert first != take(sampler, 60)
    sampler.set_epoch(0)
    assert first == take(sampler, 60)


def test_without_shuffling_groups_keep_their_order(monkeypatch):
    data = Labelled([('a', 'fake'), ('a', 'fake'), ('a', 'real'), ('a', 'real'), ('a', 'real')])
    assert take(make(monkeypatch, data=data, shuffle=False), 8) == [0, 2, 1, 3, 0, 4, 1, 2]


@pytest.mark.parametrize('skipped', [0, 1, 4, 12, 12 * 37, 12 * 37 + 5])
@pytest.mark.parametrize('rank, world', [(0, 1), (1, 2)])
def test_skip_continues_where_an_uninterrupted_run_would_be(monkeypatch, skipped, rank, world):
    whole = take(make(monkeypatch, rank, world), skipped + 50)
    resumed = make(monkeypatch, rank, world)
    resumed.skip(skipped)
    assert take(resumed, 50) == whole[skipped:]
    assert take(resumed, 50) == whole[:50]  # once only
    with pytest.raises(ValueError, match='num_samples must be 0 or more, but is -1'):
        resumed.skip(-1)


@pytest.mark.parametrize(
    'world, round_up, expected', [(1, True, 14), (1, False, 13), (2, True, 7), (2, False, 6)]
)
def test_an_epoch_ends_when_the_largest_group_is_seen(monkeypatch, world, round_up, expected):
    seen = set()
    for rank in range(world):
        sampler = make(monkeypatch, rank, world, infinite=False, round_up=round_up)
        indices = list(sampler)
        seen |= set(indices)
        assert len(indices) == len(sampler) == expected * 12
    assert (len(seen) == 80) == round_up


def test_batch_size_is_checked(monkeypatch):
    assert make(monkeypatch, per_group=None, batch_size=24).per_group == 6
    assert make(monkeypatch, batch_size=12).batch_size == 12
    with pytest.raises(ValueError, match=r'batch_size must be 12 = per_group 3 \* 4 groups .*, but is 16'):
        make(monkeypatch, batch_size=16)
    with pytest.raises(ValueError, match='batch_size 10 cannot be shared out equally among 4 groups'):
        make(monkeypatch, per_group=None, batch_size=10)
    with pytest.raises(ValueError, match='per_group must be 1 or more'):
        make(monkeypatch, per_group=0)
    sampler = make(monkeypatch)
    check_balanced_loader(DataLoader(unbalanced(), batch_size=12, sampler=sampler))
    check_balanced_loader(DataLoader(unbalanced(), batch_size=7))
    with pytest.raises(ValueError, match=r'batch_size must be 12 .* but is 16'):
        check_balanced_loader(DataLoader(unbalanced(), batch_size=16, sampler=sampler))


def test_a_domain_without_a_class_is_refused(monkeypatch):
    data = Labelled([('a', 'fake'), ('a', 'real'), ('b', 'real')])
    with pytest.raises(ValueError, match="No samples with domain 'b', class_name 'fake'"):
        make(monkeypatch, data=data)
    assert make(monkeypatch, data=data, group_by=['class_name']).batch_size == 6
    with pytest.raises(ValueError, match='The data set is empty'):
        DomainBalancedSampler(Labelled([]))


def test_built_from_a_config_over_concatenated_sets_without_drawing(monkeypatch):
    parts = [GeneratedForgeries(40, 32, ('moire',), d, frames_per_video=2) for d in 'abc']
    data = ConcatDataset(parts)
    monkeypatch.setattr(GeneratedForgeries, 'get_data_info', lambda *_: pytest.fail('an image was drawn'))
    config = dict(type='DomainBalancedSampler', per_group=2)
    sampler = DATA_SAMPLERS.build(config, default_args=dict(dataset=data, seed=3))
    assert sampler.batch_size == 12 and sampler.seed == 3
    for batch in batches(take(sampler, 120), 12):
        counts = Counter((i // 40, parts[i // 40].entry(i % 40)['class_name']) for i in batch)
        assert counts == dict.fromkeys(itertools.product(range(3), ('fake', 'real')), 2)


RANK = """
import json, sys, torch
torch.set_num_threads(1)
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_rank
from mmengine.dataset import ConcatDataset, pseudo_collate
from torch.utils.data import DataLoader
from fsfm_mm.datasets import DomainBalancedSampler
from fsfm_mm.drawn import GeneratedForgeries
from fsfm_mm.engine.launch import join_with_gloo
join_with_gloo(Config(dict(launcher='pytorch')))
keys = ('img_path', 'domain', 'class_name')
pipeline = [dict(type='PackInputs', meta_keys=keys)]
data = ConcatDataset([GeneratedForgeries(24, 32, domain=d, frames_per_video=2, pipeline=pipeline) for d in 'ab'])
sampler = DomainBalancedSampler(data, per_group=3)
loader = DataLoader(data, batch_size=12, sampler=sampler, collate_fn=pseudo_collate, num_workers=1)
seen = []
for _, batch in zip(range(4), loader):
    seen.append([[getattr(sample, key) for key in keys] for sample in batch['data_samples']])
ranks = all_gather_object(seen)
if get_rank() == 0:
    json.dump(ranks, open(sys.argv[1], 'w'))
"""


@pytest.mark.slow
def test_two_real_processes(tmp_path):
    common = {
        'WORLD_SIZE': '2',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': free_port(),
        'OMP_NUM_THREADS': '1',
    }
    runs = [
        subprocess.Popen(
            [sys.executable, '-c', RANK, str(tmp_path / 'seen.json')],
            env={**os.environ, **common, 'RANK': str(rank), 'LOCAL_RANK': str(rank)},
            cwd=Path(__file__).parents[2],
        )
        for rank in range(2)
    ]
    try:
        assert [run.wait(timeout=300) for run in runs] == [0, 0]
    finally:
        for run in runs:
            run.kill()
    ranks = json.loads((tmp_path / 'seen.json').read_text())
    groups = list(itertools.product('ab', ('fake', 'real')))
    for seen in ranks:
        assert len(seen) == 4
        for batch in seen:
            assert Counter((domain, name) for _, domain, name in batch) == dict.fromkeys(groups, 3)
    # 12 samples a group, 2 * 3 an iteration: two iterations use them up, without an overlap
    for start in (0, 2):
        paths = [path for seen in ranks for batch in seen[start : start + 2] for path, _, _ in batch]
        assert len(paths) == len(set(paths)) == 48
