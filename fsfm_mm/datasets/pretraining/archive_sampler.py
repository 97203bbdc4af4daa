"""An order of samples that is random and yet reads shard after shard."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from fsfm_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler[int]):
    """Shuffles shards, and samples within a window of a few shards.

    All samples in the order of the shuffled shards make one line, which is cut into equal stretches, one for
    each worker process of each rank. A worker goes through its own stretch window by window, in random order
    within a window. So it reads a few shards at a time and each shard once an epoch; only the shards at the two
    ends of a stretch are read by two workers. A DataLoader gives batch i to worker i % num_workers, and the
    order of indices follows that: with other numbers than the loader's every sample still comes once, from
    more shards at a time.

    The order is a function of seed and epoch, ranks and workers; each epoch has every sample once, apart from
    ``round_up``.

    Args:
        dataset: An :class:`~fsfm_mm.datasets.ArchivedFaces`.
        batch_size: The loader's, of one process.
        num_workers: The loader's.
        window: Shards whose samples are mixed, 1 or more.
        seed: Seed, the same in all processes; None agrees on a random one.
        shuffle: False keeps shards and samples in their order.
        infinite: True never ends (for mmengine's IterBasedTrainLoop): epoch follows epoch.
        round_up: Whether the first samples of an epoch come again so that all ranks have equally many.

    Raises:
        ValueError: The dataset has no shards, or a number is below its range.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        num_workers: int = 0,
        window: int = 8,
        seed: int | None = None,
        shuffle: bool = True,
        infinite: bool = False,
        round_up: bool = True,
    ) -> None:
        if not hasattr(dataset, 'shard_numbers'):
            raise ValueError(f'ShardSampler needs an ArchivedFaces data set, found {type(dataset).__name__}.')
        for name, value, low in (
            ('batch_size', batch_size, 1),
            ('num_workers', num_workers, 0),
            ('window', window, 1),
        ):
            if value < low:
                raise ValueError(f'{name} must be {low} or more, but is {value}.')
        self.rank, self.world_size = get_dist_info()
        numbers = dataset.shard_numbers()
        self._samples = np.argsort(numbers, kind='stable')  # shard by shard
        self._counts = np.unique(numbers, return_counts=True)[1]
        self.batch_size, self.workers, self.window = batch_size, max(num_workers, 1), window
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle, self.infinite, self.round_up = shuffle, infinite, round_up
        self.epoch = self._skipped = 0

    def __iter__(self) -> Iterator[int]:
        """Yield indices, of one epoch or of all; from where :meth:`skip` has put it."""
        start, self._skipped = self._skipped, 0
        if not self.infinite:
            yield from self._epoch(self.epoch, 0, start)
            return
        turn, start = divmod(start, len(self))
        for turn in itertools.count(turn):  # noqa: B020 - goes on from there
            yield from self._epoch(self.epoch + turn, turn * len(self), start)
            start = 0

    def __len__(self) -> int:
        """Indices of one epoch for this process, also where they do not end there."""
        return len(range(*self._share()))

    def set_epoch(self, epoch: int) -> None:
        """Take the order of ``epoch``."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Let the next iteration begin after ``num_samples`` indices of this process (mmengine's contract).

        Args:
            num_samples: Counted from the start of the epoch, or of the endless stream; 0 or more. Costs nothing.

        Raises:
            ValueError: The number is negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must be 0 or more, but is {num_samples}.')
        self._skipped = num_samples

    def _share(self) -> tuple[int, int]:
        """This rank's stretch of the line: first place and the one after its last, which wraps around."""
        total = len(self._samples)
        if self.round_up:
            share = -(-total // self.world_size)
            return self.rank * share, (self.rank + 1) * share
        return self.rank * total // self.world_size, (self.rank + 1) * total // self.world_size

    def _epoch(self, epoch: int, before: int, start: int) -> Iterator[int]:
        """Indices of an epoch from ``start`` on; ``before`` indices came in earlier epochs of the stream."""
        line = self._line(epoch)
        runs = self._runs(before)  # worker and number of samples, batch by batch
        begin, _ = self._share()
        totals = np.bincount(runs[:, 0], runs[:, 1], self.workers).astype(np.int64)
        ends = begin + np.cumsum(totals)
        done = np.clip(start - (np.cumsum(runs[:, 1]) - runs[:, 1]), 0, runs[:, 1])  # of each batch
        taken = np.bincount(runs[:, 0], done, self.workers).astype(np.int64)
        streams = [
            self._stream(line, epoch, worker, int(ends[worker] - totals[worker]), int(totals[worker]), int(t))
            for worker, t in enumerate(taken)
        ]
        for (worker, length), passed in zip(runs.tolist(), done.tolist()):
            yield from itertools.islice(streams[worker], length - passed)

    def _line(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Shards in the order of an epoch, and the place in the line where each ends."""
        order = np.arange(len(self._counts))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        return order, np.cumsum(self._counts[order])

    def _runs(self, before: int) -> np.ndarray:
        """Worker and number of samples of each batch of an epoch, int64 (B, 2): ends count from the stream's start."""
        first, last = before // self.batch_size, (before + len(self) - 1) // self.batch_size
        batches = np.arange(first, last + 1)
        edges = np.clip(np.append(batches, last + 1) * self.batch_size, before, before + len(self))
        return np.stack([batches % self.workers, np.diff(edges)], axis=1)

    def _stream(
        self, line: tuple[np.ndarray, np.ndarray], epoch: int, worker: int, begin: int, count: int, taken: int
    ) -> Iterator[int]:
        """Indices of a worker's stretch of the line, ``count`` places from ``begin``, after the first ``taken``."""
        total, edges = len(self._samples), self._window_edges(line[1], begin, count)
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            if high - begin <= taken:
                continue
            places = np.arange(low, high) % total
            if self.shuffle:
                key = [self.seed, epoch, self.rank, worker, number]
                places = np.random.default_rng(key).permutation(places)
            yield from self._at(line, places[max(taken - (low - begin), 0) :]).tolist()

    def _window_edges(self, ends: np.ndarray, begin: int, count: int) -> list[int]:
        """Places at which the windows of a stretch begin, and its end: after every ``window`` shards."""
        total = int(ends[-1])
        turns = range(begin // total, (begin + count) // total + 1)
        borders = np.concatenate([ends + turn * total for turn in turns])
        inside = borders[(borders > begin) & (borders < begin + count)]
        return [begin, *inside[self.window - 1 :: self.window].tolist(), begin + count]

    def _at(self, line: tuple[np.ndarray, np.ndarray], places: np.ndarray) -> np.ndarray:
        """Indices of the samples at some places of the line."""
        order, ends = line
        turn = np.searchsorted(ends, places, side='right')
        shard = order[turn]
        starts = np.cumsum(self._counts) - self._counts
        return self._samples[starts[shard] + places - (ends - self._counts[order])[turn]]
