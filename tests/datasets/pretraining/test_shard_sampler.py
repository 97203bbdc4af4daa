import itertools
from collections import Counter

import numpy as np
import pytest
from archive_files import written
from mmengine.dataset import BaseDataset
from torch.utils.data import BatchSampler, DataLoader

from fsfm_mm.datasets import ArchivedFaces, ShardSampler
from fsfm_mm.datasets.pretraining import archive_sampler
from fsfm_mm.datasets.seeding import SeededBatchSampler
from fsfm_mm.registry import DATA_SAMPLERS

#: Faces of each shard.
SHARDS = (13, 1, 40, 7, 25, 25, 9, 0, 31, 18, 22, 5)
TOTAL = sum(SHARDS)
NUMBERS = np.repeat(np.arange(len(SHARDS)), SHARDS)


class Shards:
    """As much of a data set as the sampler sees."""

    def __init__(self, numbers=NUMBERS):
        self.numbers = numbers

    def shard_numbers(self):
        return self.numbers


def make(monkeypatch, rank=0, world=1, data=None, **options):
    monkeypatch.setattr(archive_sampler, 'get_dist_info', lambda: (rank, world))
    return ShardSampler(
        data or Shards(), **{'batch_size': 4, 'num_workers': 3, 'window': 2, 'seed': 5, **options}
    )


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


@pytest.mark.parametrize('world', [1, 2, 3, 5])
@pytest.mark.parametrize('workers', [0, 1, 4])
@pytest.mark.parametrize('batch_size', [1, 7, 64])
def test_ranks_together_see_every_sample_once(monkeypatch, world, workers, batch_size):
    options = dict(num_workers=workers, batch_size=batch_size)
    seen = [list(make(monkeypatch, r, world, **options)) for r in range(world)]
    assert (
        {len(indices) for indices in seen}
        == {-(-TOTAL // world)}
        == {len(make(monkeypatch, 0, world, **options))}
    )
    counts = Counter(itertools.chain(*seen))
    assert set(counts) == set(range(TOTAL)) and sum(counts.values()) - TOTAL == -TOTAL % world
    assert max(counts.values()) <= 2
    exact = [list(make(monkeypatch, r, world, round_up=False, **options)) for r in range(world)]
    assert sorted(itertools.chain(*exact)) == list(range(TOTAL))
    assert max(map(len, exact)) - min(map(len, exact)) <= 1
    for rank in range(world):
        assert len(make(monkeypatch, rank, world, round_up=False, **options)) == len(exact[rank])


@pytest.mark.parametrize('rank, world', [(0, 1), (1, 2)])
def test_each_worker_goes_through_its_own_shards_once_a_few_at_a_time(monkeypatch, rank, world):
    numbers = np.repeat(np.arange(60), 20)
    sampler = make(monkeypatch, rank, world, Shards(numbers), num_workers=3, batch_size=8, window=4)
    batches = list(BatchSampler(sampler, 8, drop_last=False))
    shards = [[numbers[i] for batch in batches[w::3] for i in batch] for w in range(3)]
    for mine, other in itertools.combinations(shards, 2):
        assert len(set(mine) & set(other)) <= 1  # the one that is cut between them
    for mine in shards:
        assert len(set(mine)) <= 60 / (3 * world) + 2
        for shard in set(mine):
            places = np.flatnonzero(np.array(mine) == shard)
            assert np.ptp(places) < 4 * 20  # within one window, never again
        first = mine[:20]
        assert len(set(first)) > 1  # mixed within it


def test_a_window_is_shuffled_uniformly(monkeypatch):
    sampler = make(monkeypatch, data=Shards(np.array([0, 0, 1, 1])), num_workers=1, window=2)
    orders = Counter()
    for epoch in range(4800):
        sampler.set_epoch(epoch)
        orders[tuple(sampler)] += 1
    assert (
        len(orders) == 24 and min(orders.values()) > 140 and max(orders.values()) < 260
    )  # 200, deviation 14


def test_a_window_is_so_many_shards(monkeypatch):
    numbers = np.repeat(np.arange(12), 10)
    order = list(make(monkeypatch, data=Shards(numbers), num_workers=1, window=3))
    assert [len(set(numbers[order[i : i + 30]])) for i in range(0, 120, 30)] == [3] * 4
    assert all(len(set(numbers[order[i : i + 10]])) > 1 for i in range(0, 120, 10))


def test_shards_are_shuffled(monkeypatch):
    sampler = make(monkeypatch, data=Shards(np.arange(4)), num_workers=1, window=1)
    orders = Counter()
    for epoch in range(2400):
        sampler.set_epoch(epoch)
        orders[tuple(sampler)] += 1
    assert len(orders) == 24 and min(orders.values()) > 60 and max(orders.values()) < 145  # 100, deviation 10


def test_determined_by_seed_and_epoch(monkeypatch):
    first = list(make(monkeypatch))
    assert first == list(make(monkeypatch)) != list(make(monkeypatch, seed=6))
    sampler = make(monkeypatch)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_without_shuffling(monkeypatch):
    assert list(make(monkeypatch, num_workers=0, shuffle=False)) == list(range(TOTAL))
    sampler = make(monkeypatch, data=Shards(np.array([1, 0, 1, 0])), num_workers=0, shuffle=False)
    assert list(sampler) == [1, 3, 0, 2]
    two = make(monkeypatch, data=Shards(np.zeros(12, int)), num_workers=2, batch_size=2, shuffle=False)
    assert list(two) == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]


@pytest.mark.parametrize('skipped', [0, 1, 4, 12, 61, 97])
@pytest.mark.parametrize('rank, world', [(0, 1), (1, 2)])
@pytest.mark.parametrize('workers', [0, 3])
def test_skip_continues_where_an_uninterrupted_run_would_be(monkeypatch, skipped, rank, world, workers):
    whole = list(make(monkeypatch, rank, world, num_workers=workers))
    resumed = make(monkeypatch, rank, world, num_workers=workers)
    resumed.skip(skipped)
    assert list(resumed) == whole[skipped:]
    assert list(resumed) == whole  # once only
    with pytest.raises(ValueError, match='num_samples must be 0 or more, but is -1'):
        resumed.skip(-1)


@pytest.mark.parametrize('world', [1, 3])
def test_an_endless_stream_is_epoch_after_epoch(monkeypatch, world):
    for rank in range(world):
        options = dict(infinite=True, batch_size=16)
        sampler = make(monkeypatch, rank, world, **options)
        length = len(sampler)
        stream = take(sampler, 5 * length)
        assert stream[:length] == list(make(monkeypatch, rank, world, batch_size=16))
        if world == 1:
            for epoch in range(3):
                assert sorted(stream[epoch * length : (epoch + 1) * length]) == list(range(TOTAL))
        for skipped in (1, length - 1, length, length + 5, 2 * length + 77):
            resumed = make(monkeypatch, rank, world, **options)
            resumed.skip(skipped)
            assert take(resumed, 40) == stream[skipped : skipped + 40]


def test_workers_keep_their_shards_when_epochs_end_within_a_batch(monkeypatch):
    numbers = np.repeat(np.arange(30), 21)  # 630 is no multiple of 8
    sampler = make(monkeypatch, data=Shards(numbers), batch_size=8, num_workers=3, window=2, infinite=True)
    stream = take(sampler, 2 * 630)
    second = [(place // 8 % 3, numbers[stream[place]]) for place in range(630, 1260)]
    for shard in range(30):
        assert len({worker for worker, number in second if number == shard}) <= 2
    assert sum(len({w for w, n in second if n == shard}) == 2 for shard in range(30)) <= 3


def test_a_loader_reads_each_shard_in_few_workers(tmp_path, monkeypatch):
    data = ArchivedFaces(written('png', tmp_path, chunks=(6,) * 8), pipeline=())
    config = dict(type='ShardSampler', batch_size=4, num_workers=2, window=2)
    sampler = DATA_SAMPLERS.build(config, default_args=dict(dataset=data, seed=3))
    batches = SeededBatchSampler(BatchSampler(sampler, 4, drop_last=True), 0)
    expected = [list(batch) for batch in batches]
    loader = DataLoader(data, batch_sampler=batches, num_workers=2, collate_fn=list)
    seen = [[sample['sample_idx'] for sample in batch] for batch in loader]
    assert seen == expected and sorted(itertools.chain(*seen)) == list(range(48))
    shards = [{i // 6 for batch in seen[w::2] for i in batch} for w in range(2)]
    assert not shards[0] & shards[1]


def test_wrong_arguments(monkeypatch):
    with pytest.raises(ValueError, match='ShardSampler needs an ArchivedFaces data set, found BaseDataset'):
        ShardSampler(BaseDataset(lazy_init=True), 4)
    for name, value in (('batch_size', 0), ('num_workers', -1), ('window', 0)):
        with pytest.raises(ValueError, match=f'{name} must be'):
            make(monkeypatch, **{name: value})
